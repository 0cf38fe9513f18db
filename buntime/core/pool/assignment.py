"""The life of an assignment: a request that one worker has, until that worker closes it.

    LIVE ──detach──> DETACHED ──overdue──> STUCK
     │                  │                    │
     └──────close───────┴───────close────────┴──> CLOSED

LIVE: the exchange waits for the worker's answer. DETACHED: nobody waits for it any more, because
the client left, the app's timeout has passed, or the runtime answered; the worker was told to stop.
STUCK: it did not stop within the time allowed.

Only the worker's own CLOSED frees its slot: whatever it still does, even for nobody, takes its
threads and its memory. A worker with nothing but STUCK requests is useless.

Invariant: an assignment is LIVE exactly while it is the responder of its exchange.
"""

from buntime.core.values.enums import Enum, auto


class State(Enum):
    """How an assignment stands."""

    LIVE = auto()
    DETACHED = auto()
    STUCK = auto()
    CLOSED = auto()


class Event(Enum):
    """What happens to an assignment."""

    __hash__ = object.__hash__  # as above; each request looks one up

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
    """An event met a state that has no entry for it: a bug in the runtime."""


def after(state: State, event: Event) -> State:
    """The state after `event`; raises AssignmentError where there is none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise AssignmentError(f"an assignment that is {state.name} met {event.name}") from None
