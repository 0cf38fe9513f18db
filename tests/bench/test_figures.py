"""Medians, spreads, ratios and bars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import P50, RATE, Bar, Direction, in_turn, medians, percentile, spreads

SAMPLES = [
    {"rate": 900.0, "p50_ms": 2.0},
    {"rate": 1100.0, "p50_ms": 9.0},
    {"rate": 1000.0, "p50_ms": 3.0},
]


def test_medians() -> None:
    """Each metric has its own median: one bad round does not move it."""
    assert medians(SAMPLES) == {"rate": 1000.0, "p50_ms": 3.0}


def test_spreads() -> None:
    """The spread is the range from least to most, relative to the median."""
    assert spreads(SAMPLES) == {"rate": 0.2, "p50_ms": pytest.approx(7 / 3)}


def test_spread_of_nothing() -> None:
    """A figure that is always 0 has no spread."""
    assert spreads([{"kib_each": 0.0}, {"kib_each": 0.0}]) == {"kib_each": 0.0}


@pytest.mark.parametrize(
    ("part", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_percentile(part: float, expected: float) -> None:
    """Of the numbers 1 to 100, the given part is not above the percentile."""
    assert percentile([float(n) for n in range(100, 0, -1)], part) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.001, 1))
def test_percentile_is_a_value(values: list[float], part: float) -> None:
    """A percentile is one of the values, and at least that part of them does not exceed it."""
    found = percentile(values, part)
    assert found in values
    assert sum(value <= found for value in values) >= part * len(values) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("direction", "factor", "value", "reference", "is_met", "room"),
    [
        (Direction.AT_LEAST, 0.8, 880, 1000, True, 0.1),
        (Direction.AT_LEAST, 0.8, 800, 1000, True, 0.0),
        (Direction.AT_LEAST, 0.8, 400, 1000, False, -0.5),
        (Direction.ABOVE, 1.0, 1000, 1000, False, 0.0),
        (Direction.ABOVE, 1.0, 1001, 1000, True, 0.001),
        (Direction.AT_MOST, 2.0, 150, 100, True, 0.25),
        (Direction.AT_MOST, 2.0, 200, 100, True, 0.0),
        (Direction.AT_MOST, 2.0, 300, 100, False, -0.5),
    ],
)
def test_bar(
    direction: Direction, factor: float, value: float, reference: float, is_met: bool, room: float
) -> None:
    """A bar is met or missed by a part of itself; only `above` is missed by an equal figure."""
    verdict = Bar(direction, factor, RATE, "bare loop").judge(value, reference)
    assert verdict.ratio == value / reference
    assert verdict.is_met is is_met
    assert verdict.room == pytest.approx(room)


def test_bar_of_nobody() -> None:
    """A bar without a reference compares the figure itself."""
    verdict = Bar(Direction.AT_MOST, 6.0, P50).judge(7.5)
    assert (verdict.ratio, verdict.is_met, verdict.room) == (7.5, False, -0.25)


@pytest.mark.parametrize(
    ("direction", "factor", "ratio", "is_far"),
    [
        (Direction.AT_LEAST, 0.8, 0.41, False),
        (Direction.AT_LEAST, 0.8, 0.39, True),
        (Direction.ABOVE, 0.7, 0.34, True),
        (Direction.AT_MOST, 2.2, 4.3, False),
        (Direction.AT_MOST, 2.2, 4.5, True),
    ],
)
def test_far_missed(direction: Direction, factor: float, ratio: float, is_far: bool) -> None:
    """Less than half of a bar is far off, and so is more than twice what it allows."""
    assert Bar(direction, factor, RATE, "bare loop").is_far_missed(ratio) is is_far


def test_text_of_a_bar() -> None:
    """A bar reads as a sentence, and names only other forms of Buntime."""
    assert str(Bar(Direction.AT_LEAST, 0.8, RATE, "bare loop")) == (
        "requests/s at least 0.8 of bare loop"
    )
    assert str(Bar(Direction.AT_MOST, 4.0, P50, "warm", who="buntime, prewarm: 1")) == (
        "p50 ms of buntime, prewarm: 1 at most 4 of warm"
    )


def test_in_turn() -> None:
    """Everyone is measured once a round, and each round begins with the next one."""
    assert in_turn("abc", 3) == list("abcbcacab")
    assert in_turn("", 3) == []
