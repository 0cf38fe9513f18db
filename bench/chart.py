"""Draws results as an SVG: a group of horizontal bars for each scenario."""

from __future__ import annotations

from xml.sax.saxutils import escape

from bench.figures import METRICS
from bench.report import figure, verdict
from bench.results import EntryResult, Results, ScenarioResult

WIDTH = 860
LABEL_X = 230  # names end here, bars begin after it
BAR_WIDTH = 480  # of the largest value
ROW = 20
LINE = 17
MARGIN = 16
COLOURS = {"ours": "#2563a8", "peer": "#a9b4c0", "limit": "#e0a53c"}
LEGEND = {"ours": "Buntime", "peer": "others", "limit": "limits of this machine"}
BETTER = "↑ more is better   ↓ less is better"
MET, MISSED, QUIET, INK = "#1f7a3d", "#b3261e", "#5b6670", "#1c2126"
STYLE = "font-family='system-ui, sans-serif' font-size='12'"


def draw(results: Results) -> str:
    """The whole picture."""
    machine = results["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['python']}"
    how = f"medians of {results['rounds']} rounds of {results['seconds']:g} s, {results['begun']}"
    parts = [text(MARGIN, 26, "Buntime beside others", weight="bold", size=17)]
    parts += [text(MARGIN, 46, f"{where}; {how}", QUIET), *legend(66)]
    y = 92.0
    for scenario in results["scenarios"]:
        if scenario["entries"]:
            block, y = scenario_block(scenario, y)
            parts += block
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y:g}' width='{WIDTH}' "
        f"height='{y:g}' {STYLE}>\n<rect width='100%' height='100%' fill='#ffffff'/>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def scenario_block(scenario: ScenarioResult, y: float) -> tuple[list[str], float]:
    """One scenario's title, bars and verdicts, and the position of the next scenario."""
    key = scenario["metrics"][0]
    largest = max(entry["median"][key] for entry in scenario["entries"])
    metric = METRICS[key]
    title = f"{scenario['name']}: {metric.label} {'↓' if metric.is_cost else '↑'}"
    parts = [text(MARGIN, y + 14, title, weight="bold")]
    parts.append(text(LABEL_X + 12, y + 14, scenario["about"], QUIET))
    y += 24
    for entry in scenario["entries"]:
        parts += entry_bar(entry, key, largest, y)
        y += ROW
    for judged in scenario["bars"]:
        colour = {True: MET, False: MISSED, None: QUIET}[judged["is_met"]]
        parts.append(text(LABEL_X + 12, y + 13, verdict(judged), colour))
        y += LINE
    return parts, y + MARGIN


def entry_bar(entry: EntryResult, key: str, largest: float, y: float) -> list[str]:
    value = entry["median"][key]
    width = BAR_WIDTH * value / largest if largest else 0.0
    place = f"x='{LABEL_X + 12}' y='{y + 3:g}' width='{width:.1f}' height='{ROW - 6}'"
    return [
        text(LABEL_X, y + 14, entry["name"], anchor="end"),
        f"<rect {place} fill='{COLOURS[entry['kind']]}'/>",
        text(LABEL_X + 18 + width, y + 14, figure(value)),
    ]


def legend(y: float) -> list[str]:
    parts, x = [], MARGIN
    for kind, name in LEGEND.items():
        parts.append(f"<rect x='{x}' y='{y - 10}' width='12' height='12' fill='{COLOURS[kind]}'/>")
        parts.append(text(x + 18, y, name))
        x += 40 + 7 * len(name)
    return [*parts, text(x, y, BETTER, QUIET)]


def text(
    x: float,
    y: float,
    content: str,
    colour: str = INK,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 12,
) -> str:
    place = f"x='{x:.1f}' y='{y:.1f}' fill='{colour}'"
    form = f"text-anchor='{anchor}' font-weight='{weight}' font-size='{size}'"
    return f"<text {place} {form}>{escape(content)}</text>"
