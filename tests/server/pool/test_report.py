"""What the pool reports about its workers, its apps and waiting requests."""

from __future__ import annotations

from typing import Any, cast

from buntime.core.pool.lifecycle import State
from buntime.server.pool.report import PoolReport
from buntime.server.pool.stats import PoolStats
from tests.support.apps import make_app
from tests.support.deployed import World
from tests.support.fakes import FakeWorker, make_log


class Reported:
    """The report of a world with fake workers."""

    def __init__(self) -> None:
        self.world = World()
        self.stats = PoolStats()
        self.workers: dict[int, FakeWorker] = {}
        self.report = PoolReport(
            self.world.scheduler,
            workers=cast(Any, self.workers),
            programs={},
            deployments=self.world.deployments,
            stats=self.stats,
        )

    def hire(self, app: Any, number: int) -> None:
        self.workers[number] = FakeWorker(number, make_log(self.world.sink), app)

    @property
    def now(self) -> float:
        return self.world.loop.now


def test_a_worker_is_described() -> None:
    """A worker is described by its app, process, activity, and age since it was given the app."""
    told = Reported()
    app = told.world.proven("1.0.0")
    state = told.world.current(app).state
    number = max(state.workers)
    told.hire(app, number)
    told.world.scheduler.submit(state, "ticket", told.now)
    assert told.report.workers(told.now + 2.51) == [
        {
            "id": f"w{number}",
            "pid": 4711,
            "app": "shop",
            "version": "1.0.0",
            "status": "busy",
            "sandbox": "off",
            "inHand": 1,
            "busy": None,
            "requestCount": 0,
            "ageSeconds": 2.5,
        }
    ]


def test_a_spare_has_no_app_and_no_age() -> None:
    """A spare has no app yet, so it has no age either."""
    told = Reported()
    told.world.scheduler.limits = told.world.scheduler.limits._replace(spare_workers=1)
    told.world.scheduler.keep_spares("python", told.now)
    (number,) = told.world.scheduler.workers
    told.hire(None, number)
    (described,) = told.report.workers(told.now)
    assert (described["app"], described["status"], described["ageSeconds"]) == (None, "spare", None)


def test_apps_that_do_nothing_are_left_out() -> None:
    """An app is reported while it has workers, a queue, or a failed boot."""
    told = Reported()
    told.world.current(make_app("idle"))
    busy = told.world.proven()
    (described,) = told.report.apps(told.now)
    assert described == {
        "app": "shop",
        "version": None,
        "status": "idle",
        "workers": 1,
        "queued": 0,
        "bootFailures": 0,
        "bootError": None,
        "limitsWithoutEffect": [],
        "nextBootInSeconds": None,
    }
    assert busy.name == "shop"


def test_a_failed_boot_is_told_with_the_next_one() -> None:
    """The time until the next boot is rounded up, so that a request after it is not too early."""
    told = Reported()
    deployment = told.world.current(make_app(ttl_s=60.0))
    told.world.scheduler.try_out(deployment.state, told.now)
    told.world.fail(deployment)
    (described,) = told.report.apps(told.now + 0.31)
    assert (described["status"], described["bootFailures"]) == ("offline", 1)
    assert (described["bootError"], described["nextBootInSeconds"]) == ("broken", 0.7)
    (described,) = told.report.apps(told.now + 1.0)
    assert described["nextBootInSeconds"] is None


def test_a_dropped_app_is_not_told_twice() -> None:
    """While the old code's workers finish, only the new code is reported as the app."""
    told = Reported()
    told.world.proven()
    told.world.scheduler.try_out(told.world.current(make_app()).state, told.now)
    assert len(told.report.apps(told.now)) == 1


def test_stats_of_apps() -> None:
    """Each app that had a request has statistics, even if it serves no more."""
    told = Reported()
    app = told.world.proven()
    told.stats.on_request("shop")
    told.stats.on_request("gone@1.0.0")
    state = told.world.current(app).state
    assert _statuses(told) == {"shop": "idle", "gone@1.0.0": "offline"}
    told.world.scheduler.submit(state, "ticket", told.now)
    assert _statuses(told) == {"shop": "active", "gone@1.0.0": "offline"}


def test_the_status_of_an_ephemeral_app() -> None:
    """An ephemeral app has no worker between two requests, which does not affect its status."""
    told = Reported()
    told.world.current(make_app(ttl_s=0.0))
    told.stats.on_request("shop")
    assert _statuses(told) == {"shop": "ephemeral"}


def _statuses(told: Reported) -> dict[str, object]:
    stats = cast(dict[str, dict[str, object]], told.report.app_stats())
    return {key: each["status"] for key, each in stats.items()}


def test_census_and_queues() -> None:
    """For metrics: each worker with its app, and how many requests wait for a worker."""
    told = Reported()
    app = told.world.proven(concurrency=1)
    state = told.world.current(app).state
    number = max(state.workers)
    told.hire(app, number)
    for ticket in range(10):
        told.world.scheduler.submit(state, ticket, told.now)
    worker = told.workers[number]
    assert list(told.report.census()) == [(app, State.BUSY, worker.process)]
    assert list(told.report.queues()) == [(app, 2)]


def test_counters() -> None:
    """The size of the cache is the number of workers with an app."""
    told = Reported()
    told.world.proven()
    told.stats.requests = 3
    counters = told.report.counters()
    assert (counters["cacheSize"], counters["requestCount"]) == (1, 3)
    assert told.report.evictions == counters["evictionCount"] == 0
