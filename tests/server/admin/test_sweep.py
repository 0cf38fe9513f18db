"""Counters of apps that are gone are dropped, scraped or not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.pool.lifecycle import State
from buntime.core.telemetry.meters import GONE_AFTER_S
from buntime.server.admin.sweep import SWEEP_S, Sweep
from buntime.server.apps.catalog import Catalog
from buntime.server.pool.stats import AppStats
from tests.support.exchanges import FakeClient, FakeExchange, FakeService
from tests.support.harness import write_app


class FakeReport:
    """What is going on in a pool, as a test sets it."""

    def __init__(self) -> None:
        self.stats = SimpleNamespace(apps={})
        self.at_work: list[App] = []
        self.looks = 0

    def queues(self) -> Iterator[tuple[App, int]]:
        self.looks += 1
        return iter(())

    def census(self) -> Iterator[tuple[App, State, Any]]:
        return ((app, State.IDLE, None) for app in self.at_work)


class Fixture:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.service = FakeService()
        self.report = FakeReport()
        self.catalog = Catalog(
            [root], body_default=1, body_max=1, warn=lambda *_, **__: None, check_interval_s=1
        )
        self.sweep = Sweep(self.service, self.report, self.catalog)  # type: ignore[arg-type]  # fakes

    def serve(self, label: str) -> App:
        """Have an app answer a request."""
        write_app(self.root / label, {"app.py": ""})
        self.service.loop.now += 2
        name, _, version = label.partition("@")
        app = self.catalog.find(name, version or None, self.service.loop.now)
        self.service.meters.of(app).on_end(200, self.service.loop.now, 0.1, 0, 0)
        self.report.stats.apps[app.key] = AppStats()
        return app

    def remove(self, label: str) -> None:
        shutil.rmtree(self.root / label)

    def later(self) -> None:
        """Sweep at a time when all apps are due."""
        self.service.loop.now += GONE_AFTER_S
        self.sweep.sweep()

    def counted(self) -> list[str]:
        names = [f"{meter.name}@{meter.version}" for meter in self.service.meters if meter.name]
        assert len(names) == len(self.report.stats.apps)
        return names


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_an_app_that_is_gone(fixture: Fixture) -> None:
    """A removed app's meter and statistics go; those of existing or broken apps stay."""
    fixture.serve("shop@1.0.0")
    fixture.serve("cart")
    fixture.serve("broken")
    (fixture.root / "broken/buntime.yaml").write_text("ttl: no time")
    fixture.remove("shop@1.0.0")
    fixture.later()
    assert fixture.counted() == ["cart@None", "broken@None"]


def test_an_app_that_still_works(fixture: Fixture) -> None:
    """A removed app with a worker or a request keeps its counters until it has neither."""
    shop, cart = fixture.serve("shop"), fixture.serve("cart")
    fixture.report.at_work = [shop]
    client = FakeClient(fixture.service)
    client.exchange = FakeExchange("/cart/", service=fixture.service)
    client.exchange.route_to(cart, base="/cart")
    fixture.service.connections = {client}
    fixture.remove("shop")
    fixture.remove("cart")
    fixture.later()
    assert len(fixture.counted()) == 2
    fixture.report.at_work = []
    fixture.service.connections = set()
    fixture.later()
    assert fixture.counted() == []


def test_nobody_looks_without_need(fixture: Fixture) -> None:
    """If all apps had requests recently, neither connections nor workers are examined."""
    fixture.serve("shop")
    fixture.sweep.sweep()
    assert fixture.report.looks == 0
    fixture.serve("cart")
    fixture.later()
    assert fixture.report.looks == 1


def test_it_goes_on(fixture: Fixture) -> None:
    """It sweeps every minute, even after a sweep that failed."""
    fixture.sweep.start()
    later = fixture.service.loop.later
    [(delay_s, tick)] = later
    assert delay_s == SWEEP_S
    fixture.serve("shop")
    fixture.service.loop.now += GONE_AFTER_S
    del fixture.report.at_work  # a fault
    with pytest.raises(AttributeError):
        tick()
    assert [delay_s for delay_s, _ in later] == [SWEEP_S, SWEEP_S]
