"""Durations and sizes: what people may write, and that nothing is lost in a round trip."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.values.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("30", 30.0),
        ("1.5", 1.5),
        ("1.5h", 5400.0),
        ("0", 0.0),
        (" 10 S ", 10.0),
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    """A duration is seconds, or a number with a unit, in any case."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *("", "s", "soon", "-1", "1h30m", "1e3", "5 minutes", "٣s", "1_000", ".5", "9" * 5000),
        *(-1, -0.5, float("inf"), float("nan"), 10**400, True, False),
    ],
)
def test_what_is_no_duration(value: str | float) -> None:
    """Anything else is refused with a sentence that says what is allowed."""
    with pytest.raises(ValueError, match=r'is not a duration; write seconds, or "500ms"') as caught:
        parse_duration(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("10mb", 10 << 20),
        ("64kb", 64 << 10),
        ("1gb", 1 << 30),
        ("512b", 512),
        ("512", 512),
        ("1.5kb", 1536),
        ("0.001kb", 1),
        (" 10 MB ", 10 << 20),
        (0, 0),
        (4096, 4096),
    ],
)
def test_sizes(text: int | str, size_bytes: int) -> None:
    """A size is bytes, or a number with a unit in steps of 1024; parts of a byte are dropped."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("value", ["", "mb", "big", "-1", "10mib", "1tb", "1e3", -1, True, 10**400])
def test_what_is_no_size(value: int | str) -> None:
    """Anything else is refused with a sentence that says what is allowed."""
    with pytest.raises(ValueError, match='is not a size; write bytes, or "64kb"'):
        parse_size(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (30, "30s"),
        (90, "90s"),
        (60, "1m"),
        (5400, "90m"),
        (172_800, "2d"),
        (604_800, "1w"),
        (0.0001, "0.0001s"),
        (1 / 3, "0.333333333s"),
    ],
)
def test_durations_in_messages(seconds: float, text: str) -> None:
    """A duration is shown in the largest exact unit."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0b"), (1000, "1000b"), (1024, "1kb"), (1536, "1536b"), (10 << 20, "10mb")],
)
def test_sizes_in_messages(size_bytes: int, text: str) -> None:
    """A size is shown in the largest exact unit."""
    assert format_size(size_bytes) == text


@settings(deadline=None)
@given(st.integers(0, 10**12))
def test_durations_round_trip(milliseconds: int) -> None:
    """Any duration in whole milliseconds reads back unchanged."""
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@settings(deadline=None)
@given(st.integers(0, 10**15 - 1))
def test_sizes_round_trip(size_bytes: int) -> None:
    """Any size reads back unchanged."""
    assert parse_size(format_size(size_bytes)) == size_bytes


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text(text: str) -> None:
    """Any text gives a finite number, not below zero, or a ValueError, and nothing else."""
    for parse in (parse_duration, parse_size):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert 0 <= value < float("inf")
