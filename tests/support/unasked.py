"""Work that nobody asked for: all parts of a runtime that it needs, and a clock to set."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buntime.core.schedule.planner import Ended, JobKey
from buntime.core.settings.live import LiveSettings
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.service import Service
from buntime.server.loop.loop import Loop
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.schedule.ground import Ground
from buntime.server.schedule.unasked import Unasked
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder
from tests.support.fakes import FakeSink, make_log
from tests.support.harness import wait_until
from tests.support.settings import make_settings

NOW = 1_700_000_040.0  # a whole minute


class Place:
    """A machine with apps. Call `begin` when these exist."""

    def __init__(self, root: Path, bundle: Path, **variables: str) -> None:
        self.root, self.apps = root, root / "apps"
        self.apps.mkdir(exist_ok=True)
        self.wall = NOW
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        log = make_log(self.sink)
        variables = {"RUNTIME_STATE_DIR": str(root / "state"), **variables}
        self.live = LiveSettings(make_settings(self.apps, RUNTIME_SPARE_WORKERS="0", **variables))
        settings = self.live.now
        self.state = StateFolder(settings.state_dir)
        self.state.take()
        environ = {"PATH": os.environ["PATH"]}
        sandboxes = Sandboxes(
            find_kernel(), self.live, bundle=str(bundle), environ=environ, warn=log.warn
        )
        self.interpreters = Interpreters(None)
        self.pool = Pool(
            self.loop,
            self.live,
            log,
            interpreters=self.interpreters,
            sandboxes=sandboxes,
            bundle=str(bundle),
            environ=environ,
        )
        self.catalog = Catalog(
            settings.worker_dirs,
            body_default=1 << 20,
            body_max=1 << 20,
            warn=log.warn,
            check_interval_s=0.0,
            rollout=self.pool.deployments,
        )
        self.service = Service(self.loop, self.live, log, self.pool.stats.meters)
        self.db = StateDb(self.state, self.loop, tell=log.info, warn=log.warn, error=log.error)
        self.tell_changed: list[Callable[[Any], None]] = []
        self.unasked = Unasked(
            Ground(self.service, self.pool, self.interpreters, self.catalog, self.state),
            self.live,
            self.db,
            follow=self.tell_changed.append,
            wall=lambda: self.wall,
        )
        self.roll, self.cron = self.unasked.roll, self.unasked.cron

    def begin(self) -> None:
        self.db.start()
        self.unasked.start()

    def changed(self, *names: str) -> None:
        """Report that the folders of these apps have changed."""
        self.catalog.refresh()
        for tell in self.tell_changed:
            tell(names)

    def until(self, fact: Callable[[], object]) -> None:
        def turn() -> object:
            if not fact():
                self.loop.run_once(0.3)
            return fact()

        wait_until(turn, timeout_s=20.0)
        assert self.errors == []

    def look(self) -> None:
        """Look at the clock, as a tick does."""
        self.cron.look()

    def ended(self, key: JobKey) -> list[Ended]:
        seen = self.cron.find(key)
        return [] if seen is None else [*seen.ended]

    def lines(self) -> list[str]:
        """What apps have printed, except errors."""
        printed = [each for each in self.sink.records if each.event == "app.output"]
        return [each.message for each in printed if each.fields["stream"] == "stdout"]

    def events(self, event: str) -> list[Any]:
        return [each.fields for each in self.sink.records if each.event == event]

    def close(self) -> None:
        gone: list[bool] = []
        self.service.is_draining = True
        self.pool.close(lambda: gone.append(True))
        self.until(lambda: gone)
        self.pool.end_orphans()
        self.db.close()
        for thread in threading.enumerate():
            if thread.name == "state-db":
                thread.join(10)
        self.state.let_go()
        self.interpreters.close()
        self.loop.close()
        assert self.errors == []
