"""The life of a worker: its states and the only transitions.

    SPARE ──adopt──> LOADING ──loaded──> IDLE <──drained── BUSY
      │                                   │ ───assign────>  │ ↺ assign
      └─adopt_once──> ONCE <─assign_once──┘                 │retire
                       │drained      │retire                v
                       └──────────> ENDING <───drained── RETIRING
                                     │died
                                     v
                                    GONE        (every state but GONE may die)

A SPARE has no app yet: it is an interpreter that waits for INIT. ONCE is a worker of one request:
it is ended after that, whether it still has to load (a spare was adopted for the request) or had
loaded before (it was prewarmed). RETIRING finishes what it has in hand and gets nothing new. ENDING
was told to TERMINATE, and has a limited time to obey.

Not in the drawing: if an app has `affinity`, an IDLE or BUSY worker that has to leave is KEEPING
first. It gets only requests from its own clients, with or without one in hand. When it retires it
is RETIRING, and drained at once if it has nothing in hand.

Not modelled here: how many requests a BUSY worker has (the scheduler counts them and sends
`drained` for the last), and why a worker retires.
"""

from buntime.core.values.enums import Enum


class State(Enum):
    """What a worker process is doing; the value is the word used in logs and answers."""

    SPARE = "spare"
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    ONCE = "once"
    KEEPING = "keeping"
    RETIRING = "retiring"
    ENDING = "ending"
    GONE = "gone"


class Event(Enum):
    """What happens to a worker."""

    __hash__ = object.__hash__  # as above; each request looks up eight of them

    ADOPT = "adopt"
    ADOPT_ONCE = "adopt_once"
    LOADED = "loaded"
    ASSIGN = "assign"
    ASSIGN_ONCE = "assign_once"
    DRAINED = "drained"
    KEEP = "keep"
    RETIRE = "retire"
    DIED = "died"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.SPARE: {
        Event.ADOPT: State.LOADING,
        Event.ADOPT_ONCE: State.ONCE,
        Event.RETIRE: State.ENDING,
        Event.DIED: State.GONE,
    },
    State.LOADING: {
        Event.LOADED: State.IDLE,
        Event.RETIRE: State.ENDING,
        Event.DIED: State.GONE,
    },
    State.IDLE: {
        Event.ASSIGN: State.BUSY,
        Event.ASSIGN_ONCE: State.ONCE,
        Event.KEEP: State.KEEPING,
        Event.RETIRE: State.ENDING,
        Event.DIED: State.GONE,
    },
    State.BUSY: {
        Event.ASSIGN: State.BUSY,
        Event.DRAINED: State.IDLE,
        Event.KEEP: State.KEEPING,
        Event.RETIRE: State.RETIRING,
        Event.DIED: State.GONE,
    },
    State.ONCE: {
        Event.LOADED: State.ONCE,
        Event.DRAINED: State.ENDING,
        Event.RETIRE: State.ONCE,  # it leaves after its one request anyway
        Event.DIED: State.GONE,
    },
    State.KEEPING: {
        Event.ASSIGN: State.KEEPING,
        Event.DRAINED: State.KEEPING,
        Event.RETIRE: State.RETIRING,
        Event.DIED: State.GONE,
    },
    State.RETIRING: {
        Event.DRAINED: State.ENDING,
        Event.RETIRE: State.RETIRING,
        Event.DIED: State.GONE,
    },
    State.ENDING: {
        Event.LOADED: State.ENDING,  # READY crossed TERMINATE on the channel
        Event.RETIRE: State.ENDING,
        Event.DIED: State.GONE,
    },
    State.GONE: {},
}


class LifecycleError(AssertionError):
    """An event met a state that has no entry for it: a bug in the scheduler."""


def after(state: State, event: Event) -> State:
    """The state after `event`; raises LifecycleError where there is none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise LifecycleError(f"a worker that is {state.value} met {event.value}") from None
