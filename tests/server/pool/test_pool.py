"""The pool carries out the scheduler's decisions, in order, with workers played by a test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from buntime.core.apps.app import App
from buntime.core.pool.lifecycle import State
from buntime.core.settings.live import LiveSettings
from buntime.core.telemetry.meters import Drop
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool.pool import Pool
from buntime.server.pool.upkeep import Upkeep
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from tests.support.apps import make_app
from tests.support.exchanges import FakeClient, FakeService
from tests.support.fakes import FakeInterpreters, FakeSink, make_log
from tests.support.harness import wait_until, write_app
from tests.support.settings import make_settings

GET = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
HELLO = "from buntime import Response\ndef fetch(request):\n    return Response('hello')\n"
BROKEN = "raise RuntimeError('a bad deploy')\n"


class World:
    """A pool with real workers, and clients without sockets."""

    def __init__(self, bundle: Path, apps: Path, **variables: str) -> None:
        self.apps = apps
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        self.interpreters = FakeInterpreters()
        self.service = FakeService()
        self.service.loop = cast(Any, self.loop)
        self.live = LiveSettings(make_settings(apps, RUNTIME_SPARE_WORKERS="0", **variables))
        self.log = make_log(self.sink)
        self.pool = Pool(
            self.loop,
            self.live,
            self.log,
            interpreters=cast(Any, self.interpreters),
            sandboxes=Sandboxes(
                find_kernel(), self.live, bundle=str(bundle), environ={}, warn=self.log.warn
            ),
            bundle=str(bundle),
            environ={},
        )

    def app(self, source: str = HELLO, version: str | None = None, **manifest: Any) -> App:
        folder = write_app(self.apps / f"shop{version or ''}", {"app.py": source})
        return make_app(version=version, folder=folder, **{"ttl_s": 60.0, **manifest})

    def submit(self, app: App, raw: bytes = GET, base: str = "/shop") -> Exchange:
        exchange = FakeClient(self.service).request(raw)
        exchange.route_to(app, base=base)
        self.pool.submit(exchange, app)
        return exchange

    def answer(self, exchange: Exchange) -> int:
        """Turn the loop until the request is answered; returns the status."""
        self.turn_until(lambda: exchange.is_ended, "the answer")
        return exchange.status

    def turn_until(self, fact: Any, what: str) -> None:
        def turn() -> bool:
            if not fact():
                self.loop.run_once(0.5)
            return bool(fact())

        wait_until(turn, timeout_s=30.0, what=what)
        assert self.errors == []

    def workers(self, status: State | None = None) -> list[dict[str, Any]]:
        found = cast(list[dict[str, Any]], self.pool.report.workers(self.loop.now))
        return [each for each in found if status is None or each["status"] == status.value]

    def close(self) -> None:
        gone: list[bool] = []
        self.pool.close(lambda: gone.append(True))
        self.turn_until(lambda: gone, "the end of all workers")
        self.loop.close()


@pytest.fixture
def world(bundle: Path, tmp_path: Path) -> Iterator[World]:
    made = World(bundle, tmp_path / "apps")
    yield made
    made.close()


def test_a_request_is_answered(world: World) -> None:
    """A worker is started for the first request, and serves the next one as well."""
    app = world.app()
    assert world.answer(world.submit(app)) == 200
    assert world.answer(world.submit(app)) == 200
    (worker,) = world.workers()
    assert (worker["status"], worker["requestCount"]) == ("idle", 2)
    assert (world.pool.stats.hits, world.pool.stats.misses) == (2, 0)


def test_a_look_at_workers_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and the next one still comes: nothing else ends workers that are idle."""

    def fail(upkeep: Upkeep, now: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Upkeep, "look", fail)
    world.pool.start()
    for _ in range(2):
        while not world.errors:
            world.loop.run_once(0.5)
        assert isinstance(world.errors.pop(), ZeroDivisionError)


def test_an_ephemeral_request_has_a_worker_of_its_own(world: World) -> None:
    """The worker of an ephemeral request ends with it."""
    exchange = world.submit(world.app(ttl_s=0.0))
    assert world.answer(exchange) == 200
    world.turn_until(lambda: not world.workers(), "the worker's end")
    assert (world.pool.stats.hits, world.pool.stats.misses) == (0, 1)


def test_a_request_waits_for_its_interpreter(world: World) -> None:
    """The first look-up of the interpreter happens off the loop."""
    app = world.app()
    world.interpreters.unknown.add(app)
    exchange = world.submit(app)
    assert world.workers() == []
    assert world.answer(exchange) == 200


def test_an_app_that_cannot_be_loaded(world: World) -> None:
    """Requests that wait for such an app get 500 and are counted."""
    exchange = world.submit(world.app(BROKEN))
    assert world.answer(exchange) == 500
    assert exchange.meter.drops[Drop.BOOT_FAILED] == 1


def test_a_version_that_cannot_be_loaded_is_answered_by_the_one_before(world: World) -> None:
    """The request that waited for the new version falls back to the previous one."""
    old, new = world.app(version="1.0.0"), world.app(BROKEN, version="2.0.0")
    world.answer(world.submit(old))
    world.pool.kill_all()
    world.turn_until(lambda: not world.workers(), "the end of its worker")
    assert world.pool.deployments.choose(new, old) is new
    exchange = world.submit(new)
    assert world.answer(exchange) == 200
    assert exchange.app is old


def test_the_one_before_answers_at_a_host_whatever_the_path_is(world: World) -> None:
    """Which versions may answer depends on the request's host, as its path names none."""
    old, new = world.app(version="1.0.0"), world.app(BROKEN, version="2.0.0")
    assert world.answer(world.submit(old)) == 200
    path = b"/other@9/x"
    exchange = world.submit(new, GET.replace(b"/shop/", path), base="")
    deployment = world.pool.deployments.serving(new)
    assert deployment is not None
    deployment.fallback = old
    assert world.answer(exchange) == 200


def test_a_full_queue(world: World) -> None:
    """A full queue is 503 at once, and an ephemeral app's slot is used in turns."""
    world.live.replace(
        make_settings(
            world.apps,
            RUNTIME_SPARE_WORKERS="0",
            RUNTIME_EPHEMERAL_CONCURRENCY="1",
            RUNTIME_EPHEMERAL_QUEUE_LIMIT="1",
        )
    )
    app = world.app(ttl_s=0.0)
    exchanges = [world.submit(app) for _ in range(3)]
    assert exchanges[2].status == 503
    assert exchanges[2].meter.drops[Drop.REFUSED] == 1
    assert [world.answer(each) for each in exchanges[:2]] == [200, 200]


def test_a_client_that_leaves_the_queue(world: World) -> None:
    """If the client leaves the queue no worker gets its request."""
    app = world.app()
    exchange = world.submit(app)
    cast(FakeClient, exchange.client).abort()
    world.turn_until(lambda: world.workers(State.IDLE), "the worker")
    assert world.workers()[0]["requestCount"] == 0


def test_an_interpreter_that_cannot_be_started(world: World) -> None:
    """The request is answered, and the boot's error says what went wrong."""
    default = world.interpreters.default
    app = world.app()
    world.interpreters.chosen[app] = default._replace(executable="/no/such/python")
    assert world.answer(world.submit(app)) == 500
    (told,) = world.pool.report.apps(world.loop.now)
    assert told["bootError"] == "its worker could not be started"


def test_recycling(world: World) -> None:
    """A worker with an app is replaced by a fresh one, by its name or its app's."""
    app = world.app()
    world.answer(world.submit(app))
    assert world.pool.orders.recycle_worker("w1")
    assert not world.pool.orders.recycle_worker("w99")
    world.turn_until(lambda: [w["id"] for w in world.workers()] == ["w2"], "the fresh one")
    assert world.pool.orders.recycle_app("shop", "shop@9.9.9") == []


def test_decisions_that_come_of_others_wait(world: World) -> None:
    """Answering one request may start the next: that one is handled after the pending decisions."""
    app = world.app(BROKEN)
    order: list[str] = []
    first = world.submit(app)

    class Next(FakeClient):
        def on_exchange_end(self, keep_alive: bool) -> None:
            super().on_exchange_end(keep_alive)
            order.append("first")
            world.submit(app)  # a pipelined request, begun while decisions are being carried out

    first.client = Next(world.service)
    second = world.submit(app)
    assert world.answer(first) == 500
    assert second.status == 500
    assert order == ["first"]


def test_close(world: World) -> None:
    """Every worker is told to end; the end of the last one is reported once."""
    world.answer(world.submit(world.app()))
    gone: list[bool] = []
    world.pool.close(lambda: gone.append(True))
    assert gone == []
    world.turn_until(lambda: gone, "the end of all workers")
    assert repr(world.pool) == "Pool(Supervisor(0 workers), Deployments(1 served, 1 in all))"
    assert gone == [True]


def test_the_channel_of_a_worker_is_closed_with_it(world: World) -> None:
    """When a worker was killed nothing of it stays open."""
    world.answer(world.submit(world.app()))
    (worker,) = world.pool._supervisor.workers.values()
    channel: socket.socket = worker.process.channel
    world.pool.kill_all()
    world.turn_until(lambda: channel.fileno() < 0, "the end of the channel")
