"""Drops the counters of apps that are gone, whether or not anybody scrapes."""

from functools import cache
from typing import TYPE_CHECKING

from buntime.server.apps.catalog import Catalog
from buntime.server.http1.service import Service
from buntime.server.pool.report import PoolReport

if TYPE_CHECKING:
    from buntime.server.admin.census import Census

SWEEP_S = 60.0  # much less than the ten minutes after which an app without requests is checked


class Sweep:
    """Looks once a minute for meters and statistics of apps without a folder."""

    def __init__(self, service: Service, report: PoolReport, catalog: Catalog) -> None:
        self._service = service
        self._report = report
        self._catalog = catalog

    def start(self) -> None:
        self._service.loop.call_later(SWEEP_S, self._tick)

    def sweep(self) -> None:
        """Costs only a look at the meters if all of them had requests recently."""
        service, report = self._service, self._report

        @cache
        def census() -> "Census":
            # Imports the metric families, only if an app had no requests for ten minutes.
            from buntime.server.admin.census import take_census

            return take_census(service, report)

        dropped = service.meters.sweep(
            service.loop.now,
            is_used=lambda meter: meter in census().live,
            exists=lambda name, version: self._catalog.holds(name, version, service.loop.now),
        )
        for key in dropped:
            report.stats.apps.pop(key, None)

    def _tick(self) -> None:
        self.start()  # first: a sweep that fails is logged, and the next one still comes
        self.sweep()
