"""Why workers of apps have ended, kept for people who ask later.

An end that somebody may want to examine has its cause, a text and, if requested, the stacks. Such
ends are kept apart from routine ones, which would push them out.
"""

from buntime.core.telemetry.meters import Cause
from buntime.core.telemetry.recent import Recent
from buntime.core.values.tuples import NamedTuple

APPS_MAX = 1000
FAILED_MAX = 20  # per version of an app
ENDED_MAX = 5
CHARS_MAX = 8_000_000
STACK_MAX_CHARS = 64_000

# Ends that were intended.
PLANNED = frozenset({Cause.ENDED, Cause.IDLE})


class Autopsy(NamedTuple):
    """How one worker ended."""

    worker: str  # "w12"
    pid: int
    at: float  # seconds since 1970
    cause: Cause
    why: str  # "killed by SIGKILL", "recycled by an operator"
    age_s: float
    served: int
    lost: int  # requests that it was working on
    stack: str

    @property
    def is_planned(self) -> bool:
        return self.cause in PLANNED

    def to_json(self, version: str | None) -> dict[str, object]:
        """The form in which the API returns it."""
        return {
            "worker": self.worker,
            "pid": self.pid,
            "version": version,
            "at": round(self.at, 3),
            "cause": self.cause.value,
            "planned": self.is_planned,
            "why": self.why,
            "ageSeconds": round(self.age_s, 1),
            "requestCount": self.served,
            "requestsLost": self.lost,
            "stack": self.stack or None,
        }


class Autopsies:
    """By `App.key`."""

    def __init__(self) -> None:
        bounds = {"apps_max": APPS_MAX, "chars_max": CHARS_MAX}
        self._failed = Recent[Autopsy](each_max=FAILED_MAX, **bounds)
        self._ended = Recent[Autopsy](each_max=ENDED_MAX, **bounds)
        # Why workers are about to end, by name and cause.
        self._why: dict[tuple[str, Cause], str] = {}

    def __repr__(self) -> str:
        return f"Autopsies({self._failed!r}, {self._ended!r})"

    def will_end(self, worker: str, cause: Cause, why: str) -> None:
        """Note why a worker is about to end by this cause, if it does."""
        self._why[worker, cause] = why

    def take_why(self, worker: str, cause: Cause) -> str:
        """The worker has ended: the reason noted before, if any."""
        if not self._why:
            return ""
        reasons = [self._why.pop((worker, each), "") for each in Cause]
        return next((why for each, why in zip(Cause, reasons, strict=True) if each is cause), "")

    def note(self, key: str, autopsy: Autopsy) -> None:
        autopsy = autopsy._replace(stack=autopsy.stack[:STACK_MAX_CHARS])
        recent = self._ended if autopsy.is_planned else self._failed
        recent.put(key, (autopsy.worker, autopsy.at), autopsy, len(autopsy.stack))

    def of_app(self, name: str) -> list[tuple[str | None, Autopsy]]:
        """The autopsies of all versions of an app, each with its version, the newest first."""
        found = [
            (key[len(name) + 1 :] or None, autopsy)
            for recent in (self._failed, self._ended)
            for key in recent.keys_of(name)
            for autopsy in recent.of([key])
        ]
        return sorted(found, key=lambda each: -each[1].at)

    def failed_since(self, at: float) -> dict[str, int]:
        """How many workers have failed since then, by app key."""
        counts = {
            key: sum(each.at >= at for each in self._failed.of([key]))
            for key in self._failed.keys()  # noqa: SIM118  # not a mapping
        }
        return {key: count for key, count in counts.items() if count}
