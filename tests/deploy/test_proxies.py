"""The configurations in docs/proxies.md, in the real nginx and the real Caddy: requests, uploads,
streams and WebSockets get through, and an app sees the true client."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.harness import ROOT, running, wait_until, write_app

DOC = (ROOT / "docs/proxies.md").read_text("utf-8")
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


def documented(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOC, re.DOTALL | re.MULTILINE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def nginx(tmp_path: Path, upstream: Path, port: int) -> list[str]:
    """The command of an nginx with the documented configuration, but for its places."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("there is no nginx here")
    [text] = documented("nginx")
    for old, new in (
        ("unix:/run/buntime/http.sock", f"unix:{upstream}"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    ):
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    path = tmp_path / "nginx.conf"
    path.write_text(
        f"{user}daemon off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{text}}}\n"
    )
    return [program, "-p", str(tmp_path), "-e", str(tmp_path / "error.log"), "-c", str(path)]


def caddy(tmp_path: Path, upstream: Path, port: int) -> list[str]:
    """The command of a Caddy with the documented configurations, but for their places."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("there is no caddy here")
    plain, below = documented("caddyfile")
    assert "unix//run/buntime/http.sock" in plain
    plain = plain.replace("unix//run/buntime/http.sock", f"unix/{upstream}")
    # Both sites of the docs in one: what is inside of the second one's braces comes first.
    inner = below.partition("{\n")[2].rpartition("}")[0]
    inner = inner.replace("127.0.0.1:8000", f"unix/{upstream}")
    site = plain.partition("{\n")[2].rpartition("}")[0]
    path = tmp_path / "Caddyfile"
    path.write_text(
        "{\n\tadmin off\n\tauto_https off\n}\n"
        f"http://127.0.0.1:{port} {{\n{inner}\thandle {{\n{site}\t}}\n}}\n"
    )
    return [program, "run", "--adapter", "caddyfile", "--config", str(path)]


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a proxy before a runtime that listens on a unix socket."""
    tmp_path = tmp_path_factory.mktemp("proxy")
    write_app(tmp_path / "apps/it", {"app.py": APP}, ttl=600, maxBodySize="50mb")
    upstream, port = tmp_path / "s", free_port()
    make: Callable[[Path, Path, int], list[str]] = request.param
    line = make(tmp_path, upstream, port)
    env = {"RUNTIME_LISTEN": f"unix:{upstream}", "RUNTIME_TRUSTED_PROXIES": "unix"}
    with (
        running(tmp_path / "apps", env=env),
        open(tmp_path / "output", "wb") as output,
        subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        ) as process,
    ):
        try:

            def answers() -> bool:
                assert process.poll() is None, (tmp_path / "output").read_text()
                with socket.socket() as sock:
                    return sock.connect_ex(("127.0.0.1", port)) == 0

            wait_until(answers, what="the proxy")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_requests(proxy: str) -> None:
    """The client is the proxy's, whatever the client says itself; links come back to the proxy."""
    told = httpx.get(f"{proxy}/it/echo?q=1", headers=LIES).json()
    assert told == {
        "client": "127.0.0.1", "url": f"{proxy}/it/echo?q=1", "base": "/it", "scheme": "http",
        "x-forwarded-for": "127.0.0.1", "forwarded": None,
    }  # fmt: skip


def test_below_a_path(proxy: str) -> None:
    """An app below a path of the proxy has that in its base."""
    told = httpx.get(f"{proxy}/tools/it/echo", headers=LIES).json()
    assert (told["base"], told["url"]) == ("/tools/it", f"{proxy}/tools/it/echo")


def test_upload(proxy: str) -> None:
    """A body of many megabytes arrives whole, with its length and without."""
    body = os.urandom(1 << 20) * 12
    expected = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert httpx.post(f"{proxy}/it/upload", content=body, timeout=30).json() == expected
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    assert httpx.post(f"{proxy}/it/upload", content=pieces, timeout=30).json() == expected


def test_events(proxy: str) -> None:
    """An event reaches the client when it is sent, not when the stream ends."""
    with httpx.stream("GET", f"{proxy}/it/events", timeout=20) as answer:
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
