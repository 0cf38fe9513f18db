"""Where one event of a state table leads, as a dict that is looked up by the state before.

    TRANSITIONS = {State.IDLE: {Event.ASSIGN: State.BUSY}, ...}
    ASSIGN = Ways(TRANSITIONS, Event.ASSIGN, "a worker")
    state = ASSIGN[state]

An event that a state has no entry for is a bug, and raises. A look-up costs 50 ns; one by way of a
function and two members of enums costs ten times that, which a request would pay for eight times.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


class LifecycleError(AssertionError):
    """An event met a state that has no entry for it: a bug of the runtime."""


class Ways(dict[_State, _State]):
    """The states behind one event, by the states before it."""

    def __init__(
        self, transitions: Mapping[_State, Mapping[_Event, _State]], event: _Event, what: str
    ) -> None:
        """`what` is for messages: "an exchange"."""
        super().__init__({each: ways[event] for each, ways in transitions.items() if event in ways})
        self._event = event
        self._what = what

    def __missing__(self, state: _State) -> _State:
        raise LifecycleError(f"{self._what} that is {state.name} met {self._event.name}")
