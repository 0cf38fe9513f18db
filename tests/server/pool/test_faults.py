"""What a client is told if no worker can answer its request."""

from __future__ import annotations

import pytest

from buntime.server.pool import faults
from tests.support.apps import make_app
from tests.support.deployed import World


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2")])
def test_retry_after_is_rounded_up(seconds: float, told: str) -> None:
    """Retry-After is in whole seconds, at least one, so that a client that obeys it is not too
    early."""
    fault = faults.overloaded("full", seconds)
    assert (fault.status, fault.headers) == (503, (("Retry-After", told),))


@pytest.mark.parametrize(
    ("app", "command"),
    [
        ("shop", "buntime show shop --errors"),
        ("plugin:audit", "buntime plugins show audit"),
        ("", None),
    ],
)
def test_the_command_that_shows_more(app: str, command: str | None) -> None:
    """The hint is a command that works: plugins have another one, a spare has none."""
    assert faults.see(app) == command


def test_refused_by_a_full_queue() -> None:
    """While boots succeed, the reason is that the queue is full."""
    world = World()
    deployment = world.current(make_app())
    fault = faults.refused(deployment, 3.0, world.loop.now)
    assert (fault.code, fault.headers) == ("overloaded", (("Retry-After", "3"),))
    assert faults.refused(None, 3.0, world.loop.now).code == "overloaded"


def test_refused_between_boots() -> None:
    """An app whose boots fail says how many have failed, why, and when the next one is due."""
    world = World()
    app = world.proven()
    deployment = world.current(app)
    world.scheduler.died(max(deployment.state.workers), world.loop.now)
    while not deployment.state.is_crash_looping(world.loop.now):
        world.loop.now = max(world.loop.now, deployment.state.retry_at_s)
        world.scheduler.try_out(deployment.state, world.loop.now)
        world.fail(deployment)
    fault = faults.refused(deployment, 15.5, world.loop.now)
    assert (fault.status, fault.code) == (503, "app_boot_failed")
    assert "5 times in a row" in str(fault)
    assert (fault.detail, fault.headers) == ("broken", (("Retry-After", "16"),))


def test_a_failed_boot() -> None:
    """The request that waited for the boot gets 500, with the app's own error as the detail."""
    world = World()
    deployment = world.current(make_app())
    world.scheduler.try_out(deployment.state, world.loop.now)
    world.fail(deployment)
    fault = faults.not_loaded(deployment)
    assert (fault.status, fault.code, fault.detail) == (500, "app_boot_failed", "broken")
    assert faults.not_loaded(None).status == 502
