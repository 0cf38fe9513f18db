"""The end of a runtime, at SIGTERM or SIGINT.

Accept no more connections, let requests end (each answer then closes its connection), close
connections that have been idle for a moment, run the plugins' on_shutdown, end the workers, stop
the loop. What is not done after RUNTIME_SHUTDOWN_TIMEOUT is cut off. A second signal cuts off at
once, unless it is an echo of the first: a terminal and systemd signal both the binary's bootloader
and the runtime, and the bootloader passes on what it gets.

    begin --> draining --> no connection is left --> workers end --> the loop stops
                  |  the timeout: connections are cut  ^      |  too late: workers are killed  ^
                  +------------------------------------+      +--------------------------------+
"""

from collections.abc import Sequence

from buntime.core.settings.live import LiveSettings
from buntime.core.values.wording import counted
from buntime.server.http1.listener import Listener
from buntime.server.http1.service import Service
from buntime.server.plugins.plugins import Plugins
from buntime.server.pool.pool import Pool
from buntime.server.telemetry.notifier import Notifier

ECHO_S = 0.25  # people and scripts that ask twice take longer
_WORKER_END_S = 5.0  # workers get at least this long, even if draining took all the time
_SLACK_S = 5.0  # for the service manager, beyond the time that stopping may take


class Shutdown:
    """Ends, in this order: listeners, connections, plugins, workers, the loop."""

    def __init__(
        self,
        live: LiveSettings,
        listeners: Sequence[Listener],
        service: Service,
        pool: Pool,
        notifier: Notifier,
        plugins: Plugins,
    ) -> None:
        self._live = live
        self._listeners = listeners
        self._service = service
        self._loop = service.loop
        self._log = service.log
        self._pool = pool
        self._notifier = notifier
        self._plugins = plugins
        self._since_s = 0.0

    def begin(self, why: str) -> None:
        """A signal, named by `why`, asks for the end."""
        service = self._service
        if service.is_draining:
            self._hurry(why)
            return
        self._since_s = self._loop.now
        service.begin_drain()
        for listener in self._listeners:
            listener.end()
        self._tell(why)
        for connection in tuple(service.connections):  # what fails keeps nobody from the end
            self._loop.guard(connection.drain)
        service.on_room = self._check_drained
        self._loop.call_later(self._live.now.shutdown_timeout_s, self._cut)
        self._check_drained()

    def _tell(self, why: str) -> None:
        left = len(self._service.connections)
        within_s = self._live.now.shutdown_timeout_s + self._workers_s() + _SLACK_S
        self._notifier.stopping(
            f"Stopping, {counted(left, 'connection is', 'connections are')} left", within_s
        )
        self._log.info("runtime.stopping", "stopping", signal=why, connections=left)

    def _workers_s(self) -> float:
        return max(_WORKER_END_S, self._live.now.shutdown_timeout_s)

    def _hurry(self, why: str) -> None:
        if self._loop.now - self._since_s >= ECHO_S:
            self._log.warn("runtime.stopping_now", "stopping at once", signal=why)
            self._stop_now()

    def _check_drained(self) -> None:
        """If the last connection has closed and the last job ended, end the workers."""
        if not self._service.connections and not self._service.jobs:
            self._service.on_room = None
            self._loop.call_later(self._workers_s(), self._stop_now)
            self._plugins.close(lambda: self._pool.close(self._loop.stop))

    def _cut(self) -> None:
        """Draining took too long: cut the connections that are left."""
        left = tuple(self._service.connections)
        if left:
            self._log.warn(
                "runtime.connections_cut",
                "shutdown timeout reached; closing the connections that are left",
                connections=len(left),
            )
        for connection in (*left, *self._service.jobs):
            self._loop.guard(connection.abort)

    def _stop_now(self) -> None:
        self._pool.kill_all()
        self._loop.stop()
