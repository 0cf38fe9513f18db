"""Apps for which no worker can be started, as shown to operators."""

from __future__ import annotations

import pytest

from buntime.core.errors import ManifestError
from buntime.server.pool.report import PoolReport
from buntime.server.pool.stats import PoolStats
from tests.support.apps import make_app
from tests.support.deployed import World


def told(world: World) -> list[tuple[object, object, object]]:
    """Each app with its number of failures, and the reason."""
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
    """The app is listed until a worker can be started."""
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
    """The check before the first request lists it too, and logs it."""
    world, app = World(), make_app(prewarm=1)
    world.interpreters.unfit[app] = ManifestError("no python")
    world.deployments.prepare(app)
    world.loop.turn()
    assert told(world) == [("shop", 1, "no python")]
    (record,) = world.sink.records
    assert (record.event, record.fields["error"]) == ("app.start_failed", "no python")


def test_one_that_has_changed() -> None:
    """Once its folder has changed, nobody knows yet whether a worker can be started."""
    world, app = World(), make_app()
    world.deployments.tell_of_fault(app, ManifestError("no python"))
    assert repr(world.deployments.unstarted) == "Unstarted(['shop'])"
    del app
    assert told(world) == []
    assert repr(world.deployments.unstarted) == "Unstarted([])"


def test_one_that_has_workers() -> None:
    """An app whose workers are reported is not reported a second time."""
    world, app = World(), make_app()
    world.load(world.current(app))
    world.deployments.tell_of_fault(app, ManifestError("no python"))
    assert told(world) == [("shop", 0, None)]
