"""Hooks that read the bodies of requests to everything that can answer."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin

LOOKS = """
import hashlib
from buntime.plugin import Continue, Response
{async_}def on_request(request):
    body = {await_}request.bytes()
    if b"forbidden" in body:
        return Response("not this", status=403)
    told = f"{{len(body)}} {{hashlib.sha256(body).hexdigest()}}"
    return Continue(headers={{"x-{name}": told}}, cache_s=60, any_path=True)
def on_response(request, response):
    response.headers["x-looked"] = "yes"
"""
ECHO = """
import hashlib
from buntime import Response
def fetch(request):
    body = request.bytes()
    told = [request.headers.get(name) for name in ("x-one", "x-two")]
    return Response.json([len(body), hashlib.sha256(body).hexdigest(), told])
"""
PLUGINS = {"one": {"async_": "", "await_": ""}, "two": {"async_": "async ", "await_": "await "}}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("looked")
    for name, words in PLUGINS.items():
        write_plugin(folder / "plugins", name, LOOKS.format(name=name, **words), body=True)
    write_plugin(folder / "plugins", "page", ECHO, base="/page", visibility="public")
    write_app(folder / "apps" / "warm", {"app.py": ECHO}, ttl=600)
    write_app(folder / "apps" / "fresh", {"app.py": ECHO})
    write_app(folder / "apps" / "site", {"index.html": "<h1>site</h1>"})
    with plugged(folder) as runtime:
        for name in (*PLUGINS, "page"):
            wait_for_state(runtime, name, "serving")
        yield runtime


def told_of(content: bytes) -> list[object]:
    """What the echo answers for a body that both plugins have seen."""
    digest = hashlib.sha256(content).hexdigest()
    return [len(content), digest, [f"{len(content)} {digest}"] * 2]


@pytest.mark.parametrize("size", [0, 1, 65_537, 131_073, MIB])
@pytest.mark.parametrize("name", ["warm", "fresh", "page"])
def test_all_see_the_whole_body(looked: Runtime, name: str, size: int) -> None:
    """Both plugins see the whole body, and so does each kind of worker, or plugin, that answers."""
    content = bytes(range(256)) * (size // 256 + 1)
    answer = fetch(looked, f"/{name}/", method="POST", body=content[:size])
    assert json.loads(answer.body) == told_of(content[:size])
    assert answer.headers["x-looked"] == "yes"


def test_one_connection(looked: Runtime) -> None:
    """A connection stays usable after each body: for apps and sites, and if a plugin answers."""
    with closing(http.client.HTTPConnection("127.0.0.1", looked.port, timeout=20)) as connection:
        connection.connect()
        sock = connection.sock
        for path, content, status in [
            ("/warm/", b"x" * 200_000, 200),
            ("/warm/", b"forbidden", 403),
            ("/site/", b"hello", 405),
            ("/nobody/", b"", 404),
            ("/fresh/", b"forbidden" * 9999, 403),
            ("/warm/", [b"forb", b"idden"], 403),
            ("/warm/", [b"chunk"] * 9, 200),
        ]:
            connection.request("POST", path, content)
            answer = connection.getresponse()
            answer.read()
            assert (path, answer.status) == (path, status)
            assert connection.sock is sock


def test_what_was_said_of_one_body_is_not_said_of_the_next(looked: Runtime) -> None:
    """A verdict on one body is not used for the next, though the plugins ask to keep it."""
    for content in (b"one", b"another", b""):
        answer = fetch(looked, "/warm/", method="POST", body=content)
        assert json.loads(answer.body) == told_of(content)


def test_too_large(looked: Runtime) -> None:
    """413 before a byte of it is sent."""
    with closing(socket.create_connection(("127.0.0.1", looked.port), timeout=20)) as sock:
        head = (
            b"POST /warm/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        )
        sock.sendall(head % (MIB + 1))
        assert sock.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_to_be_told(looked: Runtime) -> None:
    """100 Continue comes first, once."""
    with closing(socket.create_connection(("127.0.0.1", looked.port), timeout=20)) as sock:
        head = b"POST /warm/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
        sock.sendall(head + b"Content-Length: 5\r\n\r\n")
        assert sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == told_of(b"hello")


def test_clients_that_leave_or_lie(looked: Runtime) -> None:
    """Clients may leave in mid-body or mid-chunk, or send wrong framing: others are served."""
    for sent in (
        b"Content-Length: 100\r\n\r\nhalf",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        with closing(socket.create_connection(("127.0.0.1", looked.port), timeout=20)) as sock:
            sock.sendall(b"POST /warm/ HTTP/1.1\r\nHost: a\r\n" + sent)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(4096)[:13] in (b"", b"HTTP/1.1 400 ")
    assert fetch(looked, "/warm/", method="POST", body=b"x").status == 200


def test_the_answer_has_no_body_for_hooks(tmp_path: Path) -> None:
    """on_response gets the request without its body, which the app has."""
    source = """
        def on_response(request, response):
            try:
                request.bytes()
            except RuntimeError as exc:
                response.headers["x-why"] = str(exc)
    """
    write_plugin(tmp_path / "plugins", "late", source, body=True)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "late", "serving")
        answer = fetch(runtime, "/hello/", method="POST", body=b"x")
    assert answer.headers["x-why"].startswith("there is no body here")
