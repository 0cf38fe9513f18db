"""What was asked and what was done, for the verdict at the end."""

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
    worker: str = ""  # "w7", where a worker is meant
    pid: int = 0


class Asked(NamedTuple):
    """A request that was not simply answered right."""

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
    """All that happened; every time is monotonic, in seconds."""

    begun_s: float = field(default_factory=time.monotonic)
    deeds: list[Deed] = field(default_factory=list)
    # Requests that run now: app -> id -> start. Of all others only what was odd is kept.
    running: dict[str, dict[str, float]] = field(default_factory=dict)
    odd: list[Asked] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind, outcome)
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)  # of right answers, by kind
    retry_after_s: list[float] = field(default_factory=list)  # as refusals told
    refused_by_app: Counter[str] = field(default_factory=Counter)
    posted: set[str] = field(default_factory=set)  # POSTs that were answered right
    unrun: set[str] = field(default_factory=set)  # POSTs that were refused and not asked again
    # By app: how long after newer code was there a request was begun that older code answered.
    lags_s: dict[str, float] = field(default_factory=dict)
    sockets_echoed: int = 0  # messages

    def begin(self, app: str, name: str) -> float:
        now = time.monotonic()
        self.running.setdefault(app, {})[name] = now
        return now

    def end(self, asked: Asked) -> None:
        """A request is over, for better or worse."""
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
        """When the oldest of the app's running requests was begun; infinity if there is none."""
        return min(self.running.get(app, {}).values(), default=float("inf"))
