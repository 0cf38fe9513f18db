"""The table of a worker's states."""

from __future__ import annotations

import pytest

from buntime.core.pool.lifecycle import TRANSITIONS, Event, LifecycleError, State, after


def test_every_state_but_gone_can_die() -> None:
    """A process may die in any state, once."""
    for state in State:
        if state is State.GONE:
            assert TRANSITIONS[state] == {}
        else:
            assert after(state, Event.DIED) is State.GONE


def test_an_event_without_an_entry_raises() -> None:
    """An event that a state does not know is a bug; the error names both."""
    with pytest.raises(LifecycleError, match="a worker that is spare met assign"):
        after(State.SPARE, Event.ASSIGN)


def test_a_leaving_worker_gets_no_work() -> None:
    """No state of a leaving worker leads back to work."""
    for state in (State.RETIRING, State.ENDING, State.GONE):
        assert Event.ASSIGN not in TRANSITIONS[state]
        assert Event.ASSIGN_ONCE not in TRANSITIONS[state]


def test_every_state_can_be_reached_from_spare() -> None:
    """Every state can be reached."""
    reached = {State.SPARE}
    while True:
        more = {target for state in reached for target in TRANSITIONS[state].values()} - reached
        if not more:
            break
        reached |= more
    assert reached == set(State)
