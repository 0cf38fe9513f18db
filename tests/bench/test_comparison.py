"""The table of README.md is generated from bench/results.json."""

from __future__ import annotations

from bench.comparison import BEGIN, END, comparison
from bench.contestants import ROOT
from bench.results import read_results


def test_readme() -> None:
    """The README shows the figures of the last full run."""
    results = read_results(ROOT / "bench/results.json")
    told = (ROOT / "README.md").read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert told.strip() == comparison(results), "python3 build.py bench --report"


def test_what_was_not_measured() -> None:
    """A missing scenario has no row, and a rival that was not measured has an empty cell."""
    results = read_results(ROOT / "bench/results.json")
    kept = [s for s in results["scenarios"] if s["name"] == "wsgi-noop"]
    text = comparison({**results, "scenarios": kept})
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 3
    cells = [cell.strip() for cell in rows[2].strip("|").split("|")]
    assert cells[3]  # gunicorn behind nginx
    assert cells[4] == ""  # uvicorn serves no WSGI app
