"""The parts of a scenario: entries that are measured in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import Contestant, Kind
from bench.errors import BenchError
from bench.figures import Bar, Metric, Sample
from bench.fresh import start_up
from bench.loads import Load
from bench.servers import blamed

Measure = Callable[[float], Sample]  # one round of this many seconds


@dataclass(frozen=True)
class Entry:
    """One line of a scenario; `ready` starts what is measured in a new folder, and checks it."""

    name: str
    kind: Kind
    ready: Callable[[Path], AbstractContextManager[Measure]]
    lacks: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Scenario:
    """Entries that are measured in turn. The first metric is drawn in the chart."""

    name: str
    about: str
    metrics: tuple[Metric, ...]
    entries: tuple[Entry, ...]
    bars: tuple[Bar, ...] = ()
    is_short: bool = False  # part of --short


def served(contestant: Contestant, load: Load, name: str | None = None) -> Entry:
    """A server that runs from the first round to the last."""

    @contextlib.contextmanager
    def ready(folder: Path) -> Iterator[Measure]:
        with contestant.serve(folder) as server:
            with blamed(server.log):
                load.check(server)

            def measure(seconds: float) -> Sample:
                with blamed(server.log):
                    sample = load.measure(server, seconds)
                if contestant.kind is Kind.OURS and not server.logs_access():
                    raise BenchError("it has logged no access, so it did less than by default")
                return sample

            yield measure

    return Entry(name or contestant.name, contestant.kind, ready, contestant.lacks)


def fresh(contestant: Contestant, measure: Callable[[Contestant, Path, float], Sample]) -> Entry:
    """A server that each round starts anew; it starts once before, so that all are unpacked."""

    @contextlib.contextmanager
    def ready(folder: Path) -> Iterator[Measure]:
        folder.mkdir(parents=True)
        start_up(contestant, folder / "check", seconds=0)

        def measure_next(seconds: float) -> Sample:
            return measure(contestant, folder / str(len(list(folder.iterdir()))), seconds)

        yield measure_next

    return Entry(contestant.name, contestant.kind, ready, contestant.lacks)


def computed(name: str, measure: Measure) -> Entry:
    """A limit that is not a server."""
    return Entry(name, Kind.LIMIT, lambda _: contextlib.nullcontext(measure))
