"""How a snapshot of the runtime is taken, and how it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.pool.lifecycle import State
from buntime.server.admin.metrics import Metrics
from tests.support.calls import call_of
from tests.support.exchanges import FakeClient, FakeExchange, FakeService
from tests.support.fakes import FakeProcess


def app(name: str, version: str | None = None, entrypoint: str = "app.py") -> App:
    return App(name, version, Path("/apps"), entrypoint, default_manifest(1), Path("/apps"))


SHOP, SITE = app("shop", "1.0.0"), app("site", entrypoint="index.html")


class FakeReport:
    """A pool with a worker of shop, a spare, and three requests in two queues."""

    evictions = 4

    def __init__(self) -> None:
        self.stats = SimpleNamespace(worker_created=7)
        self.processes = [FakeProcess(), FakeProcess()]

    def counters(self) -> dict[str, object]:
        return {"hitCount": 5}

    def queues(self) -> Iterator[tuple[App, int]]:
        yield SHOP, 2
        yield SHOP, 1  # an earlier version of its code

    def census(self) -> Iterator[tuple[App | None, State, Any]]:
        yield SHOP, State.BUSY, self.processes[0]
        yield None, State.SPARE, self.processes[1]


class Fixture:
    def __init__(self) -> None:
        self.service = FakeService()
        self.report = FakeReport()
        service: Any = self.service
        report: Any = self.report
        self.metrics = Metrics(service, report)

    def connect(self, app: App | None = None, sent_bytes: int = 0) -> FakeClient:
        """A connection, with a request for an app if one is given."""
        client = FakeClient(self.service)
        if app is not None:
            client.exchange = exchange = FakeExchange("/", service=self.service)
            exchange.route_to(app, base="/x")
            exchange.sent_bytes = sent_bytes
        self.service.connections.add(client)
        return client

    def text(self, *, accept: str = "") -> FakeExchange:
        exchange = FakeExchange("/metrics", headers=(("accept", accept),), service=self.service)
        self.metrics.answer_text(call_of(exchange))
        return exchange

    def json(self) -> Any:
        exchange = FakeExchange("/api/workers/metrics", service=self.service)
        self.metrics.answer_json(call_of(exchange))
        return exchange.json


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_what_goes_on(fixture: Fixture) -> None:
    """Current requests, queues and workers are counted for their app."""
    fixture.connect()
    fixture.connect(SHOP, sent_bytes=100)
    fixture.connect(SHOP, sent_bytes=11)
    fixture.connect(SITE)
    fixture.service.accepted = 9
    fixture.service.admission.displaced.add(now=0.0)
    for _ in range(2):
        fixture.service.client_limit.refused.add(now=0.0)
    told = fixture.json()
    shop, site = told["apps"]["shop@1.0.0"], told["apps"]["site"]
    assert (shop["requestsInProgress"], shop["queueRequests"], shop["sentBytes"]) == (
        2,
        3,
        111,
    )
    assert shop["workers"]["busy"] == 1
    assert site["requestsInProgress"] == 1
    assert "workers" not in site
    assert told["apps"][""]["workers"]["spare"] == 1
    assert told["runtime"] == {
        "workerStarts": 7, "workerEvictions": 4,
        "connectionsOpen": 4, "connectionsAccepted": 9, "connectionsDisplaced": 1,
        "connectionsRefused": 2, "logLost": {"queue": 0},
    }  # fmt: skip
    assert told["hitCount"] == 5


def test_what_has_ended_does_not_go_on(fixture: Fixture) -> None:
    """A request that has ended counts as ended, and not as in progress, even while its connection
    still holds it."""
    client = fixture.connect(SHOP, sent_bytes=100)
    assert client.exchange is not None
    client.exchange.meter.on_end(200, 1000.0, 0.1, 0, 100)
    client.exchange.respond(200, [])
    shop = fixture.json()["apps"]["shop@1.0.0"]
    assert (shop["requestsInProgress"], shop["sentBytes"]) == (0, 100)
    assert shop["requests"]["2xx"] == 1


def test_memory_is_measured_at_the_end(fixture: Fixture) -> None:
    """Each app gets the memory of its workers; spares belong to no app."""
    fixture.report.processes[0].size_bytes = 3 << 20
    fixture.report.processes[1].size_bytes = 1 << 20
    apps = fixture.json()["apps"]
    assert apps["shop@1.0.0"]["workerMemoryBytes"] == 3 << 20
    assert apps[""]["workerMemoryBytes"] == 1 << 20


def test_text(fixture: Fixture) -> None:
    """A scrape is text in the format that was asked for, and must not be cached."""
    fixture.connect(SHOP)
    plain = fixture.text()
    assert plain.status == 200
    assert plain.fields["content-type"].startswith("text/plain; version=")
    assert plain.fields["cache-control"] == "no-store"
    assert b'buntime_requests_in_progress{app="shop",version="1.0.0"} 1.0\n' in plain.body
    newer = fixture.text(accept="application/openmetrics-text; version=1.0.0")
    assert newer.fields["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert newer.body.endswith(b"# EOF\n")


def test_a_client_that_leaves(fixture: Fixture) -> None:
    """If the client leaves before the numbers are ready, nothing is sent and nothing breaks."""
    exchange = FakeExchange("/metrics", service=fixture.service)
    waiting: list[Any] = []
    fixture.service.loop.run_blocking = lambda work, then: waiting.append((work, then))  # type: ignore[method-assign]
    fixture.metrics.answer_text(call_of(exchange))
    exchange.on_client_left()
    [(work, then)] = waiting
    then(work())
    assert exchange.body == b""


def test_numbers_that_cannot_be_written(fixture: Fixture) -> None:
    """An error while the numbers are written is 500 to the client, and is reported to the loop."""
    del fixture.report.processes[0].size_bytes
    exchange = FakeExchange("/metrics", service=fixture.service)
    with pytest.raises(AttributeError):
        fixture.metrics.answer_text(call_of(exchange))
    assert (exchange.status, exchange.code) == (500, "internal")
