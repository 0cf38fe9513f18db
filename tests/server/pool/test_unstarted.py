"""Apps for which no worker can be started, as operators are told of them."""

from __future__ import annotations

import pytest

from buntime.core.errors import ManifestError
from buntime.server.pool.report import PoolReport
from buntime.server.pool.stats import PoolStats
from tests.support.apps import make_app
from tests.support.deployed import World


def told(world: World) -> list[tuple[object, object, object]]:
    """Each app, how often it has failed, and why."""
    report = PoolReport(
        world.scheduler,
        workers={},
        programs={},
        deployments=world.deployments,
        stats=PoolStats(),
    )
    apps = report.apps(world.loop.now)
    return [(each["app"], each["bootFailures"], each["bootError"]) for each in apps]


def test_a_request_for_one() -> None:
    """It is told of until it can be started."""
    world, app = World(), make_app()
    world.interpreters.unfit[app] = ManifestError("no python")
    for _ in range(2):
        with pytest.raises(ManifestError):
            world.deployments.current(app)
    assert told(world) == [("shop", 1, "no python")]
    del world.interpreters.unfit[app]
    world.current(app)
    assert told(world) == []


def test_one_that_is_to_be_ready() -> None:
    """The look before the first request tells of it too, in the log as well."""
    world, app = World(), make_app(prewarm=1)
    world.interpreters.unfit[app] = ManifestError("no python")
    world.deployments.prepare(app)
    world.loop.turn()
    assert told(world) == [("shop", 1, "no python")]
    (record,) = world.sink.records
    assert (record.event, record.fields["error"]) == ("app.start_failed", "no python")


def test_one_that_has_changed() -> None:
    """Once its folder is another one, nobody knows yet whether it can be started."""
    world, app = World(), make_app()
    world.deployments.tell_of_fault(app, ManifestError("no python"))
    assert repr(world.deployments.unstarted) == "Unstarted(['shop'])"
    del app
    assert told(world) == []
    assert repr(world.deployments.unstarted) == "Unstarted([])"


def test_one_that_has_workers() -> None:
    """What is told of its workers is not told twice."""
    world, app = World(), make_app()
    world.load(world.current(app))
    world.deployments.tell_of_fault(app, ManifestError("no python"))
    assert told(world) == [("shop", 0, None)]
