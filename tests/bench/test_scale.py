"""The simulation of many pods, and the page that shows its figures."""

from __future__ import annotations

import pytest

from bench.contestants import ROOT
from bench.results import read_results
from bench.scale import (
    BEGIN,
    END,
    PAGE,
    TICK_S,
    Day,
    Hpa,
    Load,
    arrivals,
    page_text,
    simulated,
    wanted,
)


def test_the_page() -> None:
    """The page has exactly the code's text; otherwise run `python3 build.py bench --scale`."""
    text = page_text(read_results(ROOT / "bench/results.json"))
    told = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert told.strip() == text


@pytest.mark.parametrize(
    ("ready", "pods", "used", "then"),
    [
        (4, 4, 2.8, 4),  # at its target of 70%
        (4, 4, 3.05, 4),  # within the tolerance
        (4, 4, 4.0, 6),  # 4 * 1.0 / 0.7, rounded up
        (4, 4, 1.4, 2),
        (2, 4, 2.0, 4),  # two starting pods count as idle, and are enough
        (10, 10, 0.0, 1),
    ],
)
def test_the_controller(ready: int, pods: int, used: float, then: int) -> None:
    """The number of pods is the ratio to the target, rounded up; the tolerance changes nothing."""
    assert wanted(Hpa(), ready, pods, used) == then


def test_a_day_has_its_requests() -> None:
    """A day has its number of requests, plus bursts on top."""
    assert 1e6 <= sum(arrivals(1e6)) <= 1.02e6
    assert max(arrivals(86_400.0)) / TICK_S == pytest.approx(1.65 * 1.5, rel=0.01)


def test_more_takes_more() -> None:
    """More requests need more pods; if a pod starts at once, fewer requests are late."""
    small, large = simulated(Load(1e7, 0.01)), simulated(Load(1e8, 0.01))
    assert small.least >= 2
    assert large.mean > 5 * small.mean
    assert large.late < 0.05
    quick = simulated(Load(1e8, 0.01), Hpa(ready_s=0, metrics_late_s=0, aim=0.5))
    assert quick.late <= large.late


def test_another_day() -> None:
    """Spread evenly, the same requests need the same few pods all day, and none of them waits."""
    even = simulated(Load(5e7, 0.01), Hpa(), Day(swing=0.0, burst=1.0))
    assert even.least == even.most
    assert even.late == 0
    assert simulated(Load(5e7, 0.01), Hpa(), Day(burst=3.0)).late > simulated(Load(5e7, 0.01)).late
