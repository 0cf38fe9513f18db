"""One deploy as others see it: how far it has come, what was printed on the way, how it ended."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from buntime.core.deploys.steps import Progress, Step
from buntime.core.errors import HttpError

_LINES_MAX = 200  # how many of the last lines printed by programs are kept
_STACK_CHARS = 20_000

Line = dict[str, Any]


class Deploy:
    """A deploy, an activation, or a rollback (`kind`)."""

    def __init__(
        self, number: str, kind: str, app: str, version: str, by: str, *, is_dry_run: bool = False
    ) -> None:
        self.id = number
        self.kind = kind
        self.app = app
        self.version = version
        self.by = by
        self.is_dry_run = is_dry_run
        self.progress = Progress()
        self.doing = Step.BEGUN  # the step it is working towards
        self.steps: list[Line] = [_timed({"step": Step.BEGUN.value})]
        self.lines: list[Line] = []
        self.error: HttpError | None = None
        self.failure: Line | None = None
        self._followers: list[Callable[[Line], object]] = []

    def __repr__(self) -> str:
        return f"Deploy({self.id}, {self.kind} {self.app}@{self.version}, {self.progress!r})"

    @property
    def is_over(self) -> bool:
        return self.progress.is_over

    def follow(self, callback: Callable[[Line], object]) -> None:
        """Call back for each line, including those that came before."""
        for line in (*self.steps[1:], *self.lines):
            callback(line)
        self._followers.append(callback)

    def attempt(self, step: Step) -> None:
        """Begin to work towards this step; if that fails, the step is reported."""
        self.doing = step

    def reach(self, step: Step, **more: object) -> None:
        """The deploy has reached this step."""
        self.progress.reach(step)
        line = _timed({"step": step.value, **more})
        self.steps.append(line)
        self._tell(line)

    def say(self, step: Step, text: str) -> None:
        """Add a line that a program has printed."""
        line = {"step": step.value, "line": text}
        self.lines = [*self.lines[1 - _LINES_MAX :], line]
        self._tell(line)

    def fail(self, error: HttpError, *, stack: str = "", log: list[str]) -> None:
        """The deploy could not go on; `log` holds the last lines that the app printed."""
        step = self.doing
        self.progress.fail(step)
        self.error = error
        self.failure = _timed(
            {
                "failed": step.value,
                "error": {"code": error.code, "message": error.message},
                "stack": stack[-_STACK_CHARS:] or None,
                "log": log,
            }
        )
        self._tell(self.failure)

    def at_end(self, act: Callable[[], None]) -> None:
        """Call it when the deploy is over: now, if it is."""
        if self.is_over:
            act()
            return

        def on_line(_: Line) -> None:
            if self.is_over:
                act()

        self.follow(on_line)

    def to_json(self) -> Line:
        """For the API, and for state.db."""
        last = self.steps[-1]
        state = "failed" if self.failure else "done" if self.is_over else "running"
        return {
            "id": self.id,
            "kind": self.kind,
            "app": self.app,
            "version": self.version,
            "by": self.by,
            "state": state,
            "step": self.progress.step.value,
            "steps": self.steps,
            **({"url": last["url"]} if "url" in last else {}),
            **(self.failure or {}),
            "lines": [each["line"] for each in self.lines],
        }

    def _tell(self, line: Line) -> None:
        for callback in tuple(self._followers):
            callback(line)


def _timed(line: Line) -> Line:
    now = datetime.fromtimestamp(time.time(), UTC)
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first, *others = line.items()
    return dict([first, ("at", at), *others])
