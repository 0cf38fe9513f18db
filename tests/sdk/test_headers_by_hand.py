"""Names of header fields are found in any case, in every class that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from buntime import AsyncRequest, AsyncWebSocket, Headers, Request, Response, WebSocket
from buntime.plugin import AsyncHookRequest, HookRequest, ResponseHead
from buntime.worker.verdicts import Question

FORMS: dict[str, Any] = {
    "dict": {"X-Name": "ann", "Cookie": "Sid=7"},
    "tuples": [("X-Name", "ann"), ("Cookie", "Sid=7")],
    "lists": [["X-Name", "ann"], ["Cookie", "Sid=7"]],
    "generator": None,
    "Headers": Headers({"X-Name": "ann", "Cookie": "Sid=7"}),
}


def hooked(kind: type[HookRequest]) -> Callable[[Any], Any]:
    return lambda headers: kind({"method": "GET", "path": "/", "headers": headers}, None)


MADE: dict[str, Callable[[Any], Any]] = {
    "Request": lambda headers: Request(headers=headers),
    "AsyncRequest": lambda headers: AsyncRequest("GET", "/a", "", headers),
    "WebSocket": lambda headers: WebSocket("/", "", headers, link=None),  # type: ignore[arg-type]
    "AsyncWebSocket": lambda headers: AsyncWebSocket("/", "", headers, link=None),  # type: ignore[arg-type]
    "HookRequest": hooked(HookRequest),
    "AsyncHookRequest": hooked(AsyncHookRequest),
    "ResponseHead": lambda headers: ResponseHead(200, headers),
    "Response": lambda headers: Response("", 200, headers),
    "Headers": Headers,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", MADE)
def test_any_case(kind: str, form: str) -> None:
    """Each class accepts each form of headers, and finds a name in any case."""
    given = iter([("X-Name", "ann"), ("Cookie", "Sid=7")]) if form == "generator" else FORMS[form]
    made = MADE[kind](given)
    headers = made if kind == "Headers" else made.headers
    assert [headers[name] for name in ("x-name", "X-Name", "X-NAME")] == ["ann"] * 3
    assert "X-nAME" in headers
    assert headers.get("x-Missing") is None
    if isinstance(made, (Request, WebSocket)):
        assert made.cookies == {"Sid": "7"}


@pytest.mark.parametrize("kind", MADE)
def test_checked(kind: str) -> None:
    """What no header can carry is refused, as in a Response."""
    with pytest.raises(ValueError, match="which no header can carry"):
        getattr(MADE[kind]({"X-Name": "a\r\nb"}), "headers", None)


def test_a_request_by_hand() -> None:
    """A Request made in a test needs only what the test is about."""
    assert (Request().method, Request().path, Request().text()) == ("GET", "/", "")
    made = Request("POST", "/todos?n=1", headers={"Content-Type": "application/json"}, body=b"[1]")
    assert (made.path, made.query["n"], made.json()) == ("/todos", "1", [1])


def test_an_answer_of_the_runtime() -> None:
    """A hook finds fields that the runtime wrote in another case; unchanged ones count as such."""
    told = {"status": 401, "headers": [["WWW-Authenticate", "Bearer"], ["content-type", "a/b"]]}
    message = {"hook": "on_response", "request": {"path": "/", "method": "GET", "headers": []}}
    question = Question({**message, "response": told}, AnyPlugin())  # type: ignore[arg-type]
    _, head = question.arguments(b"", None)  # type: ignore[arg-type]  # it is only kept
    assert head.headers["www-authenticate"] == "Bearer"
    assert question.verdict(None) == {"action": "continue"}
    head.headers["Www-Authenticate"] = "Basic"
    assert question.verdict(None) == {
        "action": "change",
        "status": 401,
        "headers": [("www-authenticate", "Basic"), ("content-type", "a/b")],
    }


class AnyPlugin:
    """A plugin with one hook."""

    sees_bodies = False

    class Hook:
        needs_loop = False

    hooks = {"on_response": Hook()}  # noqa: RUF012  # never changed
