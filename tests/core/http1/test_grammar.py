"""The shared grammar: each character, in text and in bytes."""

from __future__ import annotations

import re
import string

import pytest

from buntime.core.http1.grammar import TCHAR, TOKEN, TOKEN_BYTES, VALUE, VALUE_BYTES

TCHARS = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters  # RFC 9110 5.6.2
CHARS = [chr(code) for code in range(256)]


def matching(pattern: str, alphabet: list[str]) -> set[str]:
    return {char for char in alphabet if re.fullmatch(pattern, char)}


def test_what_a_token_is_made_of() -> None:
    """A token has the characters of RFC 9110 and no others, within Latin-1 or beyond."""
    assert matching(TOKEN, [*CHARS, "\u0100", "\u017f", "\u212a", "\uff10"]) == set(TCHARS)
    assert re.fullmatch(TOKEN, "") is None
    assert matching(f"[{TCHAR}:]", CHARS) == {*TCHARS, ":"}


def test_what_a_value_is_made_of() -> None:
    """A value has no control character except HTAB, and nothing beyond Latin-1."""
    controls = {chr(code) for code in [*range(0x20), 0x7F]} - {"\t"}
    assert matching(VALUE, [*CHARS, "\u0100", "\u2028"]) == set(CHARS) - controls
    assert re.fullmatch(VALUE, "")


@pytest.mark.parametrize(("text", "raw"), [(TOKEN, TOKEN_BYTES), (VALUE, VALUE_BYTES)])
def test_bytes_are_matched_alike(text: str, raw: bytes) -> None:
    """A pattern means the same before and after bytes are decoded."""
    matched = {char for char in CHARS if re.fullmatch(raw, char.encode("latin-1"))}
    assert matched == matching(text, CHARS)
