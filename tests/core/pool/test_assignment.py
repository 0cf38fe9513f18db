"""The states of an assignment, and its only transitions."""

from __future__ import annotations

import pytest

from buntime.core.pool.assignment import TRANSITIONS, AssignmentError, Event, State, after


def test_every_way_is_in_the_table() -> None:
    """Each state has an entry; an event without one is a bug and raises."""
    assert set(TRANSITIONS) == set(State)
    for state in State:
        for event in Event:
            if event in TRANSITIONS[state]:
                assert after(state, event) in State
            else:
                with pytest.raises(AssignmentError, match=f"{state.name} met {event.name}"):
                    after(state, event)


def test_only_the_worker_frees_its_slot() -> None:
    """Only CLOSE leads to CLOSED, from every state, and no event leads out of it."""
    ways = {(state, event) for state in State for event in TRANSITIONS[state]}
    closing = {(s, e) for s, e in ways if after(s, e) is State.CLOSED}
    assert closing == {(s, Event.CLOSE) for s in State if s is not State.CLOSED}
    assert TRANSITIONS[State.CLOSED] == {}


def test_nobody_is_stuck_who_is_waited_for() -> None:
    """A request must be detached before its worker can count as stuck."""
    assert Event.OVERDUE not in TRANSITIONS[State.LIVE]
    assert after(after(State.LIVE, Event.DETACH), Event.OVERDUE) is State.STUCK
