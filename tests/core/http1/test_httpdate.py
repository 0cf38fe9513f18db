"""HTTP dates: three forms to read, one to write."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.httpdate import parse_http_date
from buntime.sdk.files import http_date

YEAR_9999_S = 253402300799


@given(st.integers(0, YEAR_9999_S))
def test_round_trip(seconds: int) -> None:
    """A written date reads back as the same second."""
    assert parse_http_date(http_date(seconds)) == seconds


@given(st.integers(0, YEAR_9999_S))
def test_same_as_the_stdlib(seconds: int) -> None:
    """A date is written as email.utils writes it."""
    assert http_date(seconds) == formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_three_forms(text: str) -> None:
    """RFC 9110's own three examples are the same second."""
    assert parse_http_date(text) == 784111777


def test_two_digit_years() -> None:
    """Years 00 to 69 belong to this century, 70 to 99 to the last one."""
    assert parse_http_date("Sunday, 06-Nov-69 08:49:37 GMT") == 3150953377
    assert parse_http_date("Friday, 06-Nov-70 08:49:37 GMT") == 26729377


def test_leap_second() -> None:
    """Second 60 is read as 59, since POSIX time has no leap seconds."""
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == 1483228799


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 0٨:49:37 GMT",
    ],
)
def test_no_dates(text: str) -> None:
    """Anything that is not an HTTP-date is None, not an error and not a guess."""
    assert parse_http_date(text) is None


@given(st.text(max_size=60))
def test_garbage(text: str) -> None:
    """No text raises."""
    assert parse_http_date(text) is None or text.isascii()
