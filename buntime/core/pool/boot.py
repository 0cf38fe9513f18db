"""The boot of a worker: its interpreter starts, it is given an app, it loads the app.

    STARTING ──up──> UP ──adopt──> LOADING ──loaded──> LOADED
        │                            ^  │
        └──adopt──> ADOPTED ───up────┘  └──fail──> FAILED
                       │  └──────fail────────────────^
                       └──loaded──> LOADED

A worker may be given its app before its interpreter is up: the two messages cross on the channel. A
boot fails when the worker says so, or when its time is up. A message after that has crossed with
the failure and changes nothing; the first reason counts.

Not modelled: a worker that dies while it boots, without a message. Its stage shows that it had not
loaded.
"""

from buntime.core.values.enums import Enum, auto


class Stage(Enum):
    """How far a boot has come."""

    STARTING = auto()
    UP = auto()
    ADOPTED = auto()
    LOADING = auto()
    LOADED = auto()
    FAILED = auto()


class Step(Enum):
    """What happens to a boot."""

    UP = auto()
    ADOPT = auto()
    LOADED = auto()
    FAIL = auto()


STEPS: dict[Stage, dict[Step, Stage]] = {
    Stage.STARTING: {Step.UP: Stage.UP, Step.ADOPT: Stage.ADOPTED},
    Stage.UP: {Step.ADOPT: Stage.LOADING},
    Stage.ADOPTED: {
        Step.UP: Stage.LOADING,
        Step.LOADED: Stage.LOADED,
        Step.FAIL: Stage.FAILED,
    },
    Stage.LOADING: {Step.LOADED: Stage.LOADED, Step.FAIL: Stage.FAILED},
    Stage.LOADED: {},
    Stage.FAILED: {
        Step.UP: Stage.FAILED,
        Step.LOADED: Stage.FAILED,
        Step.FAIL: Stage.FAILED,
    },
}
_NOT_UP = frozenset({Stage.STARTING, Stage.ADOPTED})


class BootError(ValueError):
    """A worker said something that does not fit the stage of its boot."""


class Boot:
    """One worker's boot; `error` is why it failed, "" if it has not."""

    __slots__ = ("error", "is_loaded", "loaded_s", "stage", "took_ms")

    def __init__(self) -> None:
        self.stage = Stage.STARTING
        self.is_loaded = False  # read for each request of an ephemeral app
        self.loaded_s = 0.0  # when it reported that the app is loaded; monotonic
        self.took_ms: float | None = None  # how long it took to load the app, by its own report
        self.error = ""

    def __repr__(self) -> str:
        return f"Boot({self.stage.name}{', ' if self.error else ''}{self.error})"

    @property
    def is_up(self) -> bool:
        """Has the interpreter started?"""
        return self.stage not in _NOT_UP

    @property
    def has_failed(self) -> bool:
        return self.stage is Stage.FAILED

    def after(self, step: Step) -> Stage:
        """The stage after `step`; raises BootError where there is none."""
        try:
            return STEPS[self.stage][step]
        except KeyError:
            raise BootError(f"{step.name} of a worker that is {self.stage.name}") from None

    def step(self, step: Step) -> None:
        self.stage = self.after(step)
        self.is_loaded = self.stage is Stage.LOADED

    def fail(self, why: str) -> None:
        """The boot failed because of `why`: a message, and lines of a stack."""
        self.step(Step.FAIL)
        self.error = self.error or why
