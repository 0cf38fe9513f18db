"""What calls carry: JSON with bytes in it, complete or in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.wire import CONTENT_MAX, MAX_PAYLOAD, from_json, to_json
from buntime.worker.content import DEPTH_MAX, Assembly, Parcel, cost_of, unpacked

KEYS = st.text(max_size=3) | st.sampled_from(["$bytes", "$$bytes", "bytes", "$"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
# What may arrive instead: as above, and with marks that mean nothing or too much.
CLAIMS = st.recursive(
    st.none() | st.integers(-3, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=8,
)


def through_a_message(value: Any) -> Any:
    """The result of sending a value as part of a message."""
    parcel = Parcel(value)
    message: dict[str, Any] = {}
    payload = parcel.put_into(message, {"value": parcel.packed})
    assert message.get("size", 0) == len(payload)
    return unpacked(from_json(to_json(message["value"])), payload)


def through_pieces(value: Any) -> Any:
    """The result of sending a value in pieces."""
    assembly = None
    for message, piece in Parcel(value).pieces(7, is_item=True):
        assert message["size"] == len(piece) <= MAX_PAYLOAD
        if assembly is None:
            assembly = Assembly(message)
        is_whole = assembly.add(bytes(piece))
    assert assembly is not None
    assert is_whole
    return assembly.value()


@given(VALUES)
def test_round_trip(value: Any) -> None:
    """Values arrive as they were sent, in both forms."""
    assert repr(through_a_message(value)) == repr(value)
    assert repr(through_pieces(value)) == repr(value)


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD - 2, MAX_PAYLOAD - 1, MAX_PAYLOAD, 300_000])
def test_sizes(size: int) -> None:
    """At the limits of a payload nothing is lost, of text or of bytes."""
    for value in ("t" * size, b"b" * size, ["t" * size, b"b" * size]):
        assert through_pieces(value) == value
        parcel = Parcel(value)
        message: dict[str, Any] = {}
        parcel.put_into(message, {"value": parcel.packed})
        assert ("value" in message) is parcel.fits()
        if not parcel.fits():
            assert message["total"] >= message["text"] > 0


@given(CLAIMS, st.binary(max_size=6))
def test_garbage(claim: Any, payload: bytes) -> None:
    """Marks that do not match the payload raise ValueError, and nothing else."""
    try:
        unpacked(claim, payload)
    except ValueError:
        return


@given(st.binary(max_size=12))
def test_garbage_text(data: bytes) -> None:
    """Anything but JSON raises ValueError."""
    try:
        from_json(data)
    except ValueError:
        return


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_the_bound_of_depth(wrap: Callable[[Any], Any]) -> None:
    """What one side may send the other can pass on, within as many levels as calls put around
    it."""
    value: Any = 1
    for _ in range(DEPTH_MAX):
        value = wrap(value)
    assert through_a_message(value) == value
    with pytest.raises(ValueError, match="nested too deeply"):
        Parcel(wrap(value))


def test_depth() -> None:
    """Values nested too deeply are refused, when sent and when received."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        Parcel(value)
    with pytest.raises(ValueError, match="not JSON"):
        from_json(b"[" * 100_000)
    for _ in range(1000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        unpacked(value, b"")


@pytest.mark.parametrize(
    ("text", "total"), [(-1, 5), (5, 4), (0, CONTENT_MAX + 1), (CONTENT_MAX + 1, CONTENT_MAX + 2)]
)
def test_bounds(text: int, total: int) -> None:
    """Sizes that are invalid or too large are refused before anything is stored."""
    with pytest.raises(ValueError, match="a content of"):
        Assembly({"text": text, "total": total})


def test_more_than_was_said() -> None:
    """Pieces beyond the total are refused; an empty piece costs nothing."""
    assembly = Assembly({"text": 2, "total": 4})
    assert not assembly.add(b"123")
    with pytest.raises(ValueError, match="has more than that"):
        assembly.add(b"45")
    assert (cost_of(b""), cost_of(b"1")) == (0, 65)
