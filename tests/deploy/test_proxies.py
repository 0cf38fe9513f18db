"""The configurations in docs/proxies.md, in the real nginx and the real Caddy: requests, uploads,
streams and WebSockets get through, and an app sees the true client."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.harness import running, write_app
from tests.support.manager import lost_by_restarts
from tests.support.proxies import Proxy, before, caddy, nginx

APP = """
import hashlib, time
from buntime import Event, Response

def echo(request):
    fields = {name: request.headers.get(name) for name in ("x-forwarded-for", "forwarded")}
    return Response.json({"client": request.client[0], "url": request.url, "base": request.base,
                          "scheme": request.scheme, **fields})

def upload(request):
    sha = hashlib.sha256()
    size = 0
    for piece in request.stream():
        sha.update(piece)
        size += len(piece)
    return Response.json({"size": size, "sha256": sha.hexdigest()})

def events(request):
    def each():
        yield Event("first")
        time.sleep(1.5)
        yield Event("second")
    return Response.events(each())

def websocket(ws):
    for message in ws:
        ws.send(message)

routes = {"/echo": echo, "/upload": {"POST": upload}, "/events": events}
"""
LIES = {"x-forwarded-for": "1.2.3.4", "forwarded": "for=1.2.3.4", "x-forwarded-prefix": "/lie"}


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a proxy in front of a runtime that listens on a unix socket."""
    tmp_path = tmp_path_factory.mktemp("proxy")
    write_app(tmp_path / "apps/it", {"app.py": APP}, ttl=600, maxBodySize="50mb")
    upstream = tmp_path / "s"
    env = {"RUNTIME_LISTEN": f"unix:{upstream}", "RUNTIME_TRUSTED_PROXIES": "unix"}
    with (
        running(tmp_path / "apps", env=env),
        before(request.param, tmp_path, f"unix:{upstream}") as url,
    ):
        yield url


def test_requests(proxy: str) -> None:
    """The client is the one that the proxy sees, not what it says; links lead to the proxy."""
    told = httpx.get(f"{proxy}/it/echo?q=1", headers=LIES, verify=False).json()
    assert told == {
        "client": "127.0.0.1", "url": f"{proxy}/it/echo?q=1", "base": "/it", "scheme": "http",
        "x-forwarded-for": "127.0.0.1", "forwarded": None,
    }  # fmt: skip


def test_below_a_path(proxy: str) -> None:
    """An app below a path of the proxy has that path in its base."""
    told = httpx.get(f"{proxy}/tools/it/echo", headers=LIES, verify=False).json()
    assert (told["base"], told["url"]) == ("/tools/it", f"{proxy}/tools/it/echo")


def test_upload(proxy: str) -> None:
    """A body of many megabytes arrives whole, with and without its length."""
    body = os.urandom(1 << 20) * 12
    expected = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert (
        httpx.post(f"{proxy}/it/upload", content=body, timeout=30, verify=False).json() == expected
    )
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    assert (
        httpx.post(f"{proxy}/it/upload", content=pieces, timeout=30, verify=False).json()
        == expected
    )


def test_events(proxy: str) -> None:
    """An event reaches the client when it is sent, not when the stream ends."""
    with httpx.stream("GET", f"{proxy}/it/events", timeout=20, verify=False) as answer:
        seen: dict[str, float] = {}
        for line in answer.iter_lines():
            if line.startswith("data:"):
                seen[line.removeprefix("data:").strip()] = time.monotonic()
    assert seen["second"] - seen["first"] > 1.0


def test_websocket(proxy: str) -> None:
    """A WebSocket is upgraded through the proxy, and stays open both ways."""
    with connect(proxy.replace("http:", "ws:") + "/it/") as ws:
        for text in ("one", "x" * 100_000):
            ws.send(text)
            assert ws.recv(timeout=10) == text


@pytest.mark.parametrize("make", [nginx, caddy], ids=["nginx", "caddy"])
def test_a_restart(make: Proxy, tmp_path: Path) -> None:
    """While the runtime restarts, the proxy, which keeps connections to it, loses no request: those
    that come in between wait in the socket that the service manager holds."""
    env = {"RUNTIME_TRUSTED_PROXIES": "unix", "RUNTIME_STATE_DIR": str(tmp_path / "state")}
    upstream = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(upstream))
        sock.listen(100)
        with before(make, tmp_path, f"unix:{upstream}") as url:
            address = ("127.0.0.1", int(url.rpartition(":")[2]))
            apps = tmp_path / "apps"
            lost = lost_by_restarts(
                apps, sock, address, env=env, clients=20, restarts=3, answers=200
            )
    assert lost == []
