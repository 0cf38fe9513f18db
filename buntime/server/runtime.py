"""Puts the parts together and runs them; `shutdown` ends them.

On SIGHUP the runtime reopens the log file, reads its settings again, and reloads apps whose files
have changed; it keeps serving requests all the while.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from buntime import __version__
from buntime.core.apps.app import App
from buntime.core.apps.floors import Floors
from buntime.core.apps.router import RESERVED
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, fitted
from buntime.core.telemetry.records import Level
from buntime.core.telemetry.supervision import Supervision, take_supervision
from buntime.core.values.wording import counted
from buntime.server.admin.audit import Audit
from buntime.server.admin.control import Control
from buntime.server.admin.keysfile import read_keys
from buntime.server.admin.sweep import Sweep
from buntime.server.apps.catalog import CHECK_INTERVAL_S, Catalog
from buntime.server.bundle.carried import carried_plugins
from buntime.server.defence.configreading import ConfigReader
from buntime.server.http1.binding import Binding, inherit_bindings, open_bindings
from buntime.server.http1.descriptors import fit
from buntime.server.http1.listener import Listener
from buntime.server.http1.memory import keep_freed_memory
from buntime.server.http1.service import Service
from buntime.server.http1.slowclients import SlowClients
from buntime.server.lifetime.announcing import (
    announce_sandbox,
    warn_of_exposures,
    warn_of_settings,
)
from buntime.server.lifetime.deploys import Deploys
from buntime.server.lifetime.laterimports import import_later
from buntime.server.lifetime.leaving import leave, wait_for_threads
from buntime.server.lifetime.logkeeping import keep_app_logs, open_exports, open_log
from buntime.server.lifetime.lookout import Lookout
from buntime.server.lifetime.openfiles import OpenFiles
from buntime.server.lifetime.operating import Operating, Premises
from buntime.server.lifetime.rereading import Rereading
from buntime.server.lifetime.shortages import shortage_of
from buntime.server.lifetime.shutdown import Shutdown
from buntime.server.lifetime.signals import passed_over, signals_on
from buntime.server.lifetime.staffing import make_staff
from buntime.server.lifetime.stalls import StallWatch
from buntime.server.loop.loop import Loop
from buntime.server.pipeline.pipeline import Pipeline
from buntime.server.plugins.calls import Calls
from buntime.server.plugins.hooking import Hooking
from buntime.server.plugins.plugins import Plugins
from buntime.server.pool.stacks import ignore_stacks_signals
from buntime.server.state.auditspool import AuditSpool
from buntime.server.state.hostclaims import HostClaims
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder, StateWatch
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logs import Log, LogSink
from buntime.server.telemetry.notifier import Notifier, is_stream
from buntime.server.telemetry.tracer import Tracer

_LOG_FLUSH_S = 2.0
_THREADS_S = 1.0  # an installation that is told to end does so within 0.1 s
_STDOUT = 1


def serve(settings: Settings, read: Callable[[], Settings]) -> int:
    """Run until told to stop; returns the exit code. Raises UsageError if it cannot start."""
    supervision = take_supervision(os.environ, pid=os.getpid(), parent=os.getppid())
    config = ConfigReader()
    config.read(settings)  # a fault ends the start before anything is opened
    read_keys(settings.keys_file)  # the same
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        bindings = inherit_bindings(supervision.sockets) or open_bindings(
            settings.endpoints, setting=settings.endpoints_setting
        )
        for binding in bindings:
            stack.callback(binding.close)
        sink, app_logs = open_log(settings, is_journal=is_stream(_STDOUT, supervision.journal))
        exports = open_exports(settings, sink)
        stack.callback(exports.close, _LOG_FLUSH_S)  # after the log, whose last lines it sends
        stack.callback(sink.close, _LOG_FLUSH_S)
        runtime = Runtime(
            settings, sink, app_logs, exports.tracer, bindings, supervision, read, config
        )
        code = runtime.run()
    if runtime.threads_left:
        leave(code)
    return code


class Runtime:
    """Everything that runs while apps are served."""

    def __init__(
        self,
        settings: Settings,
        sink: LogSink,
        app_logs: AppLogs,
        tracer: Tracer | None,
        bindings: Sequence[Binding],
        supervision: Supervision,
        read: Callable[[], Settings],
        config: ConfigReader,
    ) -> None:
        """`read` gives the settings of a start now, `config` what the config file says."""
        self.threads_left: list[str] = []  # set once it has run: they would keep the process alive
        log = Log(sink)
        configured = settings
        settings = replace(settings, listen=tuple(binding.endpoint for binding in bindings))
        settings = fitted(settings, fit(settings))
        self._live = live = LiveSettings(settings)
        self._rereading = Rereading(live, configured, read, log, fit=self._fit_beside_plugins)
        self._sink = sink
        self._log = log
        self._loop = Loop(self._on_error)
        self._notifier = Notifier(supervision, self._loop, log)
        self._state = StateFolder.of(settings)
        self._state.take()
        self._state_watch = StateWatch(self._state, self._loop, tell=log.info, warn=log.warn)
        self._state_db, self._audit = self._make_state_db()
        self._app_logs = keep_app_logs(app_logs, self._state, self._state_watch)
        self._interpreters, self._pool = make_staff(self._loop, live, log, self._state)
        self._plugins = self._make_plugins(config)
        self._pool.tell(self._plugins)
        self._workers_beside = 0  # plugins' workers that the current settings leave room for
        self._configured = configured
        self._open_files = OpenFiles(log)
        self._plugins.follow(self._make_room_for_plugins)
        self._hooking = self._make_hooking()
        self._pool.connect(self._make_calls())
        self._catalog = self._make_catalog(config.read(settings).apps)
        self._plugins.notices.watch(self._catalog.names)
        self._deploys = Deploys(self._loop, log, self._catalog, self._pool.deployments)
        self._lookout = Lookout(self._loop, live, log, self._deploys)
        self._pool.deployments.follow = self._lookout.follow
        self._service = Service(self._loop, live, log, self._pool.stats.meters, tracer)
        self._sweep = Sweep(self._service, self._pool.report, self._catalog)
        shortage = shortage_of(self._service, self._pool, live)
        self._slow_clients = SlowClients(self._service, shortage)
        self._urls = [binding.url for binding in bindings]
        self._host_claims = self._make_host_claims()
        self._operating = self._make_operating()
        self._pipeline = self._make_pipeline()
        self._operators = self._operating.make_operators(self._pipeline)
        self._service.on_room = self._accept_more
        self._listeners, self._control = self._make_listeners(bindings)
        self._stalls = StallWatch(
            self._loop, log, settings.stall_timeout_s, flush_log=lambda: sink.flush(_LOG_FLUSH_S)
        )
        self._shutdown = Shutdown(
            live, self._listeners, self._service, self._pool, self._notifier, self._plugins
        )
        live.follow(self._adopt)

    def _make_state_db(self) -> tuple[StateDb, Audit]:
        log = self._log
        db = StateDb(self._state, self._loop, tell=log.info, warn=log.warn, error=log.error)
        self._state_watch.follow(db.start)
        audit = Audit(db, log)
        audit.take_in(AuditSpool(self._state.path))
        return db, audit

    def _make_hooking(self) -> Hooking:
        return Hooking(
            self._loop,
            self._log,
            self._plugins,
            meters=self._plugins.meters,
            api_prefix=self._live.now.api_prefix,
            gathering=self._pool.gathering,
        )

    def _make_calls(self) -> Calls:
        meters, forget = self._plugins.meters, self._hooking.forget
        return Calls(self._loop, self._log, self._plugins, meters=meters, forget=forget)

    def _make_plugins(self, config: ConfigReader) -> Plugins:
        made = Plugins(
            self._loop,
            self._live,
            self._log,
            self._pool,
            self._interpreters,
            config,
            state=self._state,
            bundled=carried_plugins(),
        )
        self._state_watch.follow(made.on_state)
        made.config_log.on_change = lambda file, plugins: self._audit.own(
            "config.changed", file, after={"plugins": plugins}, source="file"
        )
        return made

    def _make_catalog(self, floors: Floors) -> Catalog:
        settings = self._live.now
        catalog = Catalog(
            settings.worker_dirs,
            body_default=settings.body_size_default_bytes,
            body_max=settings.body_size_max_bytes,
            warn=self._log.warn,
            reserved=RESERVED,
            # A developer wants the next request to see the change.
            check_interval_s=0.0 if settings.is_development else CHECK_INTERVAL_S,
            rollout=self._pool.deployments,
        )
        catalog.take_floors(floors)
        return catalog

    def _make_host_claims(self) -> HostClaims | None:
        settings = self._live.now
        if settings.is_development or not settings.has_state:  # apps are renamed all the time there
            return None
        return HostClaims(self._state_db, tell=self._log.info)

    def _make_operating(self) -> Operating:
        return Operating(
            Premises(
                live=self._live,
                service=self._service,
                pool=self._pool,
                interpreters=self._interpreters,
                catalog=self._catalog,
                plugins=self._plugins,
                kept=self._hooking.kept,
                deploys=self._deploys,
                state=self._state,
                state_watch=self._state_watch,
                state_db=self._state_db,
                audit=self._audit,
                hosts=lambda: self._pipeline.hosts,
                host_claims=self._host_claims,
                app_logs=self._app_logs,
                urls=self._urls,
            )
        )

    def _make_pipeline(self) -> Pipeline:
        pipeline = Pipeline(
            self._live,
            self._catalog,
            self._pool,
            self._operating.pages,
            self._log,
            admittance=self._operating.admittance,
            plugins=self._plugins,
            hooking=self._hooking,
        )
        if self._host_claims is not None:
            pipeline.keep_hosts(self._host_claims)
        self._service.explain = pipeline.explain
        return pipeline

    def _make_listeners(self, bindings: Sequence[Binding]) -> tuple[list[Listener], Control]:
        handle = self._operators.beside(self._pipeline.handle)
        listeners = [
            Listener(self._service, handle, binding, sharing=len(bindings)) for binding in bindings
        ]
        return listeners, self._operating.make_control(listeners)

    def run(self) -> int:
        """Serve until a signal ends it."""
        ignore_stacks_signals()
        with signals_on(self._loop, self._calls()):
            self._state_watch.start()
            self._operating.secrets.start()
            self._operating.keys_file.start()
            self._pool.start()
            self._plugins.start()
            self._open_files.tell(self._configured, self._live.now)
            self._sweep.start()
            self._operating.chronicle.start()
            self._operating.data_meter.start()
            self._slow_clients.start()
            self._control.open()
            self._operators.open(self._listeners, self._urls)
            self._announce()
            self._lookout.start()
            self._operating.unasked.start()
            self._notifier.start_watchdog()
            self._notifier.ready(self._status)
            self._state_db.start()  # serving does not wait for it
            self._stalls.start()
            import_later(self._loop)
            self._loop.run()
            self._stalls.stop()
        self._lookout.stop()
        self._state_db.close()
        self._pool.end_orphans()
        self._interpreters.close()
        self._loop.close()
        self.threads_left = wait_for_threads(_THREADS_S)
        if self.threads_left:
            self._log.warn(
                "runtime.threads_left",
                "leaving threads behind that still wait for a file or a program",
                threads=self.threads_left,
            )
        self._log.info("runtime.stopped", "stopped")
        return 0

    def _calls(self) -> dict[signal.Signals, Callable[[], None]]:
        return {
            signal.SIGHUP: self._reload,
            signal.SIGINT: lambda: self._shutdown.begin("SIGINT"),
            signal.SIGTERM: lambda: self._shutdown.begin("SIGTERM"),
            **passed_over(self._log),
        }

    # Start

    def _announce(self) -> None:
        """Log where it listens and which apps there are; start those that must be ready."""
        apps = self._catalog.all(self._loop.now)
        for app in apps:
            if isinstance(app, App):
                is_active = self._catalog.is_active(app, self._loop.now)
                self._pool.deployments.prepare(app, is_active=is_active)
            else:
                self._deploys.found_faulty(app)
        self._pipeline.prepare(self._loop.now)
        warn_of_settings(self._log, self._live.now)
        warn_of_exposures(self._log, self._live.now)
        self._log.info(
            "runtime.listening",
            "listening",
            url=self._urls[0],
            urls=self._urls,
            version=__version__,
            python=sys.version.partition(" ")[0],
            env=self._live.now.env,
            pid=os.getpid(),
            apps=[app.key for app in apps if isinstance(app, App)],
        )
        announce_sandbox(self._log, self._pool.sandboxes)

    def _status(self) -> str:
        """The status line for `systemctl status`."""
        apps = len(self._catalog.all(self._loop.now))
        return f"Serving {counted(apps, 'app')} at {', '.join(self._urls)}"

    # Reload

    def _reload(self) -> None:
        self._sink.reopen()  # after logrotate has moved the file
        if self._service.is_draining:
            return
        self._notifier.reloading()
        self._rereading.reread(self._audit)
        self._pipeline.prepare(self._loop.now)
        self._plugins.reread()
        self._operating.secrets.reread()
        self._operating.keys_file.reread()
        self._deploys.reload(self._reloaded)

    def _reloaded(self) -> None:
        if not self._service.is_draining:
            self._notifier.ready(self._status)

    def _adopt(self, settings: Settings) -> None:
        self._sink.level = Level.named(settings.log_level)
        self._catalog.serve_from(settings.worker_dirs)
        self._lookout.look_soon()
        self._accept_more()
        warn_of_exposures(self._log, self._live.now)

    # Events from other parts

    def _make_room_for_plugins(self) -> None:
        """Divide resources again if plugins now have more or fewer workers than before."""
        if self._plugins.workers_most != self._workers_beside:
            self._rereading.fit_again()

    def _fit_beside_plugins(self, settings: Settings) -> Settings:
        self._workers_beside = self._plugins.workers_most
        return self._open_files.fit(settings, beside=self._workers_beside)

    def _accept_more(self) -> None:
        """There may be room again: accept waiting connections."""
        for listener in self._listeners:
            listener.resume()

    def _on_error(self, exc: BaseException) -> None:
        """A callback of the loop raised: a bug. Log it in full; the rest keeps running."""
        import traceback  # loads the tokenizer, 2 ms

        stack = "".join(traceback.format_exception(exc))
        self._log.error("runtime.internal_error", "internal error", error=repr(exc), stack=stack)
