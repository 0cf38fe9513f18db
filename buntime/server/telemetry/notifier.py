"""Tells the service manager the runtime's state; does nothing if there is no service manager."""

import os
import socket
import time
from collections.abc import Callable

from buntime.core.telemetry.supervision import Supervision, message
from buntime.server.loop.loop import Loop
from buntime.server.telemetry.logs import Log

_BEATS = 3  # signals per the time after which silence counts as death: one may be late


class Notifier:
    """The states that systemd knows, see sd_notify(3)."""

    def __init__(self, supervision: Supervision, loop: Loop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._watchdog_s = supervision.watchdog_s
        self._has_complained = False
        path = supervision.notify
        # "@name" stands for a socket without a file, in the kernel's abstract namespace.
        self._address = "\0" + path[1:] if path and path.startswith("@") else path

    def ready(self, status: Callable[[], str]) -> None:
        """Requests are accepted; also sent after `reloading`. `status` is asked only if somebody
        wants to know it."""
        if self._address is not None:
            self._send(("READY", 1), ("STATUS", status()))

    def reloading(self) -> None:
        """Settings are read again, while requests are still accepted."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(("RELOADING", 1), ("MONOTONIC_USEC", now_us), ("STATUS", "Reloading"))

    def stopping(self, status: str, within_s: float) -> None:
        """No more requests are accepted; finishing those in hand may take this long."""
        extension_us = int(within_s * 1e6)
        self._send(("STOPPING", 1), ("STATUS", status), ("EXTEND_TIMEOUT_USEC", extension_us))

    def start_watchdog(self) -> None:
        """From now on, report that the loop is alive, if that is wanted."""
        if self._watchdog_s is not None and self._address is not None:
            self._send(("WATCHDOG", 1))
            self._loop.call_later(self._watchdog_s / _BEATS, self.start_watchdog)

    def _send(self, *lines: tuple[str, object]) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # the loop waits for nobody
                sock.sendto(message(lines), os.fsencode(self._address))
            self._has_complained = False
        except OSError as exc:
            if not self._has_complained:
                self._has_complained = True
                self._log.warn(
                    "supervisor.unreachable",
                    "cannot reach the service manager",
                    error=exc.strerror or str(exc),
                )


def is_stream(fd: int, journal: tuple[int, int] | None) -> bool:
    """Whether the journal, identified by device and inode, reads this descriptor."""
    try:
        state = os.fstat(fd)
    except OSError:
        return False
    return journal == (state.st_dev, state.st_ino)
