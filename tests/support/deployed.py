"""Deployed apps that have workers as far as the scheduler knows, but no processes."""

from __future__ import annotations

from typing import Any, cast

from buntime.core.apps.app import App
from buntime.core.pool.decisions import Adopt, Decision
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import PoolLimits
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.deployments import Deployments
from tests.support.apps import make_app
from tests.support.fakes import FakeInterpreters, FakeLoop, FakeSink, make_log


class World:
    """Deployments with a real scheduler, whose decisions are kept."""

    def __init__(self, *, is_development: bool = False, loop: Any = None) -> None:
        self.loop = loop or FakeLoop()
        self.sink = FakeSink()
        self.interpreters = FakeInterpreters()
        self.decisions: list[Decision] = []
        limits = PoolLimits(10, 2, 10, 10, 0, 10)
        self.scheduler = Scheduler(limits, jitter=lambda: 0.5)
        self.deployments = Deployments(
            cast(Any, self.loop),
            make_log(self.sink),
            cast(Any, self.interpreters),
            self.scheduler,
            is_development=is_development,
            carry_out=self.decisions.extend,
        )

    def current(self, app: App) -> Deployment:
        deployment = self.deployments.current(app)
        assert deployment is not None
        return deployment

    def load(self, deployment: Deployment) -> int:
        """Have a worker load the app; returns the worker's number."""
        if not deployment.state.workers:
            self.scheduler.try_out(deployment.state, self.loop.now)
        number = max(deployment.state.workers)
        self.scheduler.loaded(number, 8, self.loop.now)
        self.deployments.loaded(deployment)
        return number

    def fail(self, deployment: Deployment) -> None:
        """Have the worker that is loading the app die."""
        number = max(deployment.state.workers)
        self.scheduler.boot_failed(number, "broken")
        self.scheduler.died(number, self.loop.now)
        self.deployments.failed(deployment)

    def proven(self, version: str | None = None, **manifest: Any) -> App:
        """An app that serves, with a worker."""
        app = make_app(version=version, **{"ttl_s": 60.0, **manifest})
        self.load(self.current(app))
        self.decisions.clear()
        return app

    def adopted(self) -> list[App]:
        """The apps that workers were started for."""
        return [
            self.deployments.by_state[each.app].app
            for each in self.decisions
            if isinstance(each, Adopt)
        ]
