"""What a run keeps: bench/results.json. The report and the chart are made from it alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

from bench.figures import Bar, Sample, medians, spreads


class EntryResult(TypedDict):
    """One line of a scenario."""

    name: str
    kind: str
    samples: list[Sample]
    median: Sample
    spread: Sample


class BarResult(TypedDict):
    """One bar; `ratio` and the fields after it are None if one of the two was not measured."""

    text: str
    ratio: float | None
    room: float | None
    is_met: bool | None
    is_far_missed: bool | None


class ScenarioResult(TypedDict):
    """One scenario."""

    name: str
    about: str
    metrics: list[str]
    entries: list[EntryResult]
    bars: list[BarResult]
    left_out: dict[str, str]  # entry -> why
    failed: dict[str, str]  # entry -> why


class Results(TypedDict):
    """One run."""

    begun: str
    machine: dict[str, Any]
    rounds: int
    seconds: float
    scenarios: list[ScenarioResult]


def entry_result(name: str, kind: str, samples: list[Sample]) -> EntryResult:
    return {
        "name": name,
        "kind": kind,
        "samples": samples,
        "median": medians(samples),
        "spread": spreads(samples),
    }


def judge_bars(bars: Iterable[Bar], entries: Iterable[EntryResult]) -> list[BarResult]:
    """Each bar, judged by the medians of the entries that it names."""
    figures = {entry["name"]: entry["median"] for entry in entries}
    return [judge_bar(bar, figures) for bar in bars]


def judge_bar(bar: Bar, figures: dict[str, Sample]) -> BarResult:
    key = bar.metric.key
    result: BarResult = {
        "text": str(bar),
        "ratio": None,
        "room": None,
        "is_met": None,
        "is_far_missed": None,
    }
    if bar.who not in figures or (bar.of is not None and bar.of not in figures):
        return result
    reference = 1.0 if bar.of is None else figures[bar.of][key]
    verdict = bar.judge(figures[bar.who][key], reference)
    return {
        "text": str(bar),
        "ratio": verdict.ratio,
        "room": verdict.room,
        "is_met": verdict.is_met,
        "is_far_missed": bar.is_far_missed(verdict.ratio),
    }


def write_results(path: Path, results: Results) -> None:
    path.write_text(json.dumps(rounded(results), indent=1) + "\n", "utf-8")


def read_results(path: Path) -> Results:
    results: Results = json.loads(path.read_text("utf-8"))
    return results


def rounded(value: Any) -> Any:
    """Five digits of each figure: more are noise, and fill the file."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
