"""The life of an assignment: one request in the hands of one worker, until the worker closed it.

    LIVE ──detach──> DETACHED ──overdue──> STUCK
     │                  │                    │
     └──────close───────┴───────close────────┴──> CLOSED

LIVE: the exchange waits for the worker's answer. DETACHED: nobody waits for it any more, since the
client left, the app's time has passed, or the runtime answered; the worker was told to stop.
STUCK: it did not in the time that it had for that.

A worker's slot is taken until the request is CLOSED, by the worker alone: what it still does for
nobody takes its threads and its memory all the same. A worker that has nothing but STUCK requests
is of no use.

Invariant: an assignment is LIVE exactly while it is the responder of its exchange.
"""

from enum import Enum, auto


class State(Enum):
    """Who still has to do with an assignment."""

    __hash__ = object.__hash__  # members are compared by identity; Enum's own is in Python

    LIVE = auto()
    DETACHED = auto()
    STUCK = auto()
    CLOSED = auto()


class Event(Enum):
    """What happens to an assignment."""

    __hash__ = object.__hash__  # as above: each request's way looks one up

    DETACH = auto()
    OVERDUE = auto()
    CLOSE = auto()


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.LIVE: {Event.DETACH: State.DETACHED, Event.CLOSE: State.CLOSED},
    State.DETACHED: {Event.OVERDUE: State.STUCK, Event.CLOSE: State.CLOSED},
    State.STUCK: {Event.CLOSE: State.CLOSED},
    State.CLOSED: {},
}


class AssignmentError(AssertionError):
    """An event met a state that has no entry for it: a bug of the runtime."""


def after(state: State, event: Event) -> State:
    """The state behind `event`; raises AssignmentError where there is none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise AssignmentError(f"an assignment that is {state.name} met {event.name}") from None
