"""A client that watches a runtime learns what happens to the apps that it may see."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.server.admin.events import LISTENERS_MAX
from tests.support.client import TIMEOUT_S, fetch
from tests.support.harness import Runtime, running, write_app

APP = "from buntime import Response\ndef fetch(request):\n    return Response('x')\n"


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    apps = tmp_path_factory.mktemp("apps")
    for name in ("shop", "chat", "fresh"):
        write_app(apps / name, {"app.py": APP}, ttl=600)
    return apps


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


class Events:
    """A client that listens, and reads until what it waits for."""

    def __init__(self, connection: http.client.HTTPConnection, key: str) -> None:
        connection.request("GET", "/api/events", headers={"X-API-Key": key})
        self._answer = connection.getresponse()
        assert self._answer.headers["content-type"] == "text/event-stream"
        self.seen = b""

    def until(self, kind: str, **fields: object) -> Any:
        """The data of the next event of this kind that has these fields."""
        told = ""
        while True:
            read = self._answer.readline()
            assert read, "the events have ended"
            self.seen += read
            line = read.decode().strip()
            if line.startswith("event: "):
                told = line.removeprefix("event: ")
            elif line.startswith("data: ") and told == kind:
                data = json.loads(line.removeprefix("data: "))
                if fields.items() <= data.items():
                    return data


@contextlib.contextmanager
def listening(runtime: Runtime, key: str = "") -> Iterator[Events]:
    connection = http.client.HTTPConnection("127.0.0.1", runtime.port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        yield Events(connection, key or str(runtime.operators_key))


def test_what_happens_is_told(runtime: Runtime, apps: Path) -> None:
    """Events report a new worker, a new folder, and the figures of each app and of all."""
    with listening(runtime) as events:
        fetch(runtime, "/fresh/")
        events.until("workers", app="fresh")
        write_app(apps / "blog", {"app.py": APP}, ttl=600)
        events.until("apps", app="blog")
        stats = events.until("stats")
        assert stats["apps"]["fresh"]["workers"] == 1
        assert stats["total"]["memoryBytes"] >= stats["apps"]["fresh"]["memoryBytes"] > 0


def test_the_hour_is_there(runtime: Runtime) -> None:
    """A runtime that has just started has a history of an hour, too."""
    told = fetch(runtime, "/api/history?step=60").json()
    assert told["stepSeconds"] == 60
    assert told["total"].keys() == {
        "requests", "errors", "p50Ms", "p95Ms", "memoryBytes", "workers"
    }  # fmt: skip
    assert fetch(runtime, "/api/history?step=15").status == 400


def test_a_key_for_some_apps(runtime: Runtime) -> None:
    """A key for some apps gets events of these only, also in the figures and their total."""
    body = json.dumps({"name": "chatter", "roles": ["viewer"], "apps": ["chat*"]}).encode()
    headers = {"X-API-Key": str(runtime.operators_key), "Content-Type": "application/json"}
    key = fetch(runtime, "/api/keys", method="POST", headers=headers, body=body).json()["key"]
    with listening(runtime, key) as events:
        fetch(runtime, "/shop/")
        fetch(runtime, "/api/apps/shop/recycle", method="POST")
        fetch(runtime, "/chat/")
        told = events.until("workers", app="chat")
        stats = events.until("stats")
        assert told == {"app": "chat"}
        assert stats["apps"].keys() == {"chat"}
        assert stats["total"] == stats["apps"]["chat"]
        assert b"shop" not in events.seen


def test_who_listens_and_does_not_read(runtime: Runtime) -> None:
    """Of 200 such clients 64 get in, others get 503; apps are served, and memory stays."""
    head = f"GET /api/events HTTP/1.1\r\nHost: a\r\nX-API-Key: {runtime.operators_key}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(runtime.connect()) for _ in range(200)]
        before = resident_bytes(runtime.pid)
        for sock in socks:
            sock.sendall(head.encode())
        statuses = [sock.recv(12).split()[1] for sock in socks]
        assert statuses.count(b"200") <= LISTENERS_MAX
        assert statuses.count(b"503") == len(statuses) - statuses.count(b"200") > 0
        for _ in range(50):
            assert fetch(runtime, "/shop/").status == 200
        assert resident_bytes(runtime.pid) - before < 20_000_000
    with listening(runtime) as events:  # there is room again
        events.until("stats")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
