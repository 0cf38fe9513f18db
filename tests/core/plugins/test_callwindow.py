"""Credit of calls: neither side may have more in transit than its window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.callwindow import STEP_BYTES, CallWindow
from buntime.wire import CALL_WINDOW, MAX_PAYLOAD, MESSAGE_OVERHEAD

COSTS = st.integers(1, MAX_PAYLOAD + MESSAGE_OVERHEAD)


@given(st.lists(st.tuples(st.sampled_from(["send", "grant", "tell"]), COSTS)))
def test_no_more_than_a_window(steps: list[tuple[str, int]]) -> None:
    """Whatever either side claims, no more than a window is sent and not yet taken."""
    window = CallWindow()
    credit, granted, sent = CALL_WINDOW, 0, 0
    for what, size in steps:
        if what == "grant":
            window.on_granted(size)
            granted = min(granted + size, sent)  # no more can have been taken than was sent
        elif what == "tell":
            credit += window.take_due()
        elif size <= credit:
            window.on_sent(size)
            credit, sent = credit - size, sent + size
        else:
            with pytest.raises(ValueError, match="beyond its credit"):
                window.on_sent(size)
        assert credit >= 0
        assert sent - granted <= CALL_WINDOW
        assert credit <= CALL_WINDOW - (sent - granted)


@given(st.lists(COSTS, max_size=50), st.data())
def test_nobody_starves(costs: list[int], data: st.DataObject) -> None:
    """If all was taken, except what may be reported later, the largest piece may be sent."""
    window = CallWindow()
    credit = CALL_WINDOW
    untold = 0  # taken, but less than the other side reports at once
    for cost in costs:
        assert credit >= MAX_PAYLOAD + MESSAGE_OVERHEAD
        window.on_sent(cost)
        credit, untold = credit - cost, untold + cost
        if untold >= CALL_WINDOW // 4 or data.draw(st.booleans()):
            window.on_granted(untold)
            untold = 0
        credit += window.take_due()


def test_credit_is_told_in_steps() -> None:
    """Many small grants make few messages; they count as small talk."""
    window = CallWindow()
    window.on_sent(STEP_BYTES)
    told = []
    for _ in range(STEP_BYTES):
        assert not window.on_granted(1)
        told.append(window.take_due())
    assert told == [0] * (STEP_BYTES - 1) + [STEP_BYTES]


def test_no_credit_for_what_was_not_sent() -> None:
    """A grant counts up to what is in transit; anything beyond that is small talk."""
    window = CallWindow()
    assert not window.on_granted(1 << 40)
    assert window.take_due() == 0
    window.on_sent(40_000)
    assert window.on_granted(1 << 40)
    assert not window.on_granted(1 << 40)
    assert window.take_due() == 40_000
    assert repr(window) == f"CallWindow({CALL_WINDOW} left, 0 due)"
