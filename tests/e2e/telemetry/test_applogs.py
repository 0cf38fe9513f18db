"""Apps' logs over the API: pages, streams, and what a restart leaves of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, command, running, wait_until, write_app

KEY = "a-key-that-is-long-enough"
APP = """
import sys
from buntime import Response

def fetch(request):
    count, _, text = request.path.strip("/").partition("/")
    for number in range(int(count or 0)):
        print(text or "line", number)
    sys.stdout.flush()
    return Response("done")
"""
NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    for name in ("shop", "blog"):
        write_app(folder / name, {"app.py": APP}, ttl=600)
    return folder


def env_of(state: Path) -> dict[str, str]:
    return {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": KEY,
        "RUNTIME_STATE_DIR": str(state),
    }


@pytest.fixture(scope="module")
def runtime(apps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with running(apps, env=env_of(tmp_path_factory.mktemp("state"))) as runtime:
        yield runtime


def page(runtime: Runtime, query: str = "") -> dict[str, Any]:
    answer = fetch(runtime, f"/api/logs?{query}", headers={"X-API-Key": KEY})
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def messages(lines: list[dict[str, Any]], event: str = "app.output") -> list[str]:
    return [line["message"] for line in lines if line["event"] == event]


class Following:
    """A client that reads a stream of lines."""

    def __init__(self, runtime: Runtime, query: str, media: str, last: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", runtime.port, timeout=20)
        headers = {"X-API-Key": KEY, "Accept": media} | ({"Last-Event-ID": last} if last else {})
        self._connection.request("GET", f"/api/logs?{query}", headers=headers)
        self.response = self._connection.getresponse()
        assert self.response.status == 200
        self._media = media
        self.last = last

    def read(self) -> dict[str, Any] | None:
        """The next line; None at the end of the stream."""
        while line := self.response.readline():
            if self._media == EVENTS:
                name, _, value = line.strip().partition(b": ")
                if name == b"id":
                    self.last = value.decode()
                if name != b"data":
                    continue
                line = value
            if line.strip():
                told: dict[str, Any] = json.loads(line)
                return told
        return None

    def read_to(self, message: str) -> list[str]:
        """What apps printed, up to this line."""
        found: list[str] = []
        while message not in found[-1:]:
            line = self.read()
            assert line is not None
            if line["event"] in ("app.output", "log.skipped"):
                found.append(line["message"])
        return found

    def close(self) -> None:
        self._connection.close()
        self.response.close()


@contextmanager
def following(
    runtime: Runtime, query: str, media: str = NDJSON, last: str = ""
) -> Iterator[Following]:
    client = Following(runtime, query, media, last)
    try:
        yield client
    finally:
        client.close()


def test_pages(runtime: Runtime) -> None:
    """The last lines, and all of them page by page, by app, by level and by request."""
    answer = fetch(runtime, "/shop/25/paged")
    fetch(runtime, "/blog/1/other")
    wait_until(lambda: "paged 24" in messages(page(runtime, "app=shop")["lines"]))
    wait_until(lambda: "other 0" in messages(page(runtime)["lines"]))
    last = page(runtime, "app=shop&limit=3")
    assert (len(last["lines"]), last["next"]) == (3, None)
    found: list[dict[str, Any]] = []
    cursor: str | None = "0"
    while cursor is not None:
        told = page(runtime, f"app=shop&limit=10&cursor={cursor}")
        assert len(told["lines"]) <= 10
        found += told["lines"]
        cursor = told["next"]
    assert [m for m in messages(found) if "paged" in m] == [f"paged {n}" for n in range(25)]
    assert {line["app"] for line in found} == {"shop"}
    request_id = answer.headers["x-request-id"]
    [line] = page(runtime, f"request={request_id}")["lines"]
    assert (line["event"], line["app"]) == ("request.access", "shop")
    assert all(line["level"] != "info" for line in page(runtime, "level=warn")["lines"])
    own = page(runtime, "app=%2Bruntime&limit=1000")["lines"]
    assert "runtime.listening" in [line["event"] for line in own]


@pytest.mark.parametrize(
    "query",
    ["follow=1", "since=yesterday", "level=loud", "cursor=x", "limit=0", "request=", "who=me"],
)
def test_wrong_questions(runtime: Runtime, query: str) -> None:
    """Wrong queries get 400, and the answer says what is wrong."""
    answer = fetch(runtime, f"/api/logs?{query}", headers={"X-API-Key": KEY})
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["code"] in ("bad_query", "bad_cursor")


@pytest.mark.parametrize(("media", "kind"), [(NDJSON, "line"), (EVENTS, "event")])
def test_follow(runtime: Runtime, media: str, kind: str) -> None:
    """Lines come as they are printed, after the earlier ones, for that app only."""
    before, after = f"{kind}-before", f"{kind}-after"
    fetch(runtime, f"/shop/2/{before}")
    wait_until(lambda: f"{before} 1" in messages(page(runtime, "app=shop")["lines"]))
    with following(runtime, "app=shop&follow=1&limit=5", media) as client:
        assert client.read_to(f"{before} 1")[-2:] == [f"{before} 0", f"{before} 1"]
        fetch(runtime, "/blog/1/not-this")
        fetch(runtime, f"/shop/3/{after}")
        assert client.read_to(f"{after} 2") == [f"{after} {number}" for number in range(3)]


def test_stream_that_ends(runtime: Runtime) -> None:
    """Without `follow` a stream ends with the last line there is."""
    fetch(runtime, "/shop/3000/many")
    wait_until(lambda: "many 2999" in messages(page(runtime, "app=shop")["lines"]))
    with following(runtime, "app=shop&since=1h") as client:
        found = client.read_to("many 2999")
        assert [m for m in found if "many" in m] == [f"many {n}" for n in range(3000)]
        while client.read() is not None:
            pass
    with following(runtime, "app=shop&since=1h&limit=7") as client:
        assert sum(client.read() is not None for _ in range(8)) == 7


def test_restart(apps: Path, tmp_path: Path) -> None:
    """A client that comes back after a restart gets all lines, and none twice."""
    with running(apps, env=env_of(tmp_path)) as first:
        with following(first, "app=shop&follow=1", EVENTS) as client:
            fetch(first, "/shop/3/one")
            client.read_to("one 1")
            last = client.last
        fetch(first, "/shop/3/two")
    with running(apps, env=env_of(tmp_path)) as second:
        fetch(second, "/shop/2/three")
        with following(second, "app=shop&follow=1", EVENTS, last) as client:
            found = client.read_to("three 1")
    assert found == ["one 2", "two 0", "two 1", "two 2", "three 0", "three 1"]


def test_command(apps: Path, tmp_path: Path) -> None:
    """`buntime logs -f` shows lines as they come, also after a restart of the runtime."""
    state = tmp_path / "state"
    line = [*command(), "logs", "-f", "shop", "--state-dir", str(state)]
    with contextlib.ExitStack() as stack:
        with running(apps, env=env_of(state)) as first:
            fetch(first, "/shop/1/first")
            shown = stack.enter_context(
                subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            )
            stack.callback(shown.kill)
            assert shown.stdout is not None
            next(line for line in shown.stdout if b"first 0 app=shop" in line)
        with running(apps, env=env_of(state)) as second:
            fetch(second, "/shop/1/second")
            rest = [next(line for line in shown.stdout if b"second 0" in line)]
            shown.send_signal(signal.SIGINT)
            rest += shown.stdout
        assert shown.wait(20) == 130
    assert b"\x1b" not in b"".join(rest)
    assert not any(b"first 0" in line for line in rest)
