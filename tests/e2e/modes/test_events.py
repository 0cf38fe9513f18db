"""Server-sent events through the runtime: at once, for as long as both sides like, no longer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.support.harness import PACKAGES, Runtime, running, wait_until, write_app

ASYNC = """
import asyncio, time
from buntime import Event, Response

async def fetch(request):
    return Response.events(events(request), heartbeat=float(request.query.get("heartbeat", "15")))

async def events(request):
    first = int(request.last_event_id or 0)
    try:
        for n in range(first, first + int(request.query["n"])):
            yield Event({"n": n, "at": time.time()}, id=n + 1)
            await asyncio.sleep(float(request.query["wait"]))
    finally:
        print("closed", request.query.get("name"))
"""
SYNC = (
    ASYNC.replace("async ", "")
    .replace("await asyncio", "time")
    .replace("import asyncio, ", "import ")
)
WSGI = """
import time
from urllib.parse import parse_qs

class Events:
    def __init__(self, query):
        self.query = query
    def __iter__(self):
        for n in range(int(self.query["n"])):
            yield b"data: %d\\n\\n" % n
            time.sleep(float(self.query["wait"]))
    def close(self):
        print("closed", self.query.get("name"))

def app(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return Events(query)
"""
STARLETTE = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

async def events(query):
    try:
        for n in range(int(query["n"])):
            yield f"data: {n}\\n\\n"
            await asyncio.sleep(float(query["wait"]))
    finally:
        print("closed", query.get("name"))

async def stream(request):
    return StreamingResponse(events(request.query_params), media_type="text/event-stream")

app = Starlette(routes=[Route("/", stream)])
"""
# A sync handler that sends nothing while it works, and asks whether its client still waits.
POLLS = """
import time
from buntime import Response
def fetch(request):
    while not request.is_cancelled():
        time.sleep(0.01)
    print("closed", request.query.get("name"))
    return Response("late")
"""
KINDS = {"async": ASYNC, "sync": SYNC, "wsgi": WSGI, "starlette": STARLETTE}
# Longer than the silence that any other answer may have.
TIMEOUT_S = 1


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    dirs = tmp_path_factory.mktemp("apps")
    for name, source in {**KINDS, "polls": POLLS}.items():
        write_app(dirs / name, {"app.py": source}, ttl="1h", timeout=f"{TIMEOUT_S}s")
    write_app(dirs / "once", {"app.py": ASYNC}, ttl=0)
    with running(dirs, env=PACKAGES) as runtime:
        for name in (*KINDS, "once"):
            # Loading counts against the first request's time, which is short here.
            url = f"{runtime.url}/{name}/?n=1&wait=0"
            wait_until(
                lambda url=url: httpx.get(url, trust_env=False, verify=False).status_code == 200,
                30,
                url,
            )
        yield runtime


def lines(answer: httpx.Response) -> Iterator[str]:
    """The lines that are not empty."""
    return (line for line in answer.iter_lines() if line and line != ":")


@pytest.mark.parametrize("kind", KINDS)
def test_at_once(runtime: Runtime, kind: str) -> None:
    """Each event arrives when it is made, even if the next one comes much later."""
    url = f"{runtime.url}/{kind}/?n=3&wait=0.3"
    with httpx.stream("GET", url, trust_env=False, timeout=10, verify=False) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        arrived = [time.time() for line in lines(answer) if line.startswith("data:")]
    assert len(arrived) == 3
    assert all(0.15 < later - earlier < 1 for earlier, later in pairwise(arrived))


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_no_delay(runtime: Runtime, kind: str) -> None:
    """An event reaches the client far sooner than if any buffer held it back."""
    url = f"{runtime.url}/{kind}/?n=20&wait=0.01"
    with httpx.stream("GET", url, trust_env=False, timeout=10, verify=False) as answer:
        events = (line[6:] for line in lines(answer) if line.startswith("data: "))
        delays = sorted(time.time() - json.loads(data)["at"] for data in events)
    assert delays[10] < 0.1


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_again(runtime: Runtime, kind: str) -> None:
    """A client that reconnects says which event was its last, and gets the next."""
    url = f"{runtime.url}/{kind}/?n=1&wait=0"
    first = httpx.get(url, trust_env=False, verify=False)
    assert first.text.startswith("id: 1\n")
    assert first.headers["cache-control"] == "no-cache"
    again = httpx.get(url, headers={"last-event-id": "41"}, trust_env=False, verify=False)
    assert again.text.startswith("id: 42\n")


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_heartbeat(runtime: Runtime, kind: str) -> None:
    """A stream may be silent for longer than the app's timeout; comments fill the silence."""
    url = f"{runtime.url}/{kind}/?n=2&wait={TIMEOUT_S + 0.5}&heartbeat=0.3"
    text = httpx.get(url, trust_env=False, timeout=20, verify=False).text
    assert text.count("data:") == 2
    assert text.count(":\n\n") >= 4


@pytest.mark.parametrize("kind", [*KINDS, "polls", "once"])
def test_when_the_client_leaves(runtime: Runtime, kind: str) -> None:
    """An app of any kind learns within a second that its client left, and its worker lives on."""
    name = f"{kind}-leaves"
    url = f"{runtime.url}/{kind}/?n=100&wait=0.2&name={name}"
    with httpx.Client(trust_env=False, timeout=1 if kind == "polls" else 30, verify=False) as http:
        if kind == "polls":
            with pytest.raises(httpx.ReadTimeout):
                http.get(url)
        else:
            with http.stream("GET", url) as answer:
                next(answer.iter_raw())
        begun = time.monotonic()
    runtime.wait_for_line(f"closed {name}", app=kind)
    assert time.monotonic() - begun < 1
    if kind not in ("polls", "once"):
        again = httpx.get(f"{runtime.url}/{kind}/?n=1&wait=0", trust_env=False, verify=False)
        assert again.status_code == 200
        runtime.wait_for_record("request.access", request_id=again.headers["x-request-id"])
        workers = {r["worker"] for r in tuple(runtime.records) if r["event"] == "request.access"
                   and r["app"] == kind and r["status"] != 503}  # fmt: skip
        assert len(workers) == 1


def test_one_slow_client(runtime: Runtime) -> None:
    """A client that does not read its events delays no other client of the same worker."""
    url = f"{runtime.url}/async/?n=1000000&wait=0&name=slow"
    with httpx.stream("GET", url, trust_env=False, verify=False) as stalled:
        assert stalled.status_code == 200
        time.sleep(0.3)  # the test measures the others' time while this one is stuck
        latencies = []
        with httpx.Client(trust_env=False, verify=False) as quick:
            for _ in range(20):
                begun = time.monotonic()
                answer = quick.get(f"{runtime.url}/async/?n=1&wait=0")
                latencies.append(time.monotonic() - begun)
                assert answer.status_code == 200, answer.text  # a stuck worker would give 503
        assert sorted(latencies)[10] < TIMEOUT_S
    runtime.wait_for_line("closed slow", app="async")


def test_shutdown(tmp_path: Path) -> None:
    """SIGTERM ends streams cleanly, so that their clients reconnect, and closes the generators."""
    write_app(tmp_path / "async", {"app.py": ASYNC}, ttl="1h")
    with running(tmp_path) as runtime:
        url = f"{runtime.url}/async/?n=100&wait=0.2&name=stopped"
        with httpx.stream("GET", url, trust_env=False, verify=False) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            runtime.process.terminate()
            list(pieces)  # raises if the stream is cut off
        wait_until(lambda: runtime.process.poll() is not None, 20)
        runtime.wait_for_line("closed stopped", app="async")
