"""Shows results: as a table for a terminal, and as one for docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.figures import METRICS
from bench.results import BarResult, EntryResult, Results, ScenarioResult

BEGIN = "<!-- results: written by `python3 build.py bench --report` -->"
END = "<!-- end of results -->"


def figure(value: float) -> str:
    """Three digits or more: `12345.6` -> "12,346", `1.2345` -> "1.23"."""
    for limit, form in (1000, ",.0f"), (100, ".0f"), (10, ".1f"):
        if abs(value) >= limit:
            return f"{value:{form}}"
    return f"{value:.2f}"


def verdict(bar: BarResult) -> str:
    """`"rate at least 0.8 of bare loop: 0.91, met by 14%"`."""
    if bar["ratio"] is None or bar["room"] is None:
        return f"{bar['text']}: not measured"
    word = "met" if bar["is_met"] else "missed"
    return f"{bar['text']}: {figure(bar['ratio'])}, {word} by {abs(bar['room']):.0%}"


def ratio(scenario: ScenarioResult, entry: EntryResult) -> str:
    """The first entry's figure divided by this one's."""
    key, first = scenario["metrics"][0], scenario["entries"][0]
    other = entry["median"].get(key)
    return f"{first['median'][key] / other:.2f}" if other else ""


def rows(scenario: ScenarioResult) -> list[list[str]]:
    """The table's head, and a row for each entry."""
    keys = scenario["metrics"]
    if not scenario["entries"]:
        return []
    first = scenario["entries"][0]["name"]
    table = [["", *(METRICS[key].label for key in keys), "spread", f"{first} : this"]]
    for entry in scenario["entries"]:
        cells = [figure(entry["median"][key]) if key in entry["median"] else "" for key in keys]
        spread = f"{entry['spread'][keys[0]]:.0%}" if len(entry["samples"]) > 1 else ""
        table.append([entry["name"], *cells, spread, ratio(scenario, entry)])
    return table


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, the first one flush left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def scenario_text(scenario: ScenarioResult) -> str:
    """The text of a scenario for a terminal."""
    lines = ["", f"{scenario['name']}: {scenario['about']}"]
    lines += [f"  {line}" for line in aligned(rows(scenario))]
    lines += [f"  bar: {verdict(bar)}" for bar in scenario["bars"]]
    lines += [f"  left out: {name}: {why}" for name, why in scenario["left_out"].items()]
    lines += [f"  FAILED: {name}: {why}" for name, why in scenario["failed"].items()]
    return "\n".join(lines)


def machine_text(results: Results) -> str:
    machine = results["machine"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['kernel']}, {machine['python']}, load average {machine['load']} at the start; "
        f"{machine['versions']}; commit {machine['commit']}"
    )


def summary(results: Results) -> str:
    """How many bars were met, and which were not."""
    bars = [
        (scenario["name"], bar) for scenario in results["scenarios"] for bar in scenario["bars"]
    ]
    judged = [(name, bar) for name, bar in bars if bar["is_met"] is not None]
    met = sum(1 for _, bar in judged if bar["is_met"])
    lines = ["", f"{met} of {len(bars)} bars met, {len(bars) - len(judged)} not measured"]
    lines += [f"  {name}: {verdict(bar)}" for name, bar in judged if not bar["is_met"]]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """The part of docs/performance.md that is made from results."""
    lines = [
        f"Measured {results['begun']}: {results['rounds']} rounds of {results['seconds']:g} s.",
        f"{machine_text(results)}.",
        "",
        "![The same as a picture](../bench/results.svg)",
    ]
    for scenario in results["scenarios"]:
        lines += ["", f"### {scenario['name']}", "", f"{sentence(scenario['about'])}", ""]
        table = rows(scenario)
        if table:
            lines += [
                markdown_row(table[0]),
                markdown_row(["---", *["---:"] * (len(table[0]) - 1)]),
            ]
            lines += [markdown_row(row) for row in table[1:]]
        lines += [""] if scenario["bars"] or scenario["failed"] else []
        lines += [f"- {verdict(bar)}" for bar in scenario["bars"]]
        lines += [f"- failed: {name}: {why}" for name, why in scenario["failed"].items()]
    return "\n".join(lines)


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def fill(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put a text into a page, between its two marks."""
    before, has_begin, rest = page.read_text("utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise BenchError(f"{page}: there is no {begin} ... {end} to put the results into")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")
