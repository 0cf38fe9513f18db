"""Takes the measurements of a scenario: everyone once a round, so that conditions are equal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.figures import Sample, in_turn
from bench.results import ScenarioResult, entry_result, judge_bars
from bench.scenario import Entry, Measure, Scenario

Say = Callable[[str], None]


def run_scenario(
    scenario: Scenario,
    entries: Sequence[Entry],
    folder: Path,
    *,
    rounds: int,
    seconds: float,
    say: Say,
) -> ScenarioResult:
    """Start and check all entries, measure them in turn, end them. A failing one is skipped."""
    left_out = {entry.name: reason for entry in entries if (reason := entry.lacks())}
    ready: dict[str, Measure] = {}
    failed: dict[str, str] = {}
    samples: dict[str, list[Sample]] = {}
    with contextlib.ExitStack() as stack:
        for number, entry in enumerate(entries):
            if entry.name not in left_out:
                with noted(failed, entry.name):
                    place = folder / scenario.name / str(number)
                    ready[entry.name] = stack.enter_context(entry.ready(place))
        for name in in_turn(list(ready), rounds):
            if name not in failed:
                with noted(failed, name):
                    samples.setdefault(name, []).append(ready[name](seconds))
                    say(f"{scenario.name}: {name}")
    results = [
        entry_result(entry.name, entry.kind.value, samples[entry.name])
        for entry in entries
        if entry.name in samples and entry.name not in failed
    ]
    return {
        "name": scenario.name,
        "about": scenario.about,
        "metrics": [metric.key for metric in scenario.metrics],
        "entries": results,
        "bars": judge_bars(scenario.bars, results),
        "left_out": left_out,
        "failed": failed,
    }


@contextlib.contextmanager
def noted(failed: dict[str, str], name: str) -> Iterator[None]:
    """Note for the report why a measurement failed, and go on with the others."""
    try:
        yield
    except (BenchError, OSError) as error:
        failed[name] = str(error) or repr(error)
