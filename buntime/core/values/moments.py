"""Points in time as JSON and people write them: RFC 3339, in UTC."""

import re
from datetime import UTC, datetime

from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

MOMENT_FORM = '"2027-01-31T12:00:00Z"'
_MOMENT = regex(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6}\d*)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def iso_moment(seconds: float) -> str:
    """Seconds since 1970 as `"2026-11-27T02:11:58Z"`; fractions of a second are dropped."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_moment(text: str) -> float:
    """Seconds since 1970: `"2027-01-31T12:00:00+01:00"`. Raises BadValue."""
    if _MOMENT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).timestamp()
        except (ValueError, OverflowError):  # such as the 31st of February
            pass
    raise BadValue(f"{shown(text)} is not a moment; write one like {MOMENT_FORM}")
