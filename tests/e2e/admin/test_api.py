"""The runtime's own pages: their names are fixed, as dashboards and probes depend on them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

import buntime
from tests.support.client import Gates, fetch, metrics, workers_of
from tests.support.harness import (
    Runtime,
    is_alive,
    read_all,
    read_until,
    running,
    wait_until,
    write_app,
)

APP = (
    Gates.CODE
    + """
def pieces(name):
    yield "first"
    pass_through(name)
    yield "last"

def fetch(request):
    if "stream" in request.query:
        return Response(pieces(request.query["stream"]))
    if "gate" in request.query:
        pass_through(request.query["gate"])
    if request.path == "/die":
        os._exit(1)
    return Response(str(os.getpid()))
"""
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Served(NamedTuple):
    """A runtime, and the gates that its apps wait at."""

    runtime: Runtime
    gates: Gates


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("api")
    gates = Gates()
    apps = folder / "apps"
    write_app(apps / "kept@1.2.0", {"app.py": APP}, ttl=600, env=gates.env)
    write_app(apps / "brief", {"app.py": APP}, ttl=60, timeout=0.3, idleTimeout=0.3, env=gates.env)
    write_app(apps / "once", {"app.py": APP}, env=gates.env)
    write_app(apps / "never", {"app.py": APP}, ttl=600)
    env = {"RUNTIME_ENV": "production", "RUNTIME_SPARE_WORKERS": "1"}
    with running(apps, env=env) as runtime:
        yield Served(runtime, gates)


# ---- workers


def test_metrics_have_their_fixed_names(served: Served) -> None:
    """`/api/workers/metrics` has these names, each with a number that agrees with a scrape."""
    answer = fetch(served.runtime, "/api/workers/metrics")
    assert answer.headers.get_content_type() == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    values = answer.json()
    assert values.pop("apps").keys() >= {""}
    assert values.pop("runtime").keys() >= {"connectionsOpen"}
    assert values.pop("plugins").keys() >= {"keyval"}
    assert values.pop("jobs") == {}
    assert values.pop("processes") == {}
    assert values.keys() == {
        "cacheHitRate",
        "cacheSize",
        "evictionCount",
        "hitCount",
        "missCount",
        "requestCount",
        "avgRequestDuration",
        "workerCreatedCount",
        "workerFailedCount",
    }
    assert all(type(value) in (int, float) for value in values.values())


def test_metrics_count(served: Served) -> None:
    """Requests, hits, misses, workers and their failures are counted as they happen."""
    runtime = served.runtime
    fetch(runtime, "/kept/")
    before = metrics(runtime)
    for _ in range(3):
        assert fetch(runtime, "/kept/").status == 200
    after = metrics(runtime)
    assert after["requestCount"] - before["requestCount"] == 3
    assert after["hitCount"] - before["hitCount"] == 3
    assert after["missCount"] == before["missCount"]
    assert 0 < after["cacheHitRate"] <= 1
    assert after["avgRequestDuration"] > 0
    assert after["cacheSize"] >= 1
    assert fetch(runtime, "/kept/die", method="POST").status == 502
    wait_until(lambda: metrics(runtime)["workerFailedCount"] == after["workerFailedCount"] + 1)
    fetch(runtime, "/once/")
    assert metrics(runtime)["missCount"] > after["missCount"]
    assert metrics(runtime)["workerCreatedCount"] > before["workerCreatedCount"]


def test_stats_tell_of_each_app(served: Served) -> None:
    """`/api/workers/stats` has status, requests and times of each app that had a request."""
    runtime, gates = served
    with ThreadPoolExecutor() as threads:
        fetch(runtime, "/once/")
        wait_until(lambda: fetch(runtime, "/brief/").status == 200)
        held = threads.submit(fetch, runtime, "/kept/?gate=stats")
        wait_until(lambda: workers_of(runtime, "kept", inHand=1))
        wait_until(lambda: not workers_of(runtime, "brief"))
        stats = fetch(runtime, "/api/workers/stats").json()
        gates.open("stats")
        assert held.result().status == 200
    assert stats.keys() == {"kept@1.2.0", "brief", "once"}
    for values in stats.values():
        assert values.keys() == {"status", "requestCount", "lastRequest", "createdAt"}
        assert MOMENT.fullmatch(values["lastRequest"])
        assert MOMENT.fullmatch(values["createdAt"])
        created, last = map(datetime.fromisoformat, (values["createdAt"], values["lastRequest"]))
        assert created <= last
        assert values["requestCount"] >= 1
    assert stats["kept@1.2.0"]["status"] == "active"
    assert stats["once"]["status"] == "ephemeral"
    assert stats["brief"]["status"] == "offline"
    wait_until(lambda: workers_of(runtime, "kept", inHand=0))
    assert fetch(runtime, "/api/workers/stats").json()["kept@1.2.0"]["status"] == "idle"


def test_workers_are_listed(served: Served) -> None:
    """`/api/workers` has each worker, including spares, with its process and its state."""
    runtime = served.runtime
    pid = int(fetch(runtime, "/kept/").body)
    wait_until(lambda: workers_of(runtime, "kept", status="idle"))
    workers = fetch(runtime, "/api/workers").json()["workers"]
    [worker] = [each for each in workers if each["app"] == "kept"]
    assert (worker["pid"], worker["version"], worker["inHand"]) == (pid, "1.2.0", 0)
    assert worker["requestCount"] >= 1
    assert worker["ageSeconds"] >= 0
    assert {each["id"] for each in workers} == {f"w{each['id'][1:]}" for each in workers}
    assert [each for each in workers if each["status"] == "spare" and each["app"] is None]
    assert all(is_alive(each["pid"]) for each in workers)


# ---- health and discovery


def test_health(served: Served) -> None:
    """Health says that all is well, the version, and how long the runtime has been up."""
    for path in ("/health", "/api/health"):
        answer = fetch(served.runtime, path)
        values = answer.json()
        assert (answer.status, values["status"]) == (200, "ok")
        assert values["version"] == buntime.__version__
        assert values["uptimeSeconds"] >= 0
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/health/live", "/api/health/ready", "/api/health/live/"])
def test_probes(served: Served, path: str) -> None:
    """Both probes answer 200 while requests are served, also to HEAD."""
    assert fetch(served.runtime, path).json() == {"status": "ok"}
    answer = fetch(served.runtime, path, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_discovery(served: Served) -> None:
    """`/.well-known/buntime` says what this is and where its API is."""
    values = fetch(served.runtime, "/.well-known/buntime").json()
    assert values == {"name": "buntime", "version": buntime.__version__, "api": "/api"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/workers", "/api/health", "/.well-known/buntime"])
def test_other_methods_are_refused(served: Served, path: str, method: str) -> None:
    """The pages can only be read: other methods get 405, with what is allowed."""
    answer = fetch(served.runtime, path, method=method)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/nothing", "/api/workers/nothing", "/api/health/x", "/health/x",
     "/.well-known", "/.well-known/other", "/metrics/x", "/api/workers//recycle",
     "/api/workers/w1/x/recycle", "/api/recycle", "/api/apps/x/y/recycle/z"],
)  # fmt: skip
def test_unknown_pages_are_404(served: Served, path: str) -> None:
    """A reserved path without a page is 404, as the runtime's own error."""
    answer = fetch(served.runtime, path)
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert answer.error["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/nobody", "/nobody/", "/@nobody", "/kept@9/", "/kept@no/"])
def test_unknown_apps_are_404(served: Served, path: str) -> None:
    """A path that names no app, or no version of one, is 404."""
    answer = fetch(served.runtime, path)
    assert (answer.status, answer.error["code"]) == (404, "app_not_found")


# ---- shutdown


def test_no_request_is_lost_to_the_shutdown(tmp_path: Path) -> None:
    """Requests sent before SIGTERM came are answered, whichever app or page they are for."""
    write_app(tmp_path / "kept", {"app.py": APP}, ttl=600)
    with running(tmp_path) as runtime, runtime.connect() as idle:
        idle.sendall(b"GET /kept/ HTTP/1.1\r\nhost: x\r\n\r\n")
        read_until(idle, b"\r\n\r\n")
        runtime.process.send_signal(signal.SIGSTOP)
        idle.sendall(b"GET /api/health/ready HTTP/1.1\r\nhost: x\r\n\r\n")
        with runtime.connect() as fresh:
            fresh.sendall(b"GET /kept/ HTTP/1.1\r\nhost: x\r\n\r\n")
            runtime.process.send_signal(signal.SIGTERM)
            runtime.process.send_signal(signal.SIGCONT)
            assert b"HTTP/1.1 200" in read_all(fresh)
        answer = read_all(idle)
        assert answer.count(b"HTTP/1.1") == 1
        assert b"HTTP/1.1 503" in answer or b"HTTP/1.1 200" in answer
        assert runtime.process.wait(20) == 0


def test_who_has_just_connected_may_ask(tmp_path: Path) -> None:
    """A client that connected before SIGTERM and asks a moment later is answered; one that never
    asks does not delay the end."""
    write_app(tmp_path / "kept", {"app.py": APP}, ttl=600)
    with running(tmp_path) as runtime, runtime.connect() as fresh, runtime.connect() as silent:
        assert fetch(runtime, "/kept/").status == 200  # so the two before it were accepted
        runtime.process.send_signal(signal.SIGTERM)
        runtime.wait_for_record("runtime.stopping")
        fresh.sendall(b"GET /kept/ HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP/1.1 200" in read_all(fresh)
        assert read_all(silent) == b""
        assert runtime.process.wait(20) == 0


def test_limits_without_effect(tmp_path: Path) -> None:
    """Limits that cannot be enforced are reported once in the log, and by the API as long as that
    lasts, with the reason."""
    for name in ("bound", "free"):
        limits = {"memoryMax": "64mb", "cpuMax": "50%"} if name == "bound" else {}
        write_app(tmp_path / "apps" / name, {"app.py": APP}, ttl=600, **limits)
    with running(tmp_path / "apps", env={"RUNTIME_CGROUP": str(tmp_path)}) as runtime:
        for name in ("bound", "free"):
            assert fetch(runtime, f"/{name}/").status == 200
        told = runtime.wait_for_record("limits.without_effect", app="bound")
        assert told["keys"] == ["memoryMax", "cpuMax"]
        assert told["reason"] == f"{tmp_path}/cgroup.controllers: No such file or directory"
        found = fetch(runtime, "/api/workers").json()
    assert found["limits"] == {"cgroup": None, "controllers": [], "reason": told["reason"]}
    lacking = {each["app"]: each["limitsWithoutEffect"] for each in found["apps"]}
    assert lacking == {"bound": ["memoryMax", "cpuMax"], "free": []}
    events = [record for record in runtime.records if record["event"] == "limits.without_effect"]
    assert len(events) == 1


def test_draining_runtime_is_not_ready(tmp_path: Path) -> None:
    """From SIGTERM on no probe finds the runtime ready, while it finishes the requests in hand."""
    gates = Gates()
    write_app(tmp_path / "apps/kept", {"app.py": APP}, ttl=600, env=gates.env)
    with running(tmp_path / "apps") as runtime, runtime.connect() as sock:
        sock.sendall(
            b"GET /kept/?stream=drained HTTP/1.1\r\nhost: x\r\n\r\n"
            b"GET /api/health/ready HTTP/1.1\r\nhost: x\r\n\r\n"
        )
        read_until(sock, b"first")
        runtime.process.send_signal(signal.SIGTERM)
        runtime.wait_for_record("runtime.stopping")
        with pytest.raises(ConnectionRefusedError):
            fetch(runtime, "/api/health/ready")
        gates.open("drained")
        rest = read_all(sock)
        assert b"last" in rest
        assert b"HTTP/1.1 200" not in rest
        sock.close()
        assert runtime.process.wait(20) == 0
