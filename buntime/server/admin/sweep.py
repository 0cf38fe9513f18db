"""Drops what is counted of apps that are gone, whether somebody scrapes or not."""

from functools import cache
from typing import TYPE_CHECKING

from buntime.server.apps.catalog import Catalog
from buntime.server.http1.service import Service
from buntime.server.pool.report import PoolReport

if TYPE_CHECKING:
    from buntime.server.admin.census import Census

SWEEP_S = 60.0  # short beside the ten minutes after which an app without requests is asked for


class Sweep:
    """Looks once a minute for meters and statistics of apps without a folder."""

    def __init__(self, service: Service, report: PoolReport, catalog: Catalog) -> None:
        self._service = service
        self._report = report
        self._catalog = catalog

    def start(self) -> None:
        self._service.loop.call_later(SWEEP_S, self._tick)

    def sweep(self) -> None:
        """Costs a look at the meters where all have had requests of late."""
        service, report = self._service, self._report

        @cache
        def census() -> "Census":
            # Brings the families of metrics, for apps that nobody has asked for in ten minutes.
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
        self.start()  # first: a sweep that fails is told of, and the next one comes
        self.sweep()
