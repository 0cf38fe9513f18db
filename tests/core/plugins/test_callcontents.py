"""What each side of a call may send, and in which state of the call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.callcontents import (
    DEPTH_MAX,
    PIECE_LEAST_BYTES,
    Answer,
    Arguments,
    State,
    cost_of,
)
from buntime.wire import CONTENT_MAX, MAX_PAYLOAD
from buntime.worker import content

ERROR = {"code": "conflict", "message": "no"}
LARGE = {"text": 10, "total": MAX_PAYLOAD + 5}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def after(*items: dict[str, Any], result: dict[str, Any]) -> Answer:
    """An answer after these ITEMs; `bytes` is the size of each."""
    answer = Answer()
    answer.begin(result, 0)
    for item in items:
        answer.go_on(item, item.get("bytes", 0))
    return answer


def test_a_value() -> None:
    """A RESULT with a value is complete; none of its other fields are passed on."""
    answer = Answer()
    said = {"type": "RESULT", "id": 7, "ok": True, "value": [1], "caller": "app:x", "size": 3}
    assert answer.begin(said, 3) == {"ok": True, "value": [1]}
    assert answer.state is State.ENDED


def test_an_error() -> None:
    """An error has a code and a message, both cut to a maximum, and nothing else."""
    answer = Answer()
    error = {"code": "c" * 100, "message": "m" * 10_000, "more": 1}
    said = answer.begin({"ok": False, "error": error}, 0)
    assert said == {"ok": False, "error": {"code": "c" * 64, "message": "m" * 8192}}
    assert answer.state is State.ENDED


def test_a_large_value() -> None:
    """A large value ends with its last byte."""
    answer = after(result={"ok": True, **LARGE})
    assert answer.go_on({}, MAX_PAYLOAD) == {}
    assert answer.state is State.PIECES
    assert answer.go_on({}, 5) == {}
    assert answer.state is State.ENDED


def test_a_large_value_that_breaks_off() -> None:
    """A large value may end early with an error, and in no other way."""
    answer = after(result={"ok": True, **LARGE})
    with pytest.raises(ValueError, match="ends what has not come"):
        answer.go_on({"end": True}, 0)
    assert answer.go_on({"end": True, "error": ERROR}, 0) == {"end": True, "error": ERROR}
    assert answer.state is State.ENDED


def test_a_stream() -> None:
    """A stream is items, each with its sizes at its beginning, until the end."""
    answer = after(result={"ok": True, "stream": True})
    assert answer.go_on({"text": 1, "total": 3}, 3) == {"text": 1, "total": 3}
    assert answer.go_on(LARGE, MAX_PAYLOAD) == LARGE
    with pytest.raises(ValueError, match="midst"):
        answer.go_on(LARGE, 5)
    with pytest.raises(ValueError, match="ends what has not come"):
        answer.go_on({"end": True}, 0)
    answer.go_on({}, 5)
    assert answer.go_on({"end": True}, 0) == {"end": True}
    assert answer.state is State.ENDED


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"ok": 1, "value": 1},
        {"ok": True},
        {"ok": False},
        {"ok": False, "error": "no"},
        {"ok": False, "error": {"code": 1, "message": "no"}},
        {"ok": True, "stream": "yes"},
        {"ok": True, "text": 1},
        {"ok": True, "total": 1},
        {"ok": True, "text": 0, "total": 1},
        {"ok": True, "text": 2, "total": 1},
        {"ok": True, "text": True, "total": 1},
        {"ok": True, "text": 1, "total": CONTENT_MAX + 1},
    ],
)
def test_no_result(result: dict[str, Any]) -> None:
    """A RESULT that no worker would send is refused."""
    with pytest.raises((KeyError, ValueError)):
        Answer().begin(result, 0)


@pytest.mark.parametrize(
    "result", [{"ok": False, "error": ERROR}, {"ok": True, "stream": True}, {"ok": True, **LARGE}]
)
def test_a_payload_without_a_place(result: dict[str, Any]) -> None:
    """A payload may only come with a value."""
    with pytest.raises(ValueError, match="no place"):
        Answer().begin(result, 1)


def test_out_of_turn() -> None:
    """A second RESULT, and an ITEM before it or after the end, are refused."""
    for answer in (after(result={"ok": True, "value": 1}), after(result={"ok": True, **LARGE})):
        with pytest.raises(ValueError, match="second"):
            answer.begin({"ok": True, "value": 1}, 0)
    for answer in (Answer(), after(result={"ok": True, "value": 1})):
        with pytest.raises(ValueError, match="before"):
            answer.go_on({"end": True}, 0)


@pytest.mark.parametrize("size", [0, 1, PIECE_LEAST_BYTES - 1, MAX_PAYLOAD + 6])
def test_pieces(size: int) -> None:
    """A piece has a minimum size, and is never larger than what is left."""
    answer = after(result={"ok": True, **LARGE})
    with pytest.raises(ValueError, match="are left"):
        answer.go_on({}, size)
    with pytest.raises(ValueError, match="are left"):
        Arguments(LARGE).take(size)


def test_arguments() -> None:
    """Arguments are in the message, or follow as ITEMs."""
    whole = Arguments({"args": [1], "kwargs": {"a": 2}, "caller": "app:x", "size": 4})
    assert whole.fields == {"args": [1], "kwargs": {"a": 2}}
    with pytest.raises(ValueError, match="0 are left"):
        whole.take(1)
    large = Arguments({**LARGE, "args": [1]})
    assert large.fields == LARGE
    large.take(MAX_PAYLOAD)
    large.take(5)
    with pytest.raises(ValueError, match="0 are left"):
        large.take(1)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"args": []},
        {"args": {}, "kwargs": {}},
        {"args": [], "kwargs": []},
        {"text": 1},
        {"total": 1},
        {"text": -1, "total": 1},
        {"text": 1, "total": CONTENT_MAX + 1},
        {**LARGE, "size": 5},
    ],
)
def test_no_arguments(message: dict[str, Any]) -> None:
    """Arguments that no worker would send are refused."""
    with pytest.raises((KeyError, ValueError)):
        Arguments(message)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.sampled_from(["ok", "value", "stream", "text", "total", "error", "end"]), JSON
            ),
            st.integers(0, MAX_PAYLOAD),
        )
    )
)
def test_garbage(messages: list[tuple[dict[str, Any], int]]) -> None:
    """Whatever arrives is accepted, or raises KeyError or ValueError; an ended call stays ended."""
    answer = Answer()
    for message, size in messages:
        had_ended = answer.state is State.ENDED
        try:
            if answer.state is State.AWAITED:
                answer.begin(message, size)
            else:
                answer.go_on(message, size)
        except (KeyError, ValueError):
            continue
        assert not had_ended


def test_costs() -> None:
    """A message without a payload costs no credit."""
    assert [cost_of(size) for size in (0, 1, 65536)] == [0, 65, 65600]


def nested(levels: int) -> Any:
    value: Any = None
    for level in range(levels):
        value = [1, value] if level % 2 else {"a": 1, "b": value}
    return value


def test_contents_that_are_nested_too_deeply() -> None:
    """What some worker could not read reaches none; what a worker packs does."""
    packed = nested(content.DEPTH_MAX)
    assert Arguments({"args": [packed], "kwargs": {"a": packed}}).fields["args"] == [packed]
    assert Answer().begin({"ok": True, "value": packed}, 0)["value"] == packed
    deep = nested(DEPTH_MAX + 1)
    for message in ({"args": [deep], "kwargs": {}}, {"args": [], "kwargs": {"a": deep}}):
        with pytest.raises(ValueError, match="nested too deeply"):
            Arguments(message)
    with pytest.raises(ValueError, match="nested too deeply"):
        Answer().begin({"ok": True, "value": deep}, 0)
