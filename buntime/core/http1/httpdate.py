"""Reads dates in HTTP's formats (RFC 9110 5.6.7); `files.http_date` writes them."""

import re
from datetime import UTC, datetime

from buntime.core.values.regex import regex
from buntime.sdk.files import MONTHS

_TIME = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_MONTH = f"(?P<month>{'|'.join(MONTHS)})"
_FORMS = tuple(
    regex(form, re.ASCII)
    for form in (
        # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
        rf"[A-Z][a-z]{{2}}, (?P<day>\d{{2}}) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        # rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d{{2}})-{_MONTH}-(?P<year>\d{{2}}) {_TIME} GMT",
        # asctime-date: Sun Nov  6 08:49:37 1994
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
# A two-digit year is read as POSIX does. RFC 9110's rule needs a clock, which core has not got.
_CENTURY_PIVOT = 70


def parse_http_date(text: str) -> int | None:
    """Seconds since 1970, or None where `text` is not an HTTP-date in any of its three forms."""
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None:
            return _seconds(match)
    return None


def _seconds(match: re.Match[str]) -> int | None:
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 2000 if year < _CENTURY_PIVOT else 1900
    try:
        moment = datetime(
            year,
            MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(int(match["second"]), 59),  # 60 is a leap second, which POSIX time does not have
            tzinfo=UTC,
        )
    except ValueError:  # such as the 31st of February
        return None
    return int(moment.timestamp())
