"""The log as operators read it: an app's lines, access lines, files, and lines for people."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import (
    STOP_S,
    Runtime,
    command,
    read_until,
    running,
    wait_until,
    write_app,
)

APP = """
import os, sys
from buntime import Response

print("imported")

def pieces():
    yield "ab"
    yield "cde"

def fetch(request):
    if request.path == "/print":
        print("to stdout", request.query.get("what", ""))
        print("to stderr", file=sys.stderr)
    if request.path == "/long":
        print("x" * 40_000)
    if request.path == "/bytes":
        os.write(1, b"caf\\xc3\\xa9 \\xff \\x1b[31mred\\r\\n")
    if request.path == "/multi":
        print("first\\nsecond\\n\\nfourth")
    if request.path == "/unended":
        os.write(1, b"no newline")
        os._exit(0)
    if request.path == "/flood":
        line = b"f" * 100 + b"\\n"
        for _ in range(200):
            os.write(1, line * 100)
    if request.path == "/read":
        request.bytes()
    if request.path == "/fail":
        raise ValueError("a mistake\\n\\x1b[31mnot red")
    if request.path == "/stream":
        return Response(pieces())
    return Response("hello")
"""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "app@1.2.0", {"app.py": APP}, ttl=600)
    write_app(folder / "other", {"app.py": APP}, ttl=600)
    write_app(folder / "once", {"app.py": APP})
    write_app(folder / "site", {"index.html": "<p>hello"}, injectBase=False)
    return folder


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


def access_of(runtime: Runtime, request_id: str) -> dict[str, Any]:
    record: dict[str, Any] = runtime.wait_for_record("request.access", request_id=request_id)
    return record


# ---- what apps print


def test_lines_of_an_app_say_where_they_come_from(runtime: Runtime) -> None:
    """A line that an app prints is logged with its app, version, worker and stream."""
    fetch(runtime, "/app/print")
    [worker] = workers_of(runtime, "app")
    origin = {"app": "app", "version": "1.2.0", "worker": worker["id"]}
    runtime.wait_for_line("imported", level="info", stream="stdout", **origin)
    record = runtime.wait_for_line("to stdout ", level="info", stream="stdout", **origin)
    assert MOMENT.fullmatch(record["time"])
    runtime.wait_for_line("to stderr", level="warn", stream="stderr", **origin)


def test_lines_of_an_app_without_version(runtime: Runtime) -> None:
    """An app without a version has none in the log either; a worker of one request has a name."""
    fetch(runtime, "/once/print")
    record = runtime.wait_for_line("to stdout ", app="once")
    assert record["version"] is None
    assert re.fullmatch(r"w\d+", record["worker"])


def test_lines_are_kept_apart(runtime: Runtime) -> None:
    """Each line is a record, empty ones too, in the order in which they were printed."""
    fetch(runtime, "/app/multi")
    runtime.wait_for_line("fourth")
    lines = [record["message"] for record in runtime.records]
    at = lines.index("first")
    assert lines[at : at + 4] == ["first", "second", "", "fourth"]


def test_bytes_that_are_no_text_are_escaped(runtime: Runtime) -> None:
    """Bytes that are not UTF-8 are shown as such, and no control character gets out raw."""
    fetch(runtime, "/app/bytes")
    runtime.wait_for_line("café \\xff \x1b[31mred", app="app")


def test_long_lines_come_in_pieces(runtime: Runtime) -> None:
    """A line of 40,000 characters is split into pieces, and none is lost."""
    fetch(runtime, "/other/long")

    def is_whole() -> bool:
        lines = [r["message"] for r in runtime.records if r["message"].startswith("xxx")]
        return sum(map(len, lines)) == 40_000 and max(map(len, lines)) <= 16 * 1024

    wait_until(is_whole)


def test_last_line_of_a_dying_worker_is_kept(runtime: Runtime) -> None:
    """A worker's last output is logged, also without a newline."""
    assert fetch(runtime, "/once/unended", method="POST").status == 502
    runtime.wait_for_line("no newline", app="once")


def test_flood_of_lines_harms_nobody_else(runtime: Runtime) -> None:
    """While an app prints two megabytes, another one's requests are answered."""
    with ThreadPoolExecutor() as threads:
        flood = threads.submit(fetch, runtime, "/other/flood")
        while not flood.done():
            assert fetch(runtime, "/app/").status == 200
        assert flood.result().status == 200
    name = "after-the-flood"
    fetch(runtime, "/app/", headers={"x-request-id": name})
    access_of(runtime, name)


# ---- access lines


def test_access_line_has_its_fields(runtime: Runtime) -> None:
    """Each request gives one line with everything known about it, except for its query."""
    answer = fetch(runtime, "/app@1.2.0/some/path?secret=x", method="POST", body=b"1234")
    record = access_of(runtime, answer.headers["x-request-id"])
    assert list(record) == [
        "time", "level", "event", "message", "request_id", "method", "host", "path", "app",
        "version", "worker", "status", "bytes", "ms", "client",
    ]  # fmt: skip
    assert MOMENT.fullmatch(record["time"])
    assert 0 < record["ms"] < 60_000
    [worker] = workers_of(runtime, "app")
    expected = {
        "level": "info", "method": "POST", "path": "/app@1.2.0/some/path", "app": "app",
        "version": "1.2.0", "worker": worker["id"], "status": 200, "bytes": 5,
        "client": "127.0.0.1",
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert len([r for r in runtime.records if r.get("request_id") == record["request_id"]]) == 1


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/app/stream", {"bytes": 5, "status": 200}),
        ("HEAD", "/app/", {"bytes": 0, "status": 200}),
        ("GET", "/site/", {"app": "site", "worker": None, "bytes": 8, "status": 200}),
        ("GET", "/nobody/", {"app": None, "version": None, "worker": None, "status": 404}),
        ("GET", "/app@9/", {"app": None, "worker": None, "status": 404}),
        ("GET", "/api/health", {"app": None, "worker": None, "status": 200}),
        ("GET", "/app/fail", {"app": "app", "version": "1.2.0", "status": 500}),
    ],
)
def test_access_line_of(
    runtime: Runtime, method: str, path: str, expected: dict[str, object]
) -> None:
    """Fields that a request did not get to are null; bytes are the body's, without framing."""
    answer = fetch(runtime, path, method=method)
    record = access_of(runtime, answer.headers["x-request-id"])
    assert {name: record[name] for name in expected} == expected
    assert (record["method"], record["path"]) == (method, path)


def test_access_line_of_what_is_no_request(runtime: Runtime) -> None:
    """Bytes that are no request are logged too, with the status that they got."""
    answer = runtime.exchange(b"GET /app/ HTTP/1.1\r\n\r\n")
    request_id = re.search(rb"x-request-id: (\S+)", answer)
    assert request_id
    record = access_of(runtime, request_id[1].decode())
    assert (record["status"], record["app"], record["host"]) == (400, None, "")


def test_access_line_of_a_client_that_left(runtime: Runtime) -> None:
    """A request whose client left before the answer is logged as 499."""
    with runtime.connect() as sock:
        sock.sendall(
            b"POST /app/read HTTP/1.1\r\nhost: x\r\nx-request-id: left-early\r\n"
            b"content-length: 10\r\n\r\n12345"
        )
        wait_until(lambda: workers_of(runtime, "app", inHand=1))
    record = access_of(runtime, "left-early")
    assert record["host"] == "x"
    assert (record["status"], record["bytes"]) == (499, 0)
    wait_until(lambda: workers_of(runtime, "app", inHand=0))


def test_request_id_of_the_client_is_kept(runtime: Runtime) -> None:
    """A plain X-Request-ID is used; one that is not plain, or too short, is not."""
    answer = fetch(runtime, "/app/", headers={"X-Request-ID": "0af7651916cd43dd-8448eb211c80319c"})
    assert answer.headers["x-request-id"] == "0af7651916cd43dd-8448eb211c80319c"
    access_of(runtime, "0af7651916cd43dd-8448eb211c80319c")
    for bad in ("x", "spaces in it are bad", '"quoted-quoted"', "a" * 200, "semi;colon;id"):
        answer = fetch(runtime, "/app/", headers={"X-Request-ID": bad})
        assert answer.headers["x-request-id"] != bad
        access_of(runtime, answer.headers["x-request-id"])


# ---- levels


def test_level_decides_what_is_logged(apps: Path) -> None:
    """At level info there are access lines and an app's lines, and nothing for debugging."""
    with running(apps, env={"RUNTIME_LOG_LEVEL": "info"}) as runtime:
        answer = fetch(runtime, "/app/print")
        access_of(runtime, answer.headers["x-request-id"])
        assert runtime.stop() == 0
        assert {record["level"] for record in runtime.records} == {"info", "warn"}


# ---- files


def test_log_file_is_rotated(apps: Path, tmp_path: Path) -> None:
    """A log file that grows above its size is rotated; a limited number of older ones is kept."""
    log = tmp_path / "logs" / "buntime.log"
    log.parent.mkdir()
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_LOG_FILE": str(log),
        "RUNTIME_LOG_FILE_SIZE": "32kb",
        "RUNTIME_LOG_FILE_COUNT": "2",
        "RUNTIME_LOG_LEVEL": "info",
    }
    with running(apps, env=env) as runtime, runtime.connect() as sock:
        for number in range(600):
            sock.sendall(
                b"GET /app/ HTTP/1.1\r\nhost: x\r\nx-request-id: request-%05d\r\n\r\n" % number
            )
            read_until(sock, b"hello")
        runtime.wait_for_record("request.access", request_id="request-00599")
        sock.close()
        assert runtime.stop() == 0
        on_stdout = [r["request_id"] for r in runtime.records if r["event"] == "request.access"]
    files = sorted(log.parent.iterdir(), reverse=True)
    assert [file.name for file in files] == ["buntime.log.2", "buntime.log.1", "buntime.log"]
    assert all(0 < file.stat().st_size <= 32 * 1024 for file in files)
    assert all(file.stat().st_size > 24 * 1024 for file in files[:2])
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    in_files = [r["request_id"] for r in records if r["event"] == "request.access"]
    assert len(on_stdout) == 600
    assert in_files == on_stdout[-len(in_files) :]
    assert records[-1]["event"] == "runtime.stopped"


# ---- lines for people, and readers that do not read


@contextlib.contextmanager
def started(folder: Path, env: dict[str, str]) -> Iterator[Any]:
    """A runtime whose output the test reads, or does not read."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process: Any = SimpleNamespace(port=0, operators_fields=lambda _: {})
    process.popen = subprocess.Popen(
        [*command(), str(folder), "--port", "0", "--host", "127.0.0.1"],
        env={**environ, "RUNTIME_ENV": "production", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.popen.terminate()
        process.popen.communicate(timeout=STOP_S)


def test_pretty_lines(apps: Path) -> None:
    """Pretty lines are for people: one per record, a traceback below, colour only on a terminal."""
    env = {"RUNTIME_LOG_FORMAT": "pretty", "RUNTIME_LOG_LEVEL": "debug"}
    with started(apps, env) as process:
        lines = iter(process.popen.stdout.readline, b"")
        listening = next(line for line in lines if b" listening " in line).decode()
        found = re.search(r"url=http://127\.0\.0\.1:(\d+)", listening)
        assert found, listening
        process.port = int(found[1])
        assert re.match(r"\d\d:\d\d:\d\d\.\d{3} INFO  listening ", listening)
        assert fetch(process, "/app/print?what=%22quoted%22").status == 200
        answer = fetch(process, "/app/fail")
        assert answer.status == 500
        process.popen.terminate()
        text = b"".join(lines).decode()
    assert "\x1b" not in text
    worker = re.search(r"INFO  to stdout \"quoted\" app=app version=1\.2\.0 worker=(w\d+) ", text)
    assert worker, text
    assert re.search(r"WARN  to stderr app=app ", text)
    access = rf"INFO  GET /app/print 200 [\d.]+ms 5B app@1\.2\.0 {worker[1]} 127\.0\.0\.1 "
    assert re.search(access, text), text
    assert re.search(r"ERROR app failed on a request ", text)
    assert "\n    stack:\n        Traceback (most recent call last):\n" in text
    assert "\\x1b[31mnot red" in text
    assert "\n        ValueError: a mistake\n" in text


def test_reader_that_does_not_read_stops_nobody(apps: Path, tmp_path: Path) -> None:
    """A runtime whose log is not read still serves, and stops on request."""
    # The pipe holds 64 KiB, some 200 lines.
    with started(apps, {"RUNTIME_LOG_FORMAT": "json"}) as process:
        listening = next(line for line in process.popen.stdout if b"runtime.listening" in line)
        port = json.loads(listening)["url"].rpartition(":")[2]
        with socket.create_connection(("127.0.0.1", port), timeout=15) as sock:
            for _ in range(400):
                sock.sendall(b"GET /app/ HTTP/1.1\r\nhost: x\r\n\r\n")
                assert read_until(sock, b"hello").startswith(b"HTTP/1.1 200")
        process.popen.terminate()
        assert process.popen.wait(STOP_S) == 0


# ---- logs of apps


def test_files_of_apps(apps: Path, tmp_path: Path) -> None:
    """Each app has a file in the state folder of the first runtime; a second one writes none."""
    state = tmp_path / "state"
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(state)}
    with running(apps, env=env) as first, running(apps, env=env) as second:
        fetch(first, "/app/print")
        fetch(first, "/other/")
        fetch(second, "/other/print")
        second.wait_for_line("to stdout ", app="other")
        first.wait_for_record("request.access", app="other")
    files = {path.name: path.read_text() for path in (state / "logs").iterdir()}
    files.pop("plugin%3Akeyval.log", None)  # part of packaged forms
    assert set(files) == {"+runtime.log", "app.log", "other.log"}
    records = {
        name: [json.loads(line) for line in text.splitlines()] for name, text in files.items()
    }
    assert {record["app"] for record in records["app.log"]} == {"app"}
    assert "to stdout " in [record["message"] for record in records["app.log"]]
    # What the second has printed is only in its memory, as the first holds the folder.
    assert "to stdout " not in [record["message"] for record in records["other.log"]]
    assert "runtime.stopped" in [record["event"] for record in records["+runtime.log"]]
