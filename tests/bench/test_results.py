"""From samples to the table, the page and the picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.chart import draw
from bench.errors import BenchError
from bench.figures import P50, RATE, Bar, Direction
from bench.report import (
    BEGIN,
    END,
    aligned,
    figure,
    fill,
    markdown,
    scenario_text,
    summary,
    verdict,
)
from bench.results import Results, entry_result, judge_bars, read_results, write_results

BARS = (
    Bar(Direction.AT_LEAST, 0.8, RATE, "bare <loop>"),
    Bar(Direction.AT_MOST, 1.0, P50, "bare <loop>"),
    Bar(Direction.ABOVE, 1.0, RATE, "nobody"),
)
ENTRIES = [
    entry_result(
        "buntime", "ours", [{"rate": 9000.0, "p50_ms": 5.0}, {"rate": 9900.0, "p50_ms": 5.0}]
    ),
    entry_result("bare <loop>", "limit", [{"rate": 10500.0, "p50_ms": 4.0}]),
    entry_result("spawns", "limit", [{"rate": 70.0}]),
]
RESULTS: Results = {
    "begun": "2026-01-01 00:00 UTC",
    "machine": {
        "cpu": "A & B <fast>",
        "cores": 2,
        "memory_gib": 4.0,
        "kernel": "Linux",
        "python": "CPython 3.11.7",
        "load": 0.1,
        "commit": "abc",
        "versions": "wrk 4",
    },
    "rounds": 3,
    "seconds": 3.0,
    "scenarios": [
        {
            "name": "warm-noop",
            "about": "two bytes",
            "metrics": ["rate", "p50_ms"],
            "entries": ENTRIES,
            "bars": judge_bars(BARS, ENTRIES),
            "left_out": {"nginx": "nginx is missing"},
            "failed": {"gunicorn": "it ended as it started"},
        },
        {
            "name": "empty",
            "about": "nothing could be measured",
            "metrics": ["rate"],
            "entries": [],
            "bars": judge_bars(BARS[:1], []),
            "left_out": {},
            "failed": {},
        },
    ],
}


def test_bars_are_judged_by_medians() -> None:
    """A bar compares medians; if its reference was not measured, it stays open."""
    met, missed, open_ = RESULTS["scenarios"][0]["bars"]
    assert (met["ratio"], met["is_met"]) == (pytest.approx(0.9), True)
    assert (missed["ratio"], missed["is_met"], missed["is_far_missed"]) == (1.25, False, False)
    assert (open_["ratio"], open_["is_met"], open_["is_far_missed"]) == (None, None, None)


def test_verdicts() -> None:
    """A verdict says met or missed, and by how much of the bar."""
    assert [verdict(bar) for bar in RESULTS["scenarios"][0]["bars"]] == [
        "requests/s at least 0.8 of bare <loop>: 0.90, met by 12%",
        "p50 ms at most 1 of bare <loop>: 1.25, missed by 25%",
        "requests/s above 1 of nobody: not measured",
    ]


def test_terminal() -> None:
    """The table has all figures, ratios to the first entry, omissions and failures."""
    lines = scenario_text(RESULTS["scenarios"][0]).splitlines()
    assert lines[1] == "warm-noop: two bytes"
    assert [line.split() for line in lines[3:6]] == [
        ["buntime", "9,450", "5.00", "10%", "1.00"],
        ["bare", "<loop>", "10,500", "4.00", "0.90"],
        ["spawns", "70.0", "135.00"],
    ]
    assert lines[-2:] == [
        "  left out: nginx: nginx is missing",
        "  FAILED: gunicorn: it ended as it started",
    ]
    assert summary(RESULTS).splitlines()[1] == "1 of 4 bars met, 2 not measured"


def test_columns() -> None:
    """Columns are as wide as their widest cell."""
    assert aligned([["", "rate"], ["longer", "1"]]) == ["        rate", "longer     1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0, "0.00")],
)
def test_figures(value: float, expected: str) -> None:
    """Figures have three significant digits."""
    assert figure(value) == expected


def test_file(tmp_path: Path) -> None:
    """Results can be read again, with five digits of each figure."""
    write_results(tmp_path / "results.json", RESULTS)
    again = read_results(tmp_path / "results.json")
    assert again["machine"] == RESULTS["machine"]
    bar = again["scenarios"][0]["bars"][0]
    assert bar["ratio"] == 0.9
    assert json.loads(json.dumps(again)) == again


def test_chart() -> None:
    """The picture is well-formed, with a bar for each figure and nothing beyond its edge."""
    root = ET.fromstring(draw(RESULTS))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    rects = [rect.attrib for rect in root.iter("{http://www.w3.org/2000/svg}rect")]
    drawn = [rect for rect in rects if rect.get("height") == "14"]
    assert len(drawn) == len(ENTRIES)
    lengths = [float(rect["width"]) for rect in drawn]
    assert lengths[0] / lengths[1] == pytest.approx(9450 / 10500, abs=0.01)
    assert all(float(rect["x"]) + float(rect["width"]) < width for rect in drawn)
    assert all(float(rect["y"]) + 14 < height for rect in drawn)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "bare <loop>" in texts
    assert "requests/s above 1 of nobody: not measured" in texts


def test_page(tmp_path: Path) -> None:
    """The report replaces the text between its marks, however often it is made."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    fill(page, markdown(RESULTS))
    once = page.read_text()
    fill(page, markdown(RESULTS))
    assert page.read_text() == once
    assert once.startswith(f"before\n\n{BEGIN}\n")
    assert once.endswith(f"{END}\n\nafter\n")
    assert "old" not in once
    assert "| buntime | 9,450 | 5.00 | 10% | 1.00 |" in once


def test_page_without_marks(tmp_path: Path) -> None:
    """A page without marks is left as it is."""
    page = tmp_path / "performance.md"
    page.write_text("mine\n")
    with pytest.raises(BenchError, match=r"performance\.md"):
        fill(page, markdown(RESULTS))
    assert page.read_text() == "mine\n"
