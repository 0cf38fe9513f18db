"""The line of a RESPONSE, whose head may have been sent before."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.wire import Decoder, encode
from buntime.worker import responseline
from buntime.worker.responseline import response_line


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responseline, "_known", {})


def answer(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A RESPONSE."""
    headers = [("content-type", "text/plain"), ("x-a", "\xe9")]
    return {
        "type": "RESPONSE",
        "id": number,
        "status": 200,
        "headers": headers,
        "end": True,
        **changes,
    }


def test_a_head_that_comes_again() -> None:
    """It is told as a second object, and read as the same message."""
    decoder = Decoder()
    for number, more in enumerate(({"size": 2}, {"size": 2}, {}, {"end": False, "size": 3})):
        message = answer(number, **more)
        line = response_line(message)
        assert (b"}{" in line) is (number > 0)
        ((got, _),) = decoder.feed(line + b"x" * message.get("size", 0))
        assert got == {**message, "headers": [["content-type", "text/plain"], ["x-a", "\xe9"]]}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 201},
        {"headers": [("content-type", "text/plain")]},
        {"headers": [("x-a", "\xe9"), ("content-type", "text/plain")]},
        {"headers": []},
    ],
    ids=["status", "fewer", "order", "none"],
)
def test_another_head(changes: dict[str, Any]) -> None:
    """It is told in one piece, as `wire` would."""
    response_line(answer())
    assert response_line(answer(**changes)) == encode(answer(**changes))


def test_headers_that_are_no_pairs() -> None:
    """They are told as they are, for the runtime to refuse."""
    message = answer(headers=[["a", "b"]])
    for _ in range(2):
        assert response_line(message) == encode(message)


def test_few_heads_are_remembered() -> None:
    """A bounded number is remembered, and none that is long."""
    for number in range(200):
        response_line(answer(headers=[("etag", str(number))]))
    response_line(answer(headers=[("x-a", "x" * 2000)]))
    assert len(responseline._known) <= 64
    assert all(len(second) <= 1024 for second in responseline._known.values())
