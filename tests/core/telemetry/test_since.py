"""From when on lines of a log are wanted, as operators write it."""

import pytest

from buntime.core.telemetry.since import parse_since
from buntime.core.values.units import BadValue

NOON = 1772366400.0  # 2026-03-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", NOON - 900),
        ("90", NOON - 90),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00.5Z", NOON + 0.5),
        ("2026-03-01T13:00:00+01:00", NOON),
        ("2026-03-01T13:00:00 01:00", NOON),  # a plus in a query
        ("2026-03-01T12:00", NOON),
        ("2026-03-01 12:00", NOON),
        ("2026-03-01", NOON - 12 * 3600),
        ("0001-01-01T00:00:00Z", 0.0),
        ("100000000000000", 0.0),
    ],
)
def test_moment(text: str, expected: float) -> None:
    """A moment is a time, or how long ago."""
    assert parse_since(text, NOON) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "12:00", "1m30s", "\u0661m"])
def test_no_moment(text: str) -> None:
    """Anything else is refused, with what would be right."""
    with pytest.raises(BadValue, match="is not a moment; write"):
        parse_since(text, NOON)
