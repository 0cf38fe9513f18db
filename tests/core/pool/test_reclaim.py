"""Which slow clients lose their workers while others wait for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.pool.reclaim import FIRST_S, MOST_S, PACE_BYTES_PER_S, Reclaim

STEPS = st.lists(st.floats(0.05, 0.6), min_size=1, max_size=80)


class Watch:
    """Looks at clients of steady paces, and a clock."""

    def __init__(self, **paces: float) -> None:
        """The paces are in bytes per second."""
        self.reclaim = Reclaim()
        self.paces = paces
        self.now = 100.0
        self.moved = dict.fromkeys(paces, 0.0)
        for who in paces:
            self.reclaim.add(who, 0, self.now)

    def pass_on(self, seconds: float, *, is_awaited: bool = True, waited_s: float = 0.0) -> None:
        """Time passes, and then there is a look."""
        self.now += seconds
        for who, pace in self.paces.items():
            self.moved[who] += pace * seconds
            moved = round(self.moved[who])
            self.reclaim.look(who, moved, self.now, is_awaited=is_awaited, waited_s=waited_s)

    def slowest(self, most: int = 10) -> list[object]:
        return list(self.reclaim.slowest(most))


@given(STEPS, st.floats(PACE_BYTES_PER_S + 10, 10_000_000))
def test_who_keeps_the_pace_is_left_alone(steps: list[float], pace: float) -> None:
    """However many wait, and whenever it is looked at."""
    watch = Watch(a=pace)
    for step in steps:
        watch.pass_on(step)
        assert watch.slowest() == []


@given(STEPS)
def test_who_takes_nothing_is_ended_after_a_moment(steps: list[float]) -> None:
    watch = Watch(a=0)
    for step in steps:
        watch.pass_on(step)
        passed_s = watch.now - 100.0
        if abs(passed_s - FIRST_S) > 1e-6:
            assert watch.slowest() == (["a"] if passed_s > FIRST_S else [])


def test_the_slowest_is_first() -> None:
    """And no more are ended than others need."""
    watch = Watch(fast=10 * PACE_BYTES_PER_S, slow=0.5 * PACE_BYTES_PER_S, still=0)
    watch.pass_on(2.0)
    assert watch.slowest(2) == ["still", "slow"]
    assert watch.slowest(1) == ["still"]
    assert watch.slowest(0) == []


def test_what_was_taken_before_counts_for_a_while() -> None:
    """A receiver that makes room in large steps is not slow between them."""
    watch = Watch(a=PACE_BYTES_PER_S * 100)
    watch.pass_on(1.0)
    watch.paces["a"] = 0.0
    watch.pass_on(MOST_S - 0.1)
    assert watch.slowest() == []
    watch.pass_on(0.2)
    assert watch.slowest() == ["a"]


def test_a_pause_of_minutes_is_made_up_for_in_seconds() -> None:
    """Nobody waited meanwhile."""
    watch = Watch(a=0)
    watch.pass_on(600.0)
    assert watch.slowest() == ["a"]
    watch.paces["a"] = 2.1 * PACE_BYTES_PER_S
    watch.pass_on(MOST_S)
    assert watch.slowest() == []


@given(st.floats(1.1, 30.0), st.floats(0.1, 50.0))
def test_the_pace_grows_with_what_others_have_waited(waited_s: float, times: float) -> None:
    """After ten seconds a client has to move ten times as much."""
    watch = Watch(a=times * PACE_BYTES_PER_S)
    for _ in range(200):
        watch.pass_on(0.2, waited_s=waited_s)
    if abs(times - waited_s) > 0.5:
        assert watch.slowest() == (["a"] if times < waited_s else [])


def test_time_that_the_app_takes_is_not_the_clients() -> None:
    watch = Watch(a=0)
    watch.pass_on(60.0, is_awaited=False)
    assert watch.slowest() == []
    watch.pass_on(FIRST_S + 0.1)
    assert watch.slowest() == ["a"]
    watch.pass_on(0.2, is_awaited=False)
    assert watch.slowest() == []


def test_who_is_waited_for_again_does_not_begin_anew() -> None:
    """Otherwise a few bytes now and then would be enough."""
    watch = Watch(a=0)
    watch.pass_on(FIRST_S + 0.1)
    watch.reclaim.add("a", 0, watch.now)
    assert watch.slowest() == ["a"]


def test_who_is_removed_is_forgotten() -> None:
    watch = Watch(a=0)
    watch.pass_on(FIRST_S + 0.1)
    watch.reclaim.remove("a")
    assert (watch.slowest(), len(watch.reclaim)) == ([], 0)
    with pytest.raises(KeyError):
        watch.reclaim.remove("a")
