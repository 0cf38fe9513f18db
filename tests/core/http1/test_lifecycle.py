"""The table of an exchange's states."""

from __future__ import annotations

import pytest

from buntime.core.http1.lifecycle import HAND_OVER, HELD, TRANSITIONS, Event, State
from buntime.core.values.ways import LifecycleError


def test_an_event_without_an_entry_raises() -> None:
    """An event that a state does not know is a bug; the error names both."""
    with pytest.raises(LifecycleError, match="an exchange that is STREAMING met HAND_OVER"):
        _ = HAND_OVER[State.STREAMING]


def test_it_ends_once() -> None:
    """Nothing can happen to an exchange that has ended."""
    assert TRANSITIONS[State.ENDED] == {}


def test_a_responder_is_let_go_before_the_end() -> None:
    """A responder gets an exchange by a hand-over only, and gives it up by release or take-back."""
    for state, ways in TRANSITIONS.items():
        for event, target in ways.items():
            if state not in HELD and target in HELD:
                assert event is Event.HAND_OVER
            if state in HELD and target not in HELD:
                assert event in (Event.RELEASE, Event.TAKE_BACK)


def test_what_has_begun_is_never_handed_over() -> None:
    """After BEGIN or ACCEPT an exchange can never go back to a responder."""
    reached = {State.ANSWERING, State.STREAMING, State.OPEN}
    while True:
        more = {target for state in reached for target in TRANSITIONS[state].values()} - reached
        if not more:
            break
        reached |= more
    assert not any(Event.HAND_OVER in TRANSITIONS[state] for state in reached)
    assert State.WAITING not in reached


def test_every_state_can_be_reached_and_leads_to_the_end() -> None:
    """Every state can be reached, and every state leads to the end."""
    for state in State:
        if state is not State.WAITING:
            assert any(state in ways.values() for ways in TRANSITIONS.values())
        reached = {state}
        while True:
            more = {target for each in reached for target in TRANSITIONS[each].values()} - reached
            if not more:
                break
            reached |= more
        assert State.ENDED in reached
