"""The limits on heads, complete and incomplete."""

from __future__ import annotations

import pytest

from buntime.core.errors import ClientFault
from buntime.core.http1.limits import Limits

LIMITS = Limits(request_line_max_bytes=20, headers_max_bytes=30, header_fields_max=2)
LINE = b"GET /123456 HTTP/1.1"  # 20 bytes
FIELDS = b"A: 1\r\nB: " + b"2" * 19 + b"\r\n"  # 30 bytes


def refused(raw: bytes, *, scanned: int | None = None) -> int | None:
    """The status that a head is refused with, if it is."""
    try:
        if scanned is None:
            LIMITS.check(raw)
        else:
            LIMITS.check_incomplete(raw, scanned)
    except ClientFault as fault:
        return fault.status if fault.closes else 0
    return None


def test_a_head_at_its_bounds_is_taken() -> None:
    """A head exactly at its limits is accepted."""
    assert refused(LINE + b"\r\n" + FIELDS + b"\r\n") is None
    assert refused(LINE, scanned=0) is None
    assert refused(LINE + b"\r", scanned=0) is None
    assert refused(LINE + b"\r\n" + FIELDS, scanned=0) is None


def test_a_head_beyond_its_bounds_is_refused() -> None:
    """A head one byte above a limit is refused, whether or not it is complete."""
    line = LINE.replace(b"/", b"/0")
    assert refused(line + b"\r\n" + FIELDS + b"\r\n") == 414
    assert refused(LINE + b"\r\n" + FIELDS.replace(b"1", b"11") + b"\r\n") == 431
    assert refused(line + b"\r", scanned=0) == 414
    assert refused(LINE + b"\r\n" + FIELDS + b"C: 3", scanned=0) == 431


def test_a_method_that_never_ends() -> None:
    """In a request line that is too long, an overlong method gets 501, an invalid method 400,
    and anything else 414."""
    for scanned in (0, None):
        end = b"" if scanned == 0 else b" / HTTP/1.1\r\n\r\n"
        assert refused(b"A" * 60 + end, scanned=scanned) == 501
        assert refused(b"@" * 60 + end, scanned=scanned) == 400
        assert refused(b"A /" + b"@" * 60 + end, scanned=scanned) == 414


def test_an_incomplete_head_is_refused_early() -> None:
    """A byte that is invalid in a head is refused at once, even if a CR before it was still
    waiting for its LF."""
    assert refused(b"GET \0", scanned=0) == 400
    assert refused(b"GET \r/", scanned=4) == 400
    assert refused(b"GET \r/", scanned=5) == 400
    assert refused(b"GET /\r", scanned=0) is None


def test_fields_are_counted() -> None:
    """The maximum number of fields is accepted, one more is refused."""
    LIMITS.check_count(2)
    with pytest.raises(ClientFault) as caught:
        LIMITS.check_count(3)
    assert caught.value.status == 431
