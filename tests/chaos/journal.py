"""What was asked and what was done, for the final verdict."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Deed(NamedTuple):
    """Something done to the runtime's workers or apps."""

    at_s: float  # monotonic
    what: str
    app: str | None
    worker: str = ""  # such as "w7", if it was done to a worker
    pid: int = 0


class Asked(NamedTuple):
    """A request whose answer was not simply right."""

    id: str
    app: str
    kind: str
    target: str
    outcome: str
    detail: str
    started_s: float
    ended_s: float

    @property
    def is_post(self) -> bool:
        return self.kind in POSTS


POSTS = frozenset({"echo", "upload"})


@dataclass
class Journal:
    """Everything that happened; every time is monotonic, in seconds."""

    begun_s: float = field(default_factory=time.monotonic)
    deeds: list[Deed] = field(default_factory=list)
    # Requests under way: app -> id -> start. Of finished ones only odd ones are kept.
    running: dict[str, dict[str, float]] = field(default_factory=dict)
    odd: list[Asked] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind, outcome)
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)  # of right answers, by kind
    retry_after_s: list[float] = field(default_factory=list)  # as given by refusals
    refused_by_app: Counter[str] = field(default_factory=Counter)
    posted: set[str] = field(default_factory=set)  # POSTs that were answered right
    unrun: set[str] = field(default_factory=set)  # POSTs that were refused and not sent again
    # By app: the longest time after newer code was there at which a request began that older code
    # answered.
    lags_s: dict[str, float] = field(default_factory=dict)
    sockets_echoed: int = 0  # messages

    def begin(self, app: str, name: str) -> float:
        now = time.monotonic()
        self.running.setdefault(app, {})[name] = now
        return now

    def end(self, asked: Asked) -> None:
        """A request is over, whatever its outcome."""
        self.running[asked.app].pop(asked.id)
        self.counts[asked.kind, asked.outcome] += 1
        if asked.outcome == "ok":
            took_ms = (asked.ended_s - asked.started_s) * 1000
            self.latencies_ms.setdefault(asked.kind, []).append(took_ms)
            if asked.is_post:
                self.posted.add(asked.id)
        elif asked.outcome == "refused":
            self.refused_by_app[asked.app] += 1
        if asked.outcome != "ok":
            self.odd.append(asked)

    def did(self, what: str, app: str | None, worker: str = "", pid: int = 0) -> None:
        self.deeds.append(Deed(time.monotonic(), what, app, worker, pid))

    def oldest_running_s(self, app: str) -> float:
        """When the oldest of the app's running requests began; infinity if there is none."""
        return min(self.running.get(app, {}).values(), default=float("inf"))
