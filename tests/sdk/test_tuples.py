"""Keys as bytes, which sort like the tuples."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buntime.tuples import KEY_MAX_BYTES, decode, encode, span

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NEAR_ZERO = st.sampled_from(["", "\0", "\0\0", "a", "a\0", "a\0b", "ab", "\xff", "\0\xff"])
INTS = st.integers(-(2**63), 2**63 - 1)
EDGES = st.sampled_from([sign * 256**n + step for n in range(8) for sign in (1, -1)
                         for step in (-1, 0, 1)])  # fmt: skip
FLOATS = st.floats(allow_nan=False)
ELEMENTS = st.one_of(
    TEXTS, NEAR_ZERO, INTS, EDGES, FLOATS, st.booleans(), st.binary(max_size=20),
    NEAR_ZERO.map(lambda text: text.encode("latin-1")),
)  # fmt: skip
KEYS = st.lists(ELEMENTS, max_size=5).map(tuple)
RANKS = [bytes, str, int, float, bool]


def order(key: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """The sort key: by type, then by value."""
    return [(RANKS.index(type(element)), element) for element in key]


@given(KEYS, KEYS)
@example(("a",), ("a\0b",))
@example((-(2**63),), (-(2**63) + 1,))
@example((math.inf,), (-math.inf,))
def test_order(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """The bytes sort like the tuples, and equal tuples have equal bytes."""
    assert (encode(one) < encode(other)) == (order(one) < order(other))
    assert (encode(one) == encode(other)) == (order(one) == order(other))


@given(KEYS)
def test_round_trip(key: tuple[Any, ...]) -> None:
    """What was encoded decodes to the same values and types."""
    assert order(decode(encode(key))) == order(key)


@given(KEYS, KEYS)
@example(("a",), ("ab",))
@example(("a",), ("a\0",))
@example((b"a",), (b"a\0\xff",))
def test_prefix(prefix: tuple[Any, ...], key: tuple[Any, ...]) -> None:
    """The span of a prefix covers exactly the longer keys that begin with its elements."""
    start, end = span(prefix)
    is_below = len(key) > len(prefix) and order(key[: len(prefix)]) == order(prefix)
    assert (start <= encode(key) < end) == is_below
    assert start <= encode((*prefix, *key, 1)) < end


@given(st.binary(max_size=30))
def test_garbage(raw: bytes) -> None:
    """Any bytes are the only encoding of a key, or give a ValueError."""
    try:
        key = decode(raw)
    except ValueError:
        return
    assert encode(key) == raw


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        (("user", 7), b"\x02user\x00\x15\x07"),
        ((b"foo\x00bar",), b"\x01foo\x00\xffbar\x00"),
        (("F\u00d4O\u0000bar",), b"\x02F\xc3\x94O\x00\xffbar\x00"),
        ((-5551212,), b"\x11\xab\x4b\x93"),
        ((0, -1, 255, 256), b"\x14\x13\xfe\x15\xff\x16\x01\x00"),
        ((-42.0,), b"\x21\x3f\xba\xff\xff\xff\xff\xff\xff"),
        ((False, True), b"\x26\x27"),
        ((), b""),
    ],
)
def test_layout(key: tuple[Any, ...], encoded: bytes) -> None:
    """The bytes follow FoundationDB's specification."""
    assert encode(key) == encoded


def test_negative_zero() -> None:
    """-0.0 and 0.0 are the same key."""
    assert encode((-0.0,)) == encode((0.0,))


@pytest.mark.parametrize(
    ("key", "kind", "word"),
    [
        ((math.nan,), ValueError, "NaN"),
        (("\ud800",), ValueError, "surrogate"),
        ((2**63,), ValueError, "64 bits"),
        ((-(2**63) - 1,), ValueError, "64 bits"),
        (("x" * KEY_MAX_BYTES,), ValueError, "too long"),
        (("a", None), TypeError, "NoneType"),
        ((("a",),), TypeError, "tuple"),
        ("a", TypeError, "not str"),
    ],
)
def test_refused(key: Any, kind: type[Exception], word: str) -> None:
    """What no key can hold is refused, with the reason."""
    with pytest.raises(kind, match=word):
        encode(key)


def test_longest() -> None:
    """A key may have 2048 bytes."""
    assert len(encode(("x" * (KEY_MAX_BYTES - 2),))) == KEY_MAX_BYTES
