"""When a silent WebSocket is pinged, and when it is given up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.websocket.heartbeat import Beat, Heartbeat


def test_two_unanswered_pings_are_the_end() -> None:
    """A silent peer is pinged after one and two intervals, and is dead after three."""
    heartbeat = Heartbeat(20, 100)
    assert [heartbeat.due(now) for now in (100, 119.9, 120, 120.1, 140, 159.9, 160)] == [
        Beat.NOTHING,
        Beat.NOTHING,
        Beat.PING,
        Beat.NOTHING,
        Beat.PING,
        Beat.NOTHING,
        Beat.DEAD,
    ]


def test_traffic_is_an_answer() -> None:
    """Anything received postpones the next ping by an interval, and cancels earlier ones."""
    heartbeat = Heartbeat(20, 0)
    assert heartbeat.due(20) is Beat.PING
    assert heartbeat.due(40) is Beat.PING
    heartbeat.on_traffic(59)
    assert [heartbeat.due(now) for now in (60, 79, 99, 119)] == [
        Beat.NOTHING,
        Beat.PING,
        Beat.PING,
        Beat.DEAD,
    ]


def test_an_interval_of_zero_turns_it_off() -> None:
    """With an interval of zero a silent peer is left alone for ever."""
    heartbeat = Heartbeat(0, 0)
    heartbeat.on_traffic(5)
    assert heartbeat.due(10.0**9) is Beat.NOTHING


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=40))
def test_only_silence_kills(steps: list[tuple[float, bool]]) -> None:
    """A peer is dead only after three silent intervals; `due_at` is never too late for a beat."""
    heartbeat = Heartbeat(20, 0)
    now = heard = 0.0
    for wait_s, speaks in steps:
        now += wait_s
        waited_for = heartbeat.due_at
        if speaks:
            heard = now
            heartbeat.on_traffic(now)
            assert heartbeat.due_at == now + 20
            continue
        beat = heartbeat.due(now)
        assert (beat is Beat.NOTHING) == (now < waited_for)
        if beat is Beat.DEAD:
            assert now - heard >= 60
            return
