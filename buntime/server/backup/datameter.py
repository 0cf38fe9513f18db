"""Measures the data of apps with a `dataMax` once a minute, in a thread, and logs what is large.

It refuses nothing: see docs/manifest.md.
"""

import os
from collections.abc import Callable, Mapping

from buntime.core.apps.datause import DataUse, Level, Measured, Use
from buntime.server.loop.loop import Loop
from buntime.server.state.datasize import size_of
from buntime.server.telemetry.logs import Log

LOOK_S = 60.0

# Path of a data folder -> how large it may be, in bytes.
Limits = Mapping[str, int]


class DataMeter:
    """Used on the loop's thread; another thread measures the folders, one after the other."""

    def __init__(
        self, loop: Loop, log: Log, limits: Callable[[], Limits], *, look_s: float = LOOK_S
    ) -> None:
        """`limits` returns those of the apps and plugins that are served now."""
        self.use = DataUse()
        self._loop = loop
        self._log = log
        self._limits = limits
        self._look_s = look_s

    def __repr__(self) -> str:
        return f"DataMeter({self.use!r})"

    def start(self) -> None:
        self._loop.call_later(self._look_s, self._look)

    def _look(self) -> None:
        limits = dict(self._limits())
        if limits:
            self._loop.run_blocking(lambda: _measured(limits), self._on_measured)
        else:
            self._on_measured([])

    def _on_measured(self, result: list[Measured] | BaseException) -> None:
        self._loop.call_later(self._look_s, self._look)
        if isinstance(result, BaseException):
            raise result
        for use in self.use.take(result, self._loop.now):
            self._tell(use)

    def _tell(self, use: Use) -> None:
        measured = use.measured
        fields = {
            "app": measured.name.replace("+", "/"),
            "bytes": measured.size_bytes,
            "max": measured.most_bytes,
        }
        if use.level is Level.OVER:
            self._log.error("data.over", "an app's data is larger than its dataMax", **fields)
        elif use.level is Level.FILLING:
            self._log.warn("data.filling", "an app's data is near its dataMax", **fields)
        else:
            self._log.info("data.within", "an app's data is well within its dataMax", **fields)


def _measured(limits: Limits) -> list[Measured]:
    """Runs in a thread."""
    found = []
    for folder, most in limits.items():
        _, size_bytes, is_whole = size_of(folder)
        found.append(Measured(os.path.basename(folder), size_bytes, most, is_whole))
    return found
