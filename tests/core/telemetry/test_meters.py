"""Meters count for as long as the runtime runs, and are dropped with apps that are gone."""

from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.telemetry.meters import GONE_AFTER_S, Meter, Meters


def app(name: str, version: str | None = None, entrypoint: str = "app.py") -> App:
    return App(name, version, Path("/apps"), entrypoint, default_manifest(1), Path("/apps"))


def never(*_: object) -> bool:
    return False


def always(*_: object) -> bool:
    return True


def test_versions_are_counted_apart() -> None:
    """Each version has its own meter, and keeps it for as long as it exists."""
    meters = Meters()
    first, second = meters.of(app("shop", "1.0.0")), meters.of(app("shop", "2.0.0"))
    assert first is not second
    assert meters.of(app("shop", "1.0.0")) is first  # another object of the same app
    assert list(meters) == [meters.of_none, first, second]
    assert (first.name, first.version, first.has_workers) == ("shop", "1.0.0", True)
    assert not meters.of(app("site", entrypoint="index.html")).has_workers


@pytest.mark.parametrize(("status", "digit"), [(101, 1), (204, 2), (304, 3), (499, 4), (599, 5)])
def test_requests_are_counted_by_class(status: int, digit: int) -> None:
    """A request is counted by the class of its status, with its bytes and its time."""
    meter = Meter("shop", None, has_workers=True)
    meter.on_end(status, 100.0, 0.2, 3, 5)
    meter.on_end(status, 101.0, None, 3, 5)
    assert [digit for digit, count in enumerate(meter.requests) if count] == [digit]
    assert (meter.requests[digit], meter.received_bytes, meter.sent_bytes) == (2, 6, 10)
    assert (meter.duration.count, meter.duration.sum) == (1, 0.2)
    assert meter.last_s == 101.0


def test_what_is_gone_is_dropped() -> None:
    """An app whose folder is gone is dropped after enough time without a request."""
    meters = Meters()
    shop, site = meters.of(app("shop", "1.0.0")), meters.of(app("site"))
    for meter in (shop, site):
        meter.on_end(200, 1000.0, 0.1, 0, 0)

    def exists(name: str, version: str | None) -> bool:
        assert (name, version) in {("shop", "1.0.0"), ("site", None)}
        return name == "site"

    soon, late = 1000.0 + GONE_AFTER_S - 1, 1000.0 + GONE_AFTER_S
    assert meters.sweep(soon, is_used=never, exists=exists) == []
    assert meters.sweep(late, is_used=never, exists=exists) == ["shop@1.0.0"]
    assert list(meters) == [meters.of_none, site]


def test_what_is_used_stays() -> None:
    """An app that still has a worker or a request is kept, even if its folder is gone."""
    meters = Meters()
    meter = meters.of(app("shop"))
    assert meters.sweep(5000.0, is_used=lambda it: it is meter, exists=never) == []
    assert meters.sweep(5000.0 + GONE_AFTER_S, is_used=never, exists=never) == ["shop"]


def test_an_idle_app_is_asked_for_now_and_then() -> None:
    """A scrape looks up only a few apps, so each is checked now and then."""
    meters = Meters()
    for number in range(50):
        meters.of(app(f"app{number}"))
    asked: list[str] = []

    def exists(name: str, _: str | None) -> bool:
        asked.append(name)
        return True

    for _ in range(10):
        before = len(asked)
        meters.sweep(5000.0, is_used=never, exists=exists)
        assert len(asked) - before <= 16
    assert sorted(asked) == sorted(f"app{number}" for number in range(50))
    meters.sweep(5000.0 + GONE_AFTER_S, is_used=never, exists=exists)
    assert len(asked) == 66


def test_what_comes_back_begins_anew() -> None:
    """A dropped app that returns counts from zero, which Prometheus takes for a restart."""
    meters = Meters()
    meters.of(app("shop")).on_end(200, 1000.0, 0.1, 0, 0)
    meters.sweep(9000.0, is_used=never, exists=never)
    assert meters.of(app("shop")).requests[2] == 0
    assert meters.sweep(9000.0, is_used=never, exists=always) == []
