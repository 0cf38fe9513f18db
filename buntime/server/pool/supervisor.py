"""The worker processes: started, given their app, told to end, and killed if they do not.

The scheduler decides which ones start and end, see the pool.
"""

from collections.abc import Mapping
from typing import Literal

from buntime.confine import NotConfined
from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.apps.app import App
from buntime.core.sandbox.refusals import advice_on
from buntime.core.settings.load import Settings
from buntime.core.telemetry.meters import Cause
from buntime.core.values.protocols import Protocol
from buntime.core.values.tally import Tally
from buntime.server.defence.shortage import is_start_shortage
from buntime.server.loop.loop import Loop, Timer
from buntime.server.pool.allowance import Allowances
from buntime.server.pool.calling import Switchboard
from buntime.server.pool.deployment import Deployment, SpareKey, caller_of, init_of
from buntime.server.pool.orphans import Orphans, become_subreaper
from buntime.server.pool.process import Process
from buntime.server.pool.programs import Counts, Means, Programs, command_of, environ_of
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.worker import Worker
from buntime.server.pool.workerevents import WorkerEvents
from buntime.server.sandbox.groups import Groups
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.state.secretstore import Secrets
from buntime.server.telemetry.logs import Log

_END_GRACE_S = 10.0  # from TERMINATE to SIGKILL
_MOMENT_S = 0.15  # most have ended by then; nobody waits longer for a worker's place
_TELL_S = 10.0  # at most one line in the log per this time
_KIND_OF = "buntime worker"  # whose output it is, before it has an app


class ProcessEvents(WorkerEvents[Worker], Protocol):
    """Is told what a worker does, and what happens to its process: the pool."""

    def on_exit(self, number: int, returncode: int) -> None:
        """The process has gone, and its output is read."""

    def on_no_means(self) -> None:
        """This machine has no means to start a process now, whichever it is."""

    def on_never_started(self, number: int, *, had_means: bool) -> None:
        """The process could not be started, although there were means for it: because of its
        interpreter, or of what its app needs."""


class Supervisor:
    """All worker processes, by the numbers that the scheduler gave them."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        log: Log,
        *,
        bundle: str,
        environ: Mapping[str, str],
        stats: PoolStats,
        sandboxes: Sandboxes,
        counts: Counts,
    ) -> None:
        self.workers: dict[int, Worker] = {}
        self.boot_timeout_s = settings.boot_timeout_s
        self.board: Switchboard | None = None  # for what workers call
        self.secrets = Secrets()  # given to workers
        self._loop = loop
        self._settings = settings
        self._log = log
        self._bundle = bundle
        self._environ = environ  # the runtime's own, which workers get little of
        self._stats = stats
        self._sandboxes = sandboxes
        self._boot_timers: dict[int, Timer] = {}
        self._adopted: dict[int, Deployment] = {}  # by worker
        self._allowances = Allowances()
        self._shortages = Tally(every_s=_TELL_S)
        self._orphans = Orphans(log)
        self.groups = Groups(settings.cgroup, log.warn)
        means = Means(
            settings,
            bundle,
            environ,
            sandboxes,
            self.groups,
            self._allowances,
            self._secrets_of,
        )
        self.programs = Programs(loop, log, means, counts, ended=self._orphans.note_end)

    def __repr__(self) -> str:
        return f"Supervisor({len(self.workers)} workers)"

    def start(self) -> None:
        """Make processes that have lost their worker become children of the runtime."""
        self.groups.start()
        if not become_subreaper():
            self._log.debug(
                "orphan.unsupported",
                "cannot find processes that leave their worker's process group",
            )

    def spawn(self, number: int, key: SpareKey, events: ProcessEvents) -> None:
        """Start an interpreter that waits for an app; `events` is told everything it does."""
        log = self._log.child(worker=f"w{number}")
        try:
            process = Process(
                self._loop,
                command_of(key, self._bundle),
                environ_of(key, self._environ, f"w{number}"),
                user=key.user,
                sandbox=key.own and self._sandboxes.order_at_start(*key.own, self._loop.now),
                on_line=lambda stream, line: self._on_line(number, stream, line),
                on_dropped=lambda lines, size: self._on_dropped(number, lines, size),
                on_exit=lambda returncode: events.on_exit(number, returncode),
            )
        except (NotConfined, OSError) as exc:
            had_means = not is_start_shortage(exc)
            if had_means:
                log.error(
                    "worker.start_failed",
                    "cannot start a worker",
                    python=key.executable,
                    error=str(exc),
                )
            else:
                self._tell_of_shortage(exc)
                events.on_no_means()
            # Reported a turn later: the scheduler's current decisions must be carried out first.
            self._loop.call_soon(lambda: events.on_never_started(number, had_means=had_means))
            return
        worker = self.workers[number] = Worker(number, self._loop, process, events, log)
        if key.is_confined and self._sandboxes.kernel.is_fit:
            worker.prepare(*self._sandboxes.preparation(self._loop.now))
        self._stats.worker_created += 1

    def adopt(self, number: int, deployment: Deployment) -> None:
        """Make the worker load the app, within the time for that. Raises NoData, NoSecrets."""
        worker = self.workers.get(number)
        if worker is None:
            return
        app, interpreter = deployment.app, deployment.interpreter
        log = self._log.child(app=app.name, version=app.version, worker=worker.name)
        worker.join(log, app.name, app.version)
        self._adopted[number] = deployment
        own = self._sandboxes.variables(app, interpreter)
        secrets = self.secrets.of(app)
        init = init_of(deployment, self._settings, self._environ, own)
        order = self._sandboxes.order(app, interpreter, self._loop.now, worker.prepared)
        worker.sandbox = "off" if order is None else order["level"]
        if init.blocked and not deployment.are_blocked_logged:
            deployment.are_blocked_logged = True
            worker.log.info(
                "app.variables_withheld",
                "environment variables withheld from the app's workers",
                names=list(init.blocked),
            )
        worker.process.share_output(self._allowances.of(app.name, self._loop.now))
        worker.memory_max_bytes = app.manifest.max_memory_bytes or 0
        worker.calling.connect(self.board, caller_of(app))
        if deployment.limits:
            deployment.limits_lost = self.groups.put(
                number, worker.process.pid, deployment.limits, app.key
            )
        worker.adopt(
            init.of(
                worker.name,
                order,
                tells_framework=deployment.asks_framework,
                tells_imports=deployment.asks_imports,
                secrets=secrets,
            ),
            timeout_s=app.manifest.timeout_s,
        )
        seconds = self.boot_timeout_s
        self._boot_timers[number] = self._loop.call_later(
            seconds, lambda: worker.on_boot_timeout(seconds)
        )

    def stop_boot_timer(self, number: int) -> None:
        """The worker has loaded its app, or has ended: the time limit for loading no longer
        counts."""
        timer = self._boot_timers.pop(number, None)
        if timer is not None:
            timer.cancel()

    def end(self, number: int, *, was_idle: bool) -> None:
        """Make the worker end, within a bounded time."""
        worker = self.workers.get(number)
        if worker is None:
            return
        if was_idle:
            self._stats.will_end(number, Cause.IDLE)
        worker.terminate(after_idle=was_idle)
        self._loop.call_later(_MOMENT_S, lambda: self._look_if_there(number, worker))

    def will_end(self, worker: Worker, cause: Cause, why: str) -> None:
        """Details of the cause for which it is about to end: for its autopsy."""
        self._stats.autopsies.will_end(worker.name, cause, why)

    def kill(self, worker: Worker, cause: Cause) -> None:
        self._stats.will_end(worker.number, cause)
        worker.process.kill()

    def kill_all(self) -> None:
        for worker in self.workers.values():
            worker.process.kill()
        self.programs.kill_all()

    def dismiss(self, number: int) -> Worker:
        """The worker's process has gone."""
        worker = self.workers.pop(number)
        self._adopted.pop(number, None)
        self.stop_boot_timer(number)
        self.groups.end(number)
        self._orphans.note_end(worker.name, worker.log)
        return worker

    def sweep(self) -> None:
        """Look for processes that have left their worker's group, and outlived it."""
        names = {worker.name: worker.process.pid for worker in self.workers.values()}
        names |= {each.name: each.process.pid for each in self.programs.running.values()}
        self._orphans.sweep(names, self._loop.now)
        self.groups.sweep()

    def end_orphans(self) -> None:
        """After the last worker: end what is left of what they have started."""
        self._orphans.end()
        self.groups.sweep()

    def _secrets_of(self, app: App) -> dict[str, object] | None:
        return self.secrets.of(app)

    def _tell_of_shortage(self, exc: Exception) -> None:
        starts = self._shortages.add(self._loop.now)
        if starts:
            self._log.error(
                "worker.no_means",
                "this machine has no descriptors, processes or memory left to start a worker; "
                "trying again",
                error=str(exc),
                starts=starts,
            )

    def _look_if_there(self, number: int, worker: Worker) -> None:
        if self.workers.get(number) is worker:
            seconds = _END_GRACE_S - _MOMENT_S
            self._loop.call_later(seconds, lambda: self._kill_if_there(number, worker))
            worker.on_overdue()

    def _kill_if_there(self, number: int, worker: Worker) -> None:
        if self.workers.get(number) is worker:
            worker.log.warn("worker.unresponsive", "worker did not end when asked; killing it")
            self.kill(worker, Cause.UNRESPONSIVE)

    def _on_line(self, number: int, stream: str, line: str) -> None:
        worker = self.workers.get(number)
        if worker is None:
            return
        name = worker.app_name
        pipe: Literal["stdout", "stderr"] = "stdout" if stream == "stdout" else "stderr"
        if name.startswith(PLUGIN_PREFIX):
            self._log.plugin_output(name[len(PLUGIN_PREFIX) :], worker.name, pipe, line)
        else:
            self._log.app_output(name or _KIND_OF, worker.app_version, worker.name, pipe, line)
            if pipe == "stderr":
                self._look_for_refusal(worker, line)

    def _look_for_refusal(self, worker: Worker, line: str) -> None:
        """Frameworks answer such errors with a 500 of their own: the trace is all that is seen."""
        deployment = self._adopted.get(worker.number)
        if deployment is None or deployment.is_refusal_logged:
            return
        advice = advice_on(line)
        if advice:
            deployment.is_refusal_logged = True
            worker.log.warn(
                "app.refused", "an app was refused a file or a port", error=line[:300], hint=advice
            )

    def _on_dropped(self, number: int, lines: int, size_bytes: int) -> None:
        worker = self.workers.get(number)
        if worker is not None:
            worker.log.warn(
                "app.output_dropped",
                "app prints or reports more than is logged; some of it was dropped",
                lines=lines,
                size_bytes=size_bytes,
            )
