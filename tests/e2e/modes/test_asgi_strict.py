"""The ASGI validator that test_frameworks.py relies on finds mistakes."""

from __future__ import annotations

import asyncio
import importlib.util
from types import ModuleType
from typing import Any

import pytest

from tests.support.hosting import APPS

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/shop/ö",
    "raw_path": b"/shop/%C3%B6",
    "query_string": b"a=1",
    "root_path": "/shop",
    "headers": [(b"host", b"example.com"), (b"content-length", b"4")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
    "state": {},
    "extensions": {},
}
BODY = [
    {"type": "http.request", "body": b"ab", "more_body": True},
    {"type": "http.request", "body": b"cd", "more_body": False},
    {"type": "http.disconnect"},
]
STARTUP: list[dict[str, Any]] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]


def load_strict() -> ModuleType:
    path = APPS / "asgi_strict" / "strict.py"
    spec = importlib.util.spec_from_file_location("strict", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


strict = load_strict()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads all it can get, and answers as the ASGI specification asks."""
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body"})


def serve(
    scope: dict[str, Any] = SCOPE,
    body: list[Any] = BODY,
    lifespan: list[Any] = STARTUP,
    app: Any = app,
    state: Any = None,
) -> None:
    """Does what a server does: startup, one request, shutdown. Raises what the validator finds."""

    async def run() -> None:
        checked = strict.Strict(app)
        lifespan_scope: dict[str, Any] = {"type": "lifespan", "asgi": SCOPE["asgi"], "state": {}}
        coming, events = [*lifespan], [*body]

        async def lifespan_receive() -> Any:
            if len(coming) < len(lifespan):  # after startup: the request comes before the shutdown
                ours = lifespan_scope["state"] if state == "same" else dict(state or {})
                await checked({**scope, "state": ours}, receive, take)
            return coming.pop(0)

        async def receive() -> Any:
            return events.pop(0)

        async def take(event: Any) -> None:
            pass

        await checked(lifespan_scope, lifespan_receive, take)

    asyncio.run(run())


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in SCOPE.items() if name != key}


def test_correct_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    """A correct request and a correct lifespan give no complaint."""
    serve()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "htttp"},
        {"asgi": {"version": "2.0"}},
        {"asgi": {"version": "3.0", "spec_version": "9"}},
        {"http_version": "HTTP/1.1"},
        {"method": "get"},
        {"scheme": ""},
        {"path": "shop/ö"},
        {"path": "/shop/%C3%B6"},
        {"path": b"/shop/"},
        {"raw_path": b"/shop/%C3%B6?a=1"},
        {"raw_path": b"/other"},
        {"query_string": "a=1"},
        {"query_string": b"\xff"},
        {"root_path": "/shop/"},
        {"root_path": "/sho"},
        {"root_path": None},
        {"headers": [("host", "example.com")]},
        {"headers": [(b"Host", b"example.com")]},
        {"headers": [(b"host", b" example.com")]},
        {"headers": [(b"host", b"a\r\nb: c")]},
        {"headers": [(b"a b", b"c"), (b"host", b"x")]},
        {"headers": []},
        {"headers": [(b"host", b"a"), (b"transfer-encoding", b"chunked")]},
        {"client": ("127.0.0.1", "50000")},
        {"client": ("", 1)},
        {"server": ("127.0.0.1",)},
        {"extensions": {"tls": True}},
    ],
    ids=str,
)
def test_wrong_scope(wrong: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each of these mistakes in a scope is found, raised, and written to stderr."""
    with pytest.raises(strict.Violation):
        serve({**SCOPE, **wrong})
    assert capsys.readouterr().err.startswith(strict.MARK)


@pytest.mark.parametrize("key", [*strict.HTTP_KEYS])
def test_missing_key(key: str) -> None:
    """A scope without a required key is a mistake, whichever key is missing."""
    with pytest.raises(strict.Violation):
        serve(without(key))


@pytest.mark.parametrize(
    "body",
    [
        [{"type": "http.request", "body": "abcd", "more_body": False}],
        [{"type": "http.request", "body": b"abcd", "more_body": 0}],
        [{"type": "http.request", "body": b"abc"}, BODY[-1]],
        [{"type": "http.request", "body": b"abcd"}, {"type": "http.request"}],
        [BODY[-1], {"type": "http.request", "body": b"abcd"}],
        [{"type": "http.body", "body": b"abcd"}],
        [{"type": "http.request", "body": b"abcd", "more": False}],
        [None],
    ],
    ids=str,
)
def test_wrong_events(body: list[Any]) -> None:
    """Each of these mistakes in what `receive` returns is found."""

    async def reads_three(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        for _ in range(3):
            await receive()

    with pytest.raises(strict.Violation):
        serve(body=body, app=reads_three)


@pytest.mark.parametrize(
    "lifespan",
    [
        [{"type": "lifespan.shutdown"}, STARTUP[1]],
        [{"type": "lifespan.startup", "more": 1}, STARTUP[1]],
        [STARTUP[0], STARTUP[0]],
    ],
    ids=str,
)
def test_wrong_lifespan(lifespan: list[Any]) -> None:
    """Startup must come first and only once, then shutdown."""
    with pytest.raises(strict.Violation):
        serve(lifespan=lifespan)


@pytest.mark.parametrize("state", ["same", {"more": 1}], ids=str)
def test_wrong_state(state: Any) -> None:
    """A request's state must be a copy of what the lifespan left there."""
    with pytest.raises(strict.Violation):
        serve(state=state)


def test_request_before_startup() -> None:
    """No request may come before the startup is complete."""
    with pytest.raises(strict.Violation):
        asyncio.run(strict.Strict(app)(SCOPE, None, None))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"type": "http.response.body"}],
        [{"type": "http.response.start", "status": "200"}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"A", b"b")]}],
        [{"type": "http.response.start", "status": 200}],
        [{"type": "http.response.start", "status": 200}] * 2,
        [{"type": "http.response.start", "status": 200}, *[{"type": "http.response.body"}] * 2],
        [
            {"type": "http.response.start", "status": 200},
            {"type": "http.response.body", "body": ""},
        ],
    ],
    ids=str,
)
def test_wrong_app(events: list[Any]) -> None:
    """A mistake of the app is reported as well, so that the server is not blamed for it."""

    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        for event in events:
            await send(event)

    with pytest.raises(strict.Violation):
        serve(app=wrong)
