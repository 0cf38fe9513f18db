"""`/metrics`: parsed as Prometheus does it, and correct after real traffic."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import websockets.sync.client
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import buntime
from buntime.core.telemetry.metrics import FAMILIES, Kind
from tests.support.client import Answer, Gates, fetch, metrics, workers_of
from tests.support.harness import ROOT, Runtime, read_until, running, wait_until, write_app
from tests.support.pluginfolders import plugins_of, wait_for_state, write_plugin

APP = (
    Gates.CODE
    + """
def pieces(name):
    yield b"x" * 1000
    pass_through(name)
    yield b"x" * 1000

def fetch(request):
    if "gate" in request.query:
        pass_through(request.query["gate"])
    if "stream" in request.query:
        return Response(pieces(request.query["stream"]))
    if request.path == "/die":
        os._exit(3)
    if request.path == "/die-once" and not pathlib.Path(os.environ["GATES"], "died").exists():
        reach("died")
        os._exit(3)
    if request.path == "/status":
        return Response("", int(request.query["is"]))
    return Response(b"x" * int(request.query.get("size", "0")) or request.bytes())

def websocket(ws):
    for message in ws:
        ws.send(message)
"""
)
PLUGIN = "def on_server_start(): pass\ndef on_request(request): pass\n"
Key = tuple[str, frozenset[tuple[str, str]]]


class Numbers(dict[Key, float]):
    """One scrape: values by name and labels."""

    def of(self, name: str, app: str | None = "kept", version: str = "", **labels: str) -> float:
        """A value of an app, or with None one of the runtime as a whole."""
        if app is not None:
            labels |= {"app": app, "version": version}
        return self[name, frozenset(labels.items())]


@functools.cache
def key_of(series: str) -> Key:
    """Name and labels, as Prometheus reads them; each series is parsed once, since this is slow."""
    [family] = text_string_to_metric_families(f"{series} 0\n")
    [sample] = family.samples
    return sample.name, frozenset(sample.labels.items())


class Served(NamedTuple):
    """A runtime, the gates that its apps wait at, and the scrape before."""

    runtime: Runtime
    gates: Gates
    last: dict[str, Numbers]

    def scrape(self) -> Numbers:
        """The current numbers. Checks that no counter has decreased since the last scrape."""
        answer = fetch(self.runtime, "/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        now, last, kind = Numbers(), self.last.get("", {}), ""
        for line in answer.body.decode().splitlines():
            if line.startswith("#"):
                kind = line.rpartition(" ")[2] if line.startswith("# TYPE ") else kind
                continue
            series, _, value = line.rpartition(" ")
            key = key_of(series)
            assert key not in now
            now[key] = float(value)
            if kind in ("counter", "histogram"):
                assert now[key] >= last.get(key, 0.0), key
        self.last[""] = now
        return now

    def fetch(self, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
        return fetch(self.runtime, path, method=method, body=body)

    def wait_for(self, is_true: Callable[[Numbers], bool]) -> Numbers:
        wait_until(lambda: is_true(self.scrape()))
        return self.scrape()


SLEEPS = {"worker": "sleep 600"}
YEARLY = {"schedule": "@yearly", "path": "/"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("metrics")
    gates = Gates()
    apps = folder / "apps"
    write_app(
        apps / "kept", {"app.py": APP}, ttl=600, idleTimeout=600, concurrency=2, env=gates.env
    )
    write_app(apps / "narrow@1.0.0", {"app.py": APP}, ttl=600, concurrency=1, env=gates.env)
    write_app(apps / "slow", {"app.py": APP}, ttl=600, timeout=0.4, env=gates.env)
    write_app(apps / "once", {"app.py": APP}, env=gates.env, cron=[YEARLY], processes=SLEEPS)
    write_app(apps / "broken", {"app.py": "raise RuntimeError('no luck')"}, ttl=600)
    write_app(apps / "site", {"index.html": "x" * 100})
    write_plugin(folder / "plugins", "looks", PLUGIN, match={"paths": ["/looked-at"]})
    env = {"RUNTIME_ENV": "production", "RUNTIME_PLUGIN_DIRS": str(folder / "plugins")}
    env["RUNTIME_SPARE_WORKERS"] = "1"
    with running(apps, env=env) as runtime:
        wait_for_state(runtime, "looks", "serving")
        yield Served(runtime, gates, {})


# ---- requests


def test_requests_are_counted_by_class(served: Served) -> None:
    """Each request counts once, for its app and for the class of its status."""
    served.fetch("/kept/")
    before = served.scrape()
    for status, times in ((200, 3), (302, 2), (418, 1), (503, 2)):
        for _ in range(times):
            assert served.fetch(f"/kept/status?is={status}").status == status
    after = served.scrape()
    for label, times in {"1xx": 0, "2xx": 3, "3xx": 2, "4xx": 1, "5xx": 2}.items():
        name = "buntime_requests_total"
        assert after.of(name, status=label) - before.of(name, status=label) == times
    name = "buntime_request_duration_seconds_count"
    assert after.of(name) - before.of(name) == 8


def test_requests_to_no_app_are_counted_together(served: Served) -> None:
    """A path without an app never becomes a label: it counts for the app without a name."""
    before = served.scrape()
    for number in range(20):
        assert served.fetch(f"/nobody{number}/").status == 404
    served.fetch("/api/health")
    served.runtime.exchange(b"garbage\r\n\r\n")
    after = served.scrape()
    name = "buntime_requests_total"
    assert after.of(name, "", status="4xx") - before.of(name, "", status="4xx") == 21
    assert after.of(name, "", status="2xx") - before.of(name, "", status="2xx") == 2  # a scrape too
    assert {dict(labels).get("app", "") for _, labels in after} <= {
        "", "kept", "narrow", "slow", "once", "broken", "site", "plugin:looks",
    }  # fmt: skip


def test_bytes_are_of_bodies(served: Served) -> None:
    """Bytes in and out are those of bodies, without heads and framing."""
    served.fetch("/kept/")
    before = served.scrape()
    assert len(served.fetch("/kept/?size=70000").body) == 70000
    assert len(served.fetch("/kept/", "POST", b"y" * 3000).body) == 3000
    after = served.scrape()
    name = "buntime_sent_bytes_total"
    assert after.of(name) - before.of(name) == 73000
    name = "buntime_received_bytes_total"
    assert after.of(name) - before.of(name) == 3000


def test_static_sites_count(served: Served) -> None:
    """A static site has its requests, bytes and times, and nothing about workers."""
    served.fetch("/site/")
    before = served.scrape()
    assert served.fetch("/site/").status == 200
    after = served.scrape()
    name = "buntime_requests_total"
    assert after.of(name, "site", status="2xx") - before.of(name, "site", status="2xx") == 1
    assert after.of("buntime_sent_bytes_total", "site") >= 200
    assert not [key for key in after if "worker" in key[0] and ("app", "site") in key[1]]


def test_durations_are_true(served: Served) -> None:
    """A request that waits at a gate for 0.3 s is in no bucket below that."""
    served.fetch("/narrow/")
    before = served.scrape()
    with ThreadPoolExecutor() as threads:
        held = threads.submit(served.fetch, "/narrow/?gate=long")
        started = served.wait_for(
            lambda now: now.of("buntime_requests_in_progress", "narrow", "1.0.0") == 1
        )
        assert started.of("buntime_workers", "narrow", "1.0.0", state="busy") == 1
        with pytest.raises(subprocess.TimeoutExpired):  # serves as a clock only
            served.runtime.process.wait(0.3)
        served.gates.open("long")
        assert held.result().status == 200
    after = served.scrape()
    name = "buntime_request_duration_seconds"

    def grown(suffix: str, **labels: str) -> float:
        args = name + suffix, "narrow", "1.0.0"
        return after.of(*args, **labels) - before.of(*args, **labels)

    assert grown("_count") == grown("_bucket", le="+Inf") == grown("_bucket", le="30.0") == 1
    assert grown("_bucket", le="0.25") == 0
    assert 0.3 <= grown("_sum") < 10
    assert after.of("buntime_requests_in_progress", "narrow", "1.0.0") == 0


# ---- the queue


def test_queue_and_its_waits(served: Served) -> None:
    """A request that waits for a worker is counted while it waits; then its wait is, too."""
    args = "narrow", "1.0.0"
    served.fetch("/narrow/")
    before = served.scrape()
    assert before.of("buntime_queue_requests", *args) == 0
    with ThreadPoolExecutor() as threads, served.runtime.connect() as leaving:
        held = threads.submit(served.fetch, "/narrow/?gate=queue")
        served.wait_for(lambda now: now.of("buntime_requests_in_progress", *args) == 1)
        queued = [threads.submit(served.fetch, "/narrow/") for _ in range(2)]
        leaving.sendall(b"GET /narrow/ HTTP/1.1\r\nhost: x\r\n\r\n")
        full = served.wait_for(lambda now: now.of("buntime_queue_requests", *args) == 3)
        assert full.of("buntime_requests_in_progress", *args) == 4
        # By a reset: a client that only shuts its side may still read its answer.
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        leaving.close()
        served.wait_for(lambda now: now.of("buntime_queue_requests", *args) == 2)
        with pytest.raises(subprocess.TimeoutExpired):
            served.runtime.process.wait(0.2)
        served.gates.open("queue")
        assert [each.result().status for each in (held, *queued)] == [200, 200, 200]
    after = served.scrape()
    name = "buntime_queue_wait_seconds"
    count, total = f"{name}_count", f"{name}_sum"
    assert after.of(count, *args) - before.of(count, *args) == 3
    assert 0.4 <= after.of(total, *args) - before.of(total, *args) < 20
    name = "buntime_queue_dropped_total"
    for reason, times in (("client_left", 1), ("refused", 0), ("timeout", 0)):
        assert after.of(name, *args, reason=reason) - before.of(name, *args, reason=reason) == times
    assert after.of("buntime_queue_requests", *args) == 0


def test_timeouts(served: Served) -> None:
    """A request that exceeds the app's timeout counts as such, and so does its stuck worker."""
    served.fetch("/slow/")
    before = served.scrape()
    assert served.fetch("/slow/?gate=never").status == 504
    name = "buntime_worker_deaths_total"
    after = served.wait_for(
        lambda now: now.of(name, "slow", cause="stuck") > before.of(name, "slow", cause="stuck")
    )
    name = "buntime_request_timeouts_total"
    assert after.of(name, "slow") - before.of(name, "slow") == 1
    name = "buntime_requests_total"
    assert after.of(name, "slow", status="5xx") - before.of(name, "slow", status="5xx") == 1


# ---- workers


def test_counters_outlive_workers(served: Served) -> None:
    """The numbers of a killed worker are kept, and its death is counted with its cause."""
    served.fetch("/kept/?size=10")
    wait_until(lambda: workers_of(served.runtime, "kept", status="idle"))
    before = served.scrape()
    [worker] = workers_of(served.runtime, "kept")
    os.kill(worker["pid"], signal.SIGKILL)
    name = "buntime_worker_deaths_total"
    served.wait_for(lambda now: now.of(name, cause="signal") > before.of(name, cause="signal"))
    assert served.fetch("/kept/?size=10").status == 200
    after = served.scrape()
    deaths = {
        dict(labels)["cause"]: value - before[key, labels]
        for (key, labels), value in after.items()
        if key == name and ("app", "kept") in labels and value != before[key, labels]
    }
    assert deaths == {"signal": 1}
    name = "buntime_worker_boots_total"
    assert after.of(name, outcome="loaded") - before.of(name, outcome="loaded") == 1
    name = "buntime_worker_boot_seconds"
    assert after.of(f"{name}_count") - before.of(f"{name}_count") == 1
    assert 0 < after.of(f"{name}_sum") - before.of(f"{name}_sum") < 20
    name = "buntime_sent_bytes_total"
    assert after.of(name) - before.of(name) == 10
    assert after.of("buntime_workers", state="idle") == 1


def test_requests_of_a_dying_worker(served: Served) -> None:
    """If a worker exits, a POST fails with it, a GET is tried once more and is answered."""
    served.fetch("/kept/")
    before = served.scrape()
    assert served.fetch("/kept/die", "POST").status == 502
    assert served.fetch("/kept/die-once").status == 200
    after = served.wait_for(
        lambda now: (
            now.of("buntime_worker_deaths_total", cause="exit")
            >= before.of("buntime_worker_deaths_total", cause="exit") + 2
        )
    )
    name = "buntime_request_retries_total"
    assert after.of(name) - before.of(name) == 1
    name = "buntime_requests_total"
    assert after.of(name, status="5xx") - before.of(name, status="5xx") == 1
    assert after.of(name, status="2xx") - before.of(name, status="2xx") == 1


def test_answers_that_were_cut(served: Served) -> None:
    """An answer that is cut off is counted, and which side cut it."""
    served.fetch("/kept/")
    before = served.scrape()
    request = b"GET /kept/?stream=%s HTTP/1.1\r\nhost: x\r\n\r\n"
    with served.runtime.connect() as sock:
        sock.sendall(request % b"left")
        read_until(sock, b"xxx")
        flowing = served.scrape()
        assert (
            flowing.of("buntime_sent_bytes_total") - before.of("buntime_sent_bytes_total") == 1000
        )
    name = "buntime_answers_cut_total"
    served.wait_for(lambda now: now.of(name, by="client") == before.of(name, by="client") + 1)
    served.gates.open("left")
    with served.runtime.connect() as sock:
        sock.sendall(request % b"cut")
        read_until(sock, b"xxx")
        [worker] = workers_of(served.runtime, "kept")
        os.kill(worker["pid"], signal.SIGKILL)
        after = served.wait_for(
            lambda now: now.of(name, by="runtime") == before.of(name, by="runtime") + 1
        )
    assert after.of(name, by="client") == before.of(name, by="client") + 1


def test_workers_of_one_request(served: Served) -> None:
    """With ttl 0 each request has a boot and an end of its own."""
    served.fetch("/once/")
    count = "buntime_worker_deaths_total"
    before = served.wait_for(lambda now: now.of("buntime_workers", "once", state="ending") == 0)
    for _ in range(3):
        assert served.fetch("/once/").status == 200
    after = served.wait_for(
        lambda now: (
            now.of(count, "once", cause="ended") == before.of(count, "once", cause="ended") + 3
        )
    )
    name = "buntime_worker_boots_total"
    assert after.of(name, "once", outcome="loaded") - before.of(name, "once", outcome="loaded") == 3
    assert after.of("buntime_worker_starts_total", None) >= 4


def test_boots_that_fail(served: Served) -> None:
    """A boot that failed is counted, and `/api/workers` says why and when the next may be."""
    assert served.fetch("/broken/").status == 500
    after = served.wait_for(
        lambda now: now.of("buntime_worker_deaths_total", "broken", cause="boot") >= 1
    )
    assert after.of("buntime_worker_boots_total", "broken", outcome="failed") >= 1
    assert after.of("buntime_worker_boots_total", "broken", outcome="loaded") == 0
    apps = fetch(served.runtime, "/api/workers").json()["apps"]
    [app] = [each for each in apps if each["app"] == "broken"]
    assert app["version"] is None
    assert app["bootFailures"] >= 1
    assert "no luck" in app["bootError"]
    assert app["nextBootInSeconds"] is None or 0 < app["nextBootInSeconds"] <= 60
    served.fetch("/kept/")
    apps = fetch(served.runtime, "/api/workers").json()["apps"]
    [app] = [each for each in apps if each["app"] == "kept"]
    assert (app["bootFailures"], app["bootError"], app["nextBootInSeconds"]) == (0, None, None)
    assert (app["workers"], app["queued"]) == (1, 0)


def test_memory_is_that_of_the_workers(served: Served) -> None:
    """Memory is the resident set of the app's workers; spares count for no app."""
    served.fetch("/kept/")
    [worker] = workers_of(served.runtime, "kept")
    pages = int(Path(f"/proc/{worker['pid']}/statm").read_text().split()[1])
    now = served.scrape()
    size = pages * os.sysconf("SC_PAGE_SIZE")
    assert 0.5 * size < now.of("buntime_worker_memory_bytes") < 2 * size
    served.wait_for(lambda now: now.of("buntime_workers", "", state="spare") == 1)
    assert len(workers_of(served.runtime, None, status="spare")) == 1


# ---- connections


def test_connections(served: Served) -> None:
    """Open connections are counted, idle ones too, and those accepted so far."""
    before = served.wait_for(lambda now: now.of("buntime_connections_open", None) == 1)
    socks = [served.runtime.connect() for _ in range(5)]
    after = served.wait_for(lambda now: now.of("buntime_connections_open", None) == 6)
    name = "buntime_connections_accepted_total"
    assert after.of(name, None) - before.of(name, None) >= 6
    for sock in socks:
        sock.close()
    served.wait_for(lambda now: now.of("buntime_connections_open", None) == 1)


def test_websockets(served: Served) -> None:
    """An open WebSocket is counted, and its bytes while it is open; its length is no duration."""
    served.fetch("/kept/")
    before = served.scrape()
    url = f"ws://127.0.0.1:{served.runtime.port}/kept/"
    with websockets.sync.client.connect(url) as ws:
        ws.send("x" * 500)
        assert len(ws.recv()) == 500
        during = served.scrape()
        assert during.of("buntime_websockets_open") == 1
        for way in ("received", "sent"):
            name = f"buntime_{way}_bytes_total"
            assert during.of(name) - before.of(name) == 500
    after = served.wait_for(lambda now: now.of("buntime_websockets_open") == 0)
    name = "buntime_requests_total"
    assert after.of(name, status="1xx") - before.of(name, status="1xx") == 1
    name = "buntime_request_duration_seconds_count"
    assert after.of(name) == before.of(name)
    name = "buntime_answers_cut_total"
    assert after.of(name, by="client") == before.of(name, by="client")


# ---- plugins


def test_hooks_are_counted(served: Served) -> None:
    """Each plugin and each of its hooks is counted, here and, as sums, on the plugins' pages."""
    before = served.scrape()
    assert served.fetch("/site/looked-at").status == 404
    after = served.scrape()
    of = {"plugin": "looks", "hook": "on_request", "verdict": "continue"}
    name = "buntime_plugin_hook_verdicts_total"
    asked = after.of(name, None, **of)
    assert asked - before.get((name, frozenset(of.items())), 0) == 1
    assert after.of("buntime_plugin_up", None, plugin="looks") == 1
    counts = plugins_of(served.runtime)["looks"]["counts"]
    assert (counts["starts"], counts["hooksAsked"], counts["hooksFailed"]) == (1, asked + 1, 0)


# ---- the page


def test_every_family_is_there(served: Served) -> None:
    """A scrape has each metric with its kind and meaning, the process's and `buntime_info`."""
    wait_until(lambda: fetch(served.runtime, "/api/cron").json()["jobs"])
    now = served.scrape()
    text = fetch(served.runtime, "/metrics").body.decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    for family in FAMILIES:
        parsed = found[family.name.removesuffix("_total")]
        kinds = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
        assert (parsed.type, parsed.documentation) == (kinds[family.kind], family.meaning)
        assert parsed.samples
    samples = [each for family in found.values() for each in family.samples]
    assert {(each.name, frozenset(each.labels.items())) for each in samples} >= now.keys()
    assert found["process_open_fds"].samples
    [info] = found["buntime_info"].samples
    assert info.labels["version"] == buntime.__version__


def test_openmetrics_where_it_is_asked_for(served: Served) -> None:
    """Prometheus asks for OpenMetrics and gets it; a nonsensical Accept gets the text."""
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = fetch(served.runtime, "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0;")
    families = list(openmetrics.text_string_to_metric_families(answer.body.decode()))
    assert len(families) > len(FAMILIES)
    nonsense = {"Accept": "application/openmetrics-text;version=x.y"}
    answer = fetch(served.runtime, "/metrics", headers=nonsense)
    assert answer.headers["content-type"].startswith("text/plain")
    assert fetch(served.runtime, "/metrics", method="HEAD").status == 200


def test_json_tells_the_same(served: Served) -> None:
    """`/api/workers/metrics` has the numbers of a scrape, by app."""
    served.fetch("/narrow/")
    text = served.scrape()
    told = metrics(served.runtime)
    app = told["apps"]["narrow@1.0.0"]
    args = "narrow", "1.0.0"
    assert app["requests"]["2xx"] == text.of("buntime_requests_total", *args, status="2xx")
    assert app["queueWaitSeconds"]["count"] == text.of("buntime_queue_wait_seconds_count", *args)
    assert app["workers"]["idle"] == 1
    assert app["workerMemoryBytes"] > 0
    assert told["runtime"]["connectionsOpen"] >= 1


def test_start_does_not_pay_for_the_library() -> None:
    """The library is imported at the first scrape, so it does not slow down the start."""
    code = "import sys, buntime.server.runtime; print('prometheus_client' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == "False\n"


def test_public_metrics(tmp_path: Path) -> None:
    """RUNTIME_METRICS=public opens `/metrics` to all, and nothing else; else it needs the key."""
    write_app(tmp_path / "site", {"index.html": "x"})
    env = {"RUNTIME_MASTER_KEY": "sesame"}
    with running(tmp_path, env=env) as runtime:
        assert fetch(runtime, "/metrics").status == 401
        bearer = {"Authorization": "Bearer sesame"}
        assert fetch(runtime, "/metrics", headers=bearer).status == 200
        assert fetch(runtime, "/metrics", method="POST", headers=bearer).status == 405
    with running(tmp_path, env={**env, "RUNTIME_METRICS": "public"}) as runtime:
        assert fetch(runtime, "/metrics").status == 200
        assert fetch(runtime, "/metrics", headers={"Host": "apps.example.org"}).status == 200
        assert fetch(runtime, "/api/workers/metrics").status == 401


def test_a_scrape_counts_itself(served: Served) -> None:
    """A scrape belongs to no app, so a sum over a pod's apps leaves it out."""
    assert served.scrape().of("buntime_requests_in_progress", "") == 1
