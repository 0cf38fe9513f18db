"""Moments in their written form."""

from __future__ import annotations

import pytest

from buntime.core.values.moments import iso_moment, parse_moment
from buntime.core.values.units import BadValue


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2027-01-31T12:00:00Z", 1801396800),
        ("2027-01-31T13:00:00+01:00", 1801396800),
        ("2027-01-31 12:00:00.5z", 1801396800.5),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    """A time with a zone is a moment."""
    assert parse_moment(text) == seconds
    assert parse_moment(iso_moment(seconds)) == int(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2027-01-31",
        "2027-01-31T12:00:00",
        "2027-02-31T12:00:00Z",
        "2027-01-31T25:00:00Z",
    ],
)
def test_what_is_none(text: str) -> None:
    """A day alone, or a time without a zone, is not a moment."""
    with pytest.raises(BadValue, match="is not a moment"):
        parse_moment(text)
