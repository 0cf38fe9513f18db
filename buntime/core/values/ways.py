"""The transitions for one event of a state table, as a dict from the state before to the one after.

    TRANSITIONS = {State.IDLE: {Event.ASSIGN: State.BUSY}, ...}
    ASSIGN = Ways(TRANSITIONS, Event.ASSIGN, "a worker")
    state = ASSIGN[state]

An event for which a state has no entry is a bug, and raises. A look-up costs 50 ns; with a function
and two look-ups it would cost some times that, eight times per request.
"""

from collections.abc import Mapping
from typing import TypeVar

from buntime.core.values.enums import Enum

_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


class LifecycleError(AssertionError):
    """An event met a state that has no entry for it: a bug in the runtime."""


class Ways(dict[_State, _State]):
    """The states after one event, by the states before it."""

    def __init__(
        self, transitions: Mapping[_State, Mapping[_Event, _State]], event: _Event, what: str
    ) -> None:
        """`what` is for messages: "an exchange"."""
        super().__init__({each: ways[event] for each, ways in transitions.items() if event in ways})
        self._event = event
        self._what = what

    def __missing__(self, state: _State) -> _State:
        raise LifecycleError(f"{self._what} that is {state.name} met {self._event.name}")
