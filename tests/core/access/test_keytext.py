"""The text of a key: its format and its checksum."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.keytext import digest_of, is_key, make_key

KEY = make_key(bytes(range(32)))


@given(st.binary(min_size=32, max_size=32))
def test_keys(chance: bytes) -> None:
    """Every key has the same format and is recognized by it."""
    key = make_key(chance)
    assert re.fullmatch("bt_[0-9A-Za-z]{49}", key)
    assert is_key(key)
    assert len(digest_of(key)) == 32


def test_a_key_that_was_made_before() -> None:
    """A key that was made by an earlier release stays valid."""
    assert KEY == "bt_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3xEbv0"
    assert is_key(make_key(b"\xff" * 32))
    assert is_key(make_key(b"\0" * 32))


@given(st.integers(3, 51), st.sampled_from("0aZ9"))
def test_slips(place: int, letter: str) -> None:
    """A single wrong character is detected."""
    other = KEY[:place] + letter + KEY[place + 1 :]
    assert is_key(other) == (other == KEY)


@pytest.mark.parametrize(
    "text",
    ["", "bt_", KEY[:-1], KEY + "0", KEY.swapcase(), " " + KEY, KEY + "\n", KEY.replace("_", "-")],
)
def test_what_is_no_key(text: str) -> None:
    """A text without the format of a key is not looked up."""
    assert not is_key(text)


def test_chance_that_is_too_short() -> None:
    """A key needs at least 256 random bits."""
    with pytest.raises(ValueError, match="32 bytes"):
        make_key(b"short")
