"""What a session or key has opened ends with it: logs, events, streams, WebSockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.framing import TALK, with_desk
from tests.support.harness import Runtime, read_until, write_app
from tests.support.operators import ADMIN, Operator, signed_in

# A plugin whose code operators call, and an app that needs a key: both can stay open.
CODE = """
import asyncio
from buntime import Response

async def fetch(request):
    if request.method == "POST":
        return Response(await request.bytes())
    async def forever():
        yield {"data": "begun"}
        await asyncio.sleep(3600)
    return Response.events(forever())

async def websocket(ws):
    await ws.accept()
    await ws.send("begun")
    await ws.receive()
"""
SHUT = {"visibility": "protected", "menus": [{"title": "Talk", "path": "/"}]}
END_S = 2.0  # far less than the ten seconds between two looks
CLOSED = b"\x03\xf0"  # 1008, policy violation, in a close frame
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("open")
    write_app(folder / "apps/member", {"app.py": CODE}, ttl=600, visibility="protected")
    with with_desk(folder, {"talk": TALK}, {"talk": SHUT}, **ADMIN) as runtime:
        (folder / "plugins/talk/plugin.py").write_text(CODE)
        root = signed_in(runtime)
        assert root.ask("POST", "/api/plugins/talk/reload").status == 202
        yield runtime


@pytest.fixture
def root(runtime: Runtime) -> Operator:
    return signed_in(runtime)


@pytest.fixture
def key(root: Operator) -> Iterator[str]:
    made = root.ask("POST", "/api/keys", {"name": "ann", "roles": ["viewer"], "apps": ["*"]})
    assert made.status == 201, made
    yield str(made.json()["key"])
    root.ask("DELETE", "/api/keys/ann")


@pytest.fixture
def ann(runtime: Runtime, key: str) -> Operator:
    return signed_in(runtime, key)


def opened(url: str, path: str, begun: bytes, **fields: str) -> socket.socket:
    """A connection on which this answer has begun, and stays open."""
    host, _, port = url.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    head = {"Host": f"{host}:{port}", **{k.replace("_", "-"): v for k, v in fields.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    sock.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
    told = read_until(sock, begun)
    assert told.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")), told
    return sock


def has_ended(sock: socket.socket) -> bool:
    """Whether it ends soon, or a WebSocket's closing begins."""
    sock.settimeout(END_S)
    try:
        while data := sock.recv(65536):
            if CLOSED in data:
                return True
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def of_session(operator: Operator) -> list[tuple[str, bytes, dict[str, str]]]:
    """What an operator's page keeps open: connections to the API and to a plugin's code."""
    cookie = "; ".join(f"{name}={value}" for name, value in operator.cookies.items())
    page = {"Cookie": cookie, "Sec_Fetch_Site": "same-origin", "Origin": operator.origin}
    token = operator.ask("POST", "/api/frames/tokens", {"plugin": "talk"}).json()["token"]
    asked = {"plugin": "talk", "path": "/api/x"}
    ticket = operator.ask("POST", "/api/frames/urls", asked).json()["url"]
    frame = {"Origin": "null", "Sec_Fetch_Site": "cross-site"}
    return [
        ("/api/events", b"retry", {**page, "Accept": "text/event-stream"}),
        ("/api/logs?follow=1", b"\r\n\r\n", {**page, "Accept": "text/event-stream"}),
        ("/api/logs?follow=1", b"\r\n\r\n", {**page, "Accept": "application/x-ndjson"}),
        ("/talk/api/x", b"begun", page),
        ("/talk/api/x", b"begun", {**page, **UPGRADE}),
        ("/talk/api/x", b"begun", {**frame, "Authorization": f"Bearer {token}"}),
        (ticket, b"begun", {**frame, **UPGRADE}),
    ]


def sign_out(root: Operator, ann: Operator) -> None:
    assert ann.ask("DELETE", "/api/session").status == 204


def revoke(root: Operator, ann: Operator) -> None:
    assert root.ask("DELETE", "/api/keys/ann").status == 200


@pytest.mark.parametrize("end", [sign_out, revoke])
def test_session(root: Operator, ann: Operator, end: Callable[[Operator, Operator], None]) -> None:
    """What the session has opened ends at once, and what others have opened stays."""
    with ExitStack() as stack:
        mine, theirs = (
            [
                stack.enter_context(opened(ann.origin, path, begun, **fields))
                for path, begun, fields in of_session(operator)
            ]
            for operator in (ann, root)
        )
        end(root, ann)
        assert [has_ended(sock) for sock in mine] == [True] * len(mine)
        for sock in theirs:
            sock.settimeout(0.02)
        assert [_is_open(sock) for sock in theirs] == [True] * len(theirs)


def _is_open(sock: socket.socket) -> bool:
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return True
    return False


def test_key(runtime: Runtime, root: Operator, key: str) -> None:
    """The same for a key that a client sends, to the API and to an app that needs one."""
    bearing = {"X-API-Key": key}
    asked = [
        ("/api/events", b"retry", {**bearing, "Accept": "text/event-stream"}),
        ("/api/logs?follow=1", b"\r\n\r\n", {**bearing, "Accept": "application/x-ndjson"}),
        ("/member/", b"begun", bearing),
        ("/member/", b"begun", {**bearing, **UPGRADE}),
    ]
    with ExitStack() as stack:
        socks = [
            stack.enter_context(opened(runtime.url, path, begun, **fields))
            for path, begun, fields in asked
        ]
        assert json.loads(root.ask("DELETE", "/api/keys/ann").body)["name"] == "ann"
        assert [has_ended(sock) for sock in socks] == [True] * len(socks)


NEW_KEY = b'{"name": "heir", "roles": ["admin"], "apps": ["*"]}'


def begun(url: str, path: str, body: bytes, half: int, **fields: str) -> socket.socket:
    """A connection on which a request was sent, but only a part of its body."""
    host, _, port = url.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    method, _, target = path.partition(" ")
    head = {"Host": f"{host}:{port}", "Content-Length": str(len(body)), **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    sock.sendall(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body[:half])
    return sock


@pytest.mark.parametrize(
    "path", ["POST /api/keys", "PUT /api/apps/late/versions/1.0.0", "POST /member/"]
)
def test_half_a_request(runtime: Runtime, root: Operator, path: str) -> None:
    """A request that began before its key was revoked does nothing when its rest comes."""
    made = root.ask("POST", "/api/keys", {"name": "eve", "roles": ["admin"], "apps": ["*"]})
    key = str(made.json()["key"])
    sock = begun(runtime.url, path, NEW_KEY, 9, X_API_Key=key, Expect="100-continue")
    with sock:
        read_until(sock, b"100 Continue\r\n\r\n")  # it has been let in
        assert root.ask("DELETE", "/api/keys/eve").status == 200
        told = read_until(sock, b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 401 "), told
    names = [each["name"] for each in root.ask("GET", "/api/keys").json()["keys"]]
    assert "heir" not in names
