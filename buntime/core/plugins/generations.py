"""A plugin's life: which of its generations serves, which starts, and what comes next.

A generation is one process with one state of the plugin's code. Its phases:

    BOOTING ──ready──> SERVING ──drain──> DRAINING ──end──> ENDING
       │ end              │                  │                │
       └──> ENDING        └──────── gone ────┴────────────────┴──> GONE
                           (every phase but GONE may be met by gone)

`Life` decides for one plugin and is told of what happens; it returns what is to be done:

    Start     a process with this code
    Serve     from now on hooks, calls and requests go to this generation
    Drain     it gets nothing new; tell by `drained` when all exchanges and calls are over
    End       on_shutdown, then it ends; tell by `gone` when its process is
    Refused   for the log: a new generation does not come to serve, and why

A reload with `overlap` goes side by side: Start new; when it is ready, Serve new, Drain old.
Without, there is one writer: Drain old, End old, and only when it is gone Start new; meanwhile
hooks and calls wait (`holds`). If the new one fails then, the old code is started again.

A new generation that fails, or offers less than running dependents use, is refused; what served
before it serves on. What dies, or cannot start and has nothing before it, is started again after
1 s, 2 s, 4 s ... up to 60 s; nobody waits for that. One that has served for a minute begins at 1 s
again.

Invariants: one generation boots at most, one serves at most; without overlap one that is not GONE.
"""

from collections.abc import Collection
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

from buntime.core.plugins.services import lacking
from buntime.core.values.ways import Ways

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
_STEADY_S = 60.0  # who has served so long has not failed at the start


class Code(Protocol):
    """One state of a plugin's code and manifest."""

    @property
    def overlap(self) -> bool:
        """Whether two generations may run at once."""


C = TypeVar("C", bound=Code)


class Phase(Enum):
    """Where a generation's process is."""

    __hash__ = object.__hash__

    BOOTING = "booting"
    SERVING = "serving"
    DRAINING = "draining"
    ENDING = "ending"
    GONE = "gone"


class Event(Enum):
    """What happens to a generation."""

    __hash__ = object.__hash__

    READY = "ready"
    DRAIN = "drain"
    END = "end"
    GONE = "gone"


TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.BOOTING: {
        Event.READY: Phase.SERVING,
        Event.END: Phase.ENDING,
        Event.GONE: Phase.GONE,
    },
    Phase.SERVING: {Event.DRAIN: Phase.DRAINING, Event.GONE: Phase.GONE},
    Phase.DRAINING: {Event.END: Phase.ENDING, Event.GONE: Phase.GONE},
    Phase.ENDING: {Event.GONE: Phase.GONE},
}
_WAYS = {event: Ways(TRANSITIONS, event, "a generation") for event in Event}


class Generation(Generic[C]):
    """One process of a plugin, from its start to its end."""

    __slots__ = ("code", "number", "phase", "served_from")

    def __init__(self, number: int, code: C) -> None:
        self.number = number
        self.code = code
        self.phase = Phase.BOOTING
        self.served_from = 0.0  # monotonic, once it serves

    def __repr__(self) -> str:
        return f"Generation({self.number}, {self.phase.value})"

    def meet(self, event: Event) -> None:
        self.phase = _WAYS[event][self.phase]


class Start(NamedTuple, Generic[C]):
    generation: Generation[C]


class Serve(NamedTuple, Generic[C]):
    generation: Generation[C]


class Drain(NamedTuple, Generic[C]):
    generation: Generation[C]


class End(NamedTuple, Generic[C]):
    generation: Generation[C]


class Refused(NamedTuple, Generic[C]):
    generation: Generation[C]
    reason: str


Decision = Start[C] | Serve[C] | Drain[C] | End[C] | Refused[C]


class Status(Enum):
    """How a plugin stands, in words for operators."""

    DISABLED = "disabled"
    STOPPING = "stopping"
    STARTING = "starting"
    SERVING = "serving"
    RELOADING = "reloading"
    BACKING_OFF = "backing off"


class Life(Generic[C]):
    """The generations of one plugin, and what is to be done about them."""

    def __init__(self) -> None:
        self.serving: Generation[C] | None = None
        self.alive: list[Generation[C]] = []  # not GONE, oldest first
        self.failure = ""  # of the last start or the last death, "" once it serves
        self.retry_at: float | None = None  # when `tick` is to be called, while it backs off
        self._wanted: C | None = None  # what is to be started next, while something is
        self._proven: C | None = None  # what has served last
        self._is_enabled = False
        self._is_exchanging = False  # without overlap: from the end of the old to the new
        self._count = 0
        self._wait_s = FIRST_WAIT_S

    def __repr__(self) -> str:
        return f"Life({self.status.value}, {self.alive!r})"

    # Questions

    @property
    def booting(self) -> Generation[C] | None:
        return next((each for each in self.alive if each.phase is Phase.BOOTING), None)

    @property
    def holds(self) -> bool:
        """Whether hooks and calls wait for what comes, rather than fail."""
        return self._is_exchanging and self.retry_at is None

    @property
    def status(self) -> Status:
        if not self._is_enabled:
            return Status.STOPPING if self.alive else Status.DISABLED
        if self.retry_at is not None:
            return Status.BACKING_OFF
        if self.serving is None:
            return Status.RELOADING if self._is_exchanging else Status.STARTING
        return Status.RELOADING if self.booting is not None else Status.SERVING

    # What operators and time do

    def enable(self, code: C, now: float) -> list[Decision[C]]:
        """Start it, where it is not running."""
        if self._is_enabled:
            return []
        self._is_enabled = True
        self._proven = None
        self._wait_s = FIRST_WAIT_S
        return self._want(code)

    def reload(self, code: C, now: float) -> list[Decision[C]]:
        """Exchange what runs for a new process, with this code; also where its process is old."""
        if not self._is_enabled:
            return []
        self._wait_s = FIRST_WAIT_S
        decisions: list[Decision[C]] = []
        booting = self.booting
        if booting is not None:
            decisions += [Refused(booting, "there is newer code"), *self._end(booting)]
        return decisions + self._want(code)

    def disable(self, now: float) -> list[Decision[C]]:
        """End all that runs, after what it has in hand."""
        self._is_enabled = self._is_exchanging = False
        self._wanted, self.retry_at, self.failure = None, None, ""
        decisions: list[Decision[C]] = []
        for generation in self.alive:
            if generation.phase is Phase.BOOTING:
                decisions += self._end(generation)
        return decisions + self._drain_serving()

    def tick(self, now: float) -> list[Decision[C]]:
        """Start again what has waited long enough."""
        if self.retry_at is None or now < self.retry_at:
            return []
        self.retry_at = None
        return self._advance()

    # What processes do

    def ready(
        self,
        generation: Generation[C],
        now: float,
        *,
        offers: Collection[str] = (),
        needed: Collection[str] = (),
    ) -> list[Decision[C]]:
        """It has loaded. `offers` are its services, `needed` those that running dependents use."""
        if generation.phase is not Phase.BOOTING:
            return []  # it was told to end meanwhile
        missing = lacking(needed, offers)
        if missing and self._has_other(generation):
            return self._fail(generation, f"does not offer {', '.join(missing)} any more", now)
        decisions: list[Decision[C]] = [Serve(generation)]
        decisions += self._drain_serving()
        generation.meet(Event.READY)
        generation.served_from = now
        self.serving, self._proven = generation, generation.code
        self._is_exchanging = False
        self.retry_at, self.failure = None, ""
        return decisions

    def boot_failed(self, generation: Generation[C], reason: str, now: float) -> list[Decision[C]]:
        """It cannot load; its process may still be there."""
        return self._fail(generation, reason, now) if generation.phase is Phase.BOOTING else []

    def drained(self, generation: Generation[C], now: float) -> list[Decision[C]]:
        """It has nothing in hand any more, or has had its time for that."""
        return self._end(generation) if generation.phase is Phase.DRAINING else []

    def gone(self, generation: Generation[C], reason: str, now: float) -> list[Decision[C]]:
        """Its process is no more; `reason` counts where nobody told it to end."""
        before = generation.phase
        generation.meet(Event.GONE)
        self.alive.remove(generation)
        if before is Phase.BOOTING:
            return self._failed(generation, reason, now)
        if before is Phase.SERVING:
            self.serving = None
            if now - generation.served_from >= _STEADY_S:
                self._wait_s = FIRST_WAIT_S
            if self.booting is None and self._wanted is None:
                self._back_off(generation.code, reason, now)
            else:
                self.failure = reason
        return self._advance()

    # Decisions

    def _want(self, code: C) -> list[Decision[C]]:
        """Start this code as soon as it may be: now, or when the only writer is gone."""
        self._wanted, self.retry_at = code, None
        serving = self.serving
        if serving is None or self._may_overlap(code):
            return self._advance()
        self._is_exchanging = True
        return self._drain_serving()

    def _advance(self) -> list[Decision[C]]:
        code = self._wanted
        if code is None or self.retry_at is not None or self.booting is not None:
            return []
        if self.alive and not self._may_overlap(code):
            return []
        self._wanted = None
        self._count += 1
        generation = Generation(self._count, code)
        self.alive.append(generation)
        return [Start(generation)]

    def _may_overlap(self, code: C) -> bool:
        return code.overlap and all(each.code.overlap for each in self.alive)

    def _has_other(self, generation: Generation[C]) -> bool:
        """Whether something else has served that can go on, or be started again."""
        return self.serving is not None or self._may_fall_back(generation)

    def _may_fall_back(self, generation: Generation[C]) -> bool:
        return self._proven is not None and self._proven is not generation.code

    def _fail(self, generation: Generation[C], reason: str, now: float) -> list[Decision[C]]:
        """A generation that boots does not come to serve."""
        ending = self._end(generation)
        return ending + self._failed(generation, reason, now)

    def _failed(self, generation: Generation[C], reason: str, now: float) -> list[Decision[C]]:
        refused: list[Decision[C]] = [Refused(generation, reason)]
        if not self._is_enabled:
            return refused
        if self._wanted is not None:  # newer code is on its way
            return refused + self._advance()
        if self.serving is not None:
            self.failure = reason
            return refused
        if self._may_fall_back(generation) and self._is_exchanging:
            self.failure, self._wanted = reason, self._proven
            return refused + self._advance()
        self._back_off(self._proven or generation.code, reason, now)
        return refused

    def _back_off(self, code: C, reason: str, now: float) -> None:
        self._wanted, self.failure = code, reason
        self._is_exchanging = False
        self.retry_at = now + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _drain_serving(self) -> list[Decision[C]]:
        serving, self.serving = self.serving, None
        if serving is None:
            return []
        serving.meet(Event.DRAIN)
        return [Drain(serving)]

    def _end(self, generation: Generation[C]) -> list[Decision[C]]:
        generation.meet(Event.END)
        return [End(generation)]
