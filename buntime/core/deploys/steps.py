"""The steps of a deploy: where it is, what may come next, and where it failed.

    BEGUN─>RECEIVED─>UNPACKED─>CHECKED─>INSTALLING─>RELEASING─>BOOTED─>PROBED─>ACTIVE
      │          │                      ├─> TRIED, a dry run
      └──────────┴─> UNCHANGED          └─> only those it needs, at least ACTIVE

Activating a version, or rolling back to one, goes from BEGUN to CHECKED: its content is there.

Invariants: each step is reached at most once, and none after the deploy has ended or failed. Until
ACTIVE nothing that others see has changed. A failure belongs to the step that was tried, not to the
last one that was reached: a worker that cannot load the app has failed at BOOTED.
"""

from buntime.core.values.enums import Enum


class Step(Enum):
    """The values are the words that programs see."""

    BEGUN = "begun"  # allowed, and waiting for its turn
    RECEIVED = "received"
    UNPACKED = "unpacked"
    CHECKED = "checked"  # its manifest can be served under this name
    INSTALLING = "installing"  # its packages are installed
    RELEASING = "releasing"  # its `release` command runs
    BOOTED = "booted"  # a worker has loaded it
    PROBED = "probed"  # that worker has answered `check`
    ACTIVE = "active"
    TRIED = "tried"  # a dry run has found nothing wrong
    UNCHANGED = "unchanged"


_ENDS = frozenset((Step.ACTIVE, Step.TRIED, Step.UNCHANGED))

# A static site has no worker; an app without `autoInstall`, `release` or `check` skips that step.
_NEXT = {
    Step.BEGUN: {Step.RECEIVED, Step.CHECKED, Step.UNCHANGED},
    Step.RECEIVED: {Step.UNPACKED, Step.UNCHANGED},
    Step.UNPACKED: {Step.CHECKED},
    Step.CHECKED: {Step.INSTALLING, Step.RELEASING, Step.BOOTED, Step.ACTIVE, Step.TRIED},
    Step.INSTALLING: {Step.RELEASING, Step.BOOTED},
    Step.RELEASING: {Step.BOOTED},
    Step.BOOTED: {Step.PROBED, Step.ACTIVE},
    Step.PROBED: {Step.ACTIVE},
}


class Progress:
    """How far one deploy has come."""

    def __init__(self) -> None:
        self.step = Step.BEGUN
        self.failed_at: Step | None = None

    def __repr__(self) -> str:
        failed = f", failed at {self.failed_at.value}" if self.failed_at else ""
        return f"Progress({self.step.value}{failed})"

    @property
    def is_over(self) -> bool:
        return self.failed_at is not None or self.step in _ENDS

    def may_reach(self, step: Step) -> bool:
        return not self.is_over and step in _NEXT[self.step]

    def reach(self, step: Step) -> None:
        """It has reached `step`. Raises ValueError where the table does not allow that."""
        if not self.may_reach(step):
            raise ValueError(f"no way to {step.value} from {self!r}")
        self.step = step

    def fail(self, step: Step) -> None:
        """It could not reach `step`. Raises ValueError after its end."""
        if self.is_over:
            raise ValueError(f"{self!r} is over")
        self.failed_at = step
