"""Long percent-encoded bytes are decoded like short ones, in linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.sdk.escapes import unquote_long
from buntime.sdk.fields import unquote
from buntime.sdk.forms import parse_form

_PIECES = st.sampled_from(
    [b"%", b"%4", b"%41", b"%zz", b"a", b"%%", b"%c3%A9", b"%25", b"4", b"\xff"]
)


@given(st.lists(_PIECES, max_size=40).map(b"".join))
def test_like_short_ones(raw: bytes) -> None:
    """Both ways to decode agree, even on malformed input."""
    assert unquote_long(raw) == unquote(raw)


@pytest.mark.parametrize("piece", ["%", "%4", "%41", "a%", "%zz", "%41a", "+", "%%41", "="])
def test_no_form_is_slow(piece: str) -> None:
    """A form of two megabytes takes a fraction of a second, whatever it contains."""
    data = (piece * (2_000_000 // len(piece))).encode()
    started = time.process_time()
    form = parse_form(data, "application/x-www-form-urlencoded")
    assert time.process_time() - started < 1
    assert len(form) == 1
