"""The table of README.md: Buntime beside its alternatives, in a few scenarios.

Each row names one scenario and one measure. Our figure may be the better or the worse one: the rows
were chosen by what people ask, not by who wins.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.figures import METRICS
from bench.report import figure, markdown_row
from bench.results import Results

BEGIN = "<!-- figures: written by `python3 build.py bench --report` -->"
END = "<!-- end of figures -->"

_COLUMNS = {
    "Buntime": ("buntime",),
    "gunicorn, nginx": ("gunicorn behind nginx", "gunicorn", "nginx"),
    "uvicorn, nginx": ("uvicorn h11 behind nginx", "uvicorn h11", "nginx"),
    "granian": ("granian",),
}


class _Row(NamedTuple):
    text: str
    scenario: str
    metric: str  # key of METRICS


_ROWS = (
    _Row("two bytes from a WSGI app", "wsgi-noop", "rate"),
    _Row("two bytes from an ASGI app", "asgi-noop", "rate"),
    _Row("two bytes, one connection", "warm-noop-1", "p50_ms"),
    _Row("a static file of 4 KiB", "static-4kb", "rate"),
    _Row("an upload of 100 MiB", "upload-100mb", "mb_per_s"),
    _Row("a download of 100 MiB", "download-100mb", "mb_per_s"),
    _Row("from the start to the first answer", "start-up", "start_ms"),
)


def comparison(results: Results) -> str:
    """The Markdown table: a row for each measured scenario, a column for each rival."""
    scenarios = {scenario["name"]: scenario for scenario in results["scenarios"]}
    table = [["", "measure", *_COLUMNS], ["---", "---", *["---:"] * len(_COLUMNS)]]
    for row in _ROWS:
        if row.scenario not in scenarios:
            continue
        medians = {e["name"]: e["median"] for e in scenarios[row.scenario]["entries"]}
        cells = [_cell(medians, names, row.metric) for names in _COLUMNS.values()]
        table.append([row.text, METRICS[row.metric].label, *cells])
    machine = results["machine"]
    lines = [markdown_row(row) for row in table]
    lines += ["", f"One worker process each, on {machine['cores']} cores, {machine['python']}."]
    return "\n".join(lines)


def _cell(medians: dict[str, dict[str, float]], names: tuple[str, ...], metric: str) -> str:
    """The figure of the first of these names that was measured, otherwise ""."""
    found = (medians[name][metric] for name in names if metric in medians.get(name, {}))
    return next((figure(value) for value in found), "")
