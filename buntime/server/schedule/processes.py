"""Keeps the processes of apps running (`processes`), even without requests to these apps.

Only those of the active version, in the runtime that holds the state folder. A process counts as
one in the pool's size, has the app's `maxMemory`, and ends before its successor starts when the
app's code, manifest or secrets have changed. Its app is watched for changes like one with a worker.
"""

from collections.abc import Hashable
from functools import partial
from typing import cast

from buntime.confine import NotConfined
from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.core.schedule.jobs import AppProcess
from buntime.core.schedule.keeper import FailingProcess, Keeper, ProcessKey, StartProcess
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.cronmetrics import PROCESS_STARTS, PROCESS_UP, ProcessRow
from buntime.core.values.units import format_size
from buntime.server.pool.process import describe_exit
from buntime.server.pool.programs import KEPT, Order, Program
from buntime.server.pythons.probe import Interpreter
from buntime.server.schedule.ground import Ground
from buntime.server.schedule.roll import Roll
from buntime.server.state.datafolders import NoData
from buntime.server.state.secretstore import NoSecrets

_WATCH_S = 1.0  # between checks of memory, and of which apps are watched


class Processes:
    """All of them. Used on the loop's thread."""

    def __init__(self, ground: Ground, live: LiveSettings, roll: Roll) -> None:
        self._ground = ground
        self._loop = ground.service.loop
        self._log = ground.service.log
        self._roll = roll
        self._keeper = Keeper(_most(live.now))
        self._programs: dict[ProcessKey, Program] = {}
        self._is_to_end: set[ProcessKey] = set()  # before they have started
        self._watched_s = float("-inf")
        self._reported: list[ProcessKey] = []  # that there was no room
        roll.follow(self._want)
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"Processes({self._keeper!r})"

    def metrics(self) -> list[ProcessRow]:
        """The values of each."""
        return [
            ProcessRow(
                seen.key.app,
                seen.key.name,
                {PROCESS_UP: int(seen.key in self._programs), PROCESS_STARTS: seen.starts},
            )
            for seen in self._keeper.seen()
        ]

    def failing(self) -> list[FailingProcess]:
        """Those that do not stay up."""
        return self._keeper.failing(self._loop.now)

    def look(self) -> None:
        """Start and end what is due: called a few times a second."""
        for decision in self._keeper.look(self._loop.now):
            if isinstance(decision, StartProcess):
                self._start(decision.key, cast(App, decision.token))
            else:
                self._end(decision.key)
        if self._loop.now - self._watched_s >= _WATCH_S:
            self._watched_s = self._loop.now
            self._watch()

    def close(self) -> None:
        """The runtime ends; the pool ends what runs, after the last request."""
        self._keeper.close()

    # What is wanted

    def _want(self) -> None:
        self._keeper.want(
            {
                ProcessKey(name, each.name): cast(Hashable, app.code)
                for name, app in self._roll.apps.items()
                for each in app.manifest.processes
            }
        )

    def _adopt(self, settings: Settings) -> None:
        self._keeper.most = _most(settings)

    # How it is done

    def _start(self, key: ProcessKey, app: App) -> None:
        process = next(each for each in app.manifest.processes if each.name == key.name)
        find = partial(self._ground.interpreters.find, app)
        self._loop.run_blocking(find, lambda found: self._begin(key, app, process, found))

    def _begin(
        self, key: ProcessKey, app: App, process: AppProcess, found: Interpreter | BaseException
    ) -> None:
        if key in self._is_to_end or self._ground.service.is_draining:
            self._is_to_end.discard(key)
            self._on_end(key, app, "the runtime has other plans")
        elif isinstance(found, ManifestError):
            self._on_fault(key, app, str(found))
        elif isinstance(found, BaseException):
            self._on_fault(key, app, "internal error")
            raise found
        else:
            self._follow(app)  # before it loads the code, so that changes from here on count
            order = Order(app, found, process.command, f"{KEPT}{process.name}")
            try:
                program = self._ground.pool.programs.start(
                    order, on_exit=lambda code: self._on_end(key, app, describe_exit(code))
                )
            except (OSError, NotConfined, NoData, NoSecrets) as exc:
                self._on_fault(key, app, str(exc))
                return
            self._programs[key] = program
            self._log.info(
                "process.started", "process of an app started", **_fields(key, app),
                worker=program.name, pid=program.process.pid,
            )  # fmt: skip

    def _end(self, key: ProcessKey) -> None:
        program = self._programs.get(key)
        if program is None:
            self._is_to_end.add(key)
        else:
            program.end()

    def _on_end(self, key: ProcessKey, app: App, how: str) -> None:
        self._programs.pop(key, None)
        retry_s = self._keeper.ended(key, self._loop.now, how)
        if retry_s is None or self._ground.service.is_draining:
            self._log.info("process.ended", "process of an app ended", **_fields(key, app), how=how)
        else:
            self._log.warn(
                "process.died", "process of an app died; starting it again", **_fields(key, app),
                how=how, retry_s=retry_s,
            )  # fmt: skip

    def _on_fault(self, key: ProcessKey, app: App, error: str) -> None:
        retry_s = self._keeper.ended(key, self._loop.now, error)
        self._log.error(
            "process.start_failed", "process of an app cannot be started", **_fields(key, app),
            error=error, retry_s=retry_s,
        )  # fmt: skip

    # While they run

    def _watch(self) -> None:
        lacking = self._keeper.lacking
        if lacking and lacking != self._reported:
            self._log.error(
                "process.no_room",
                "processes of apps do not start: they may use half of RUNTIME_POOL_SIZE",
                processes=[f"{key.app}:{key.name}" for key in lacking],
                most=self._keeper.most,
            )
        self._reported = lacking
        for key, program in self._programs.items():
            self._check_memory(key, program)
        for app in {program.app for program in self._programs.values()}:
            self._follow(app)

    def _check_memory(self, key: ProcessKey, program: Program) -> None:
        limit = program.app.manifest.max_memory_bytes
        size = program.process.resident_bytes() if limit else 0
        if limit and size > limit and not program.is_ending:
            self._log.warn(
                "process.memory_exceeded", "process of an app is above maxMemory; ending it",
                **_fields(key, program.app), size=format_size(size), limit=format_size(limit),
            )  # fmt: skip
            program.end()

    def _follow(self, app: App) -> None:
        """Watch its code for changes, even if no worker has loaded it."""
        deployments = self._ground.pool.deployments
        if app.is_static or deployments.follow is None:
            return
        try:
            deployment = deployments.current(app)
        except ManifestError:  # reported when it should have started
            return
        if deployment is not None:
            deployments.follow(deployment)


def _most(settings: Settings) -> int:
    """How many may run: workers need room, too."""
    return max(1, settings.pool_size // 2)


def _fields(key: ProcessKey, app: App) -> dict[str, object]:
    return {"app": key.app, "version": app.version, "process": key.name}
