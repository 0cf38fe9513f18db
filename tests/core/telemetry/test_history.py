"""The last hour in numbers: what each point holds, and that memory stays bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.telemetry.growth import BUCKETS, NOTHING, Grown, Growth
from buntime.core.telemetry.histogram import DURATION_BOUNDS, quantile
from buntime.core.telemetry.history import APPS_MAX, POINTS, STEP_S, History, Track
from buntime.core.telemetry.livestats import Now
from buntime.core.telemetry.meters import Held, Meters


def app(name: str, version: str | None = None) -> App:
    return App(name, version, Path("/apps"), "app.py", default_manifest(1), Path("/apps"))


def grown(requests: int, errors: int = 0, bucket: int = 0) -> Grown:
    counts = [0] * BUCKETS
    counts[bucket] = requests
    return Grown(requests, errors, tuple(counts))


class Clock:
    """A history that gets a point every ten seconds."""

    def __init__(self) -> None:
        self.history = History()
        self.now = 1000.0

    def take(self, requests: dict[str, int], held: dict[str, Held] | None = None) -> None:
        self.now += STEP_S
        told = {name: grown(count) for name, count in requests.items() if count}
        self.history.take(told, held or {}, self.now)

    def to_json(self, apps: list[str] | None = None, step: int = 1) -> dict[str, Any]:
        return self.history.hour(apps).to_json(step)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_growth_is_what_has_come_since() -> None:
    """Versions of an app count together, requests without an app do not, and none counts twice."""
    meters, growth = Meters(), Growth()
    meters.of(app("shop", "1")).on_end(200, 1.0, 0.004, 0, 0)
    meters.of(app("shop", "2")).on_end(503, 1.0, 0.2, 0, 0)
    meters.of(app("blog")).on_end(101, 1.0, None, 0, 0)
    meters.of_none.on_end(200, 1.0, 0.1, 0, 0)
    first = growth.take(meters)
    assert first["shop"] == Grown(2, 1, (1, 0, 0, 0, 0, 1, *[0] * (BUCKETS - 6)))
    assert first["blog"] == Grown(1, 0, NOTHING.counts)
    assert first.keys() == {"shop", "blog"}
    meters.of(app("shop", "2")).on_end(200, 1.0, 0.2, 0, 0)
    assert growth.take(meters) == {"shop": Grown(1, 0, grown(1, 0, 5).counts)}
    assert growth.take(meters) == {}


def test_points(clock: Clock) -> None:
    """The oldest point is first, an app that was not there yet has zeros, and the total has all."""
    clock.take({"shop": 3}, {"shop": Held(2, 1000), "": Held(1, 10)})
    clock.take({"shop": 1, "blog": 5}, {"shop": Held(1, 500)})
    told = clock.to_json()
    assert told["total"]["requests"] == [3, 6]
    assert told["total"]["memoryBytes"] == [1010, 500]
    assert told["total"]["workers"] == [3, 1]
    assert told["apps"]["shop"]["requests"] == [3, 1]
    assert told["apps"]["blog"]["requests"] == [0, 5]
    assert told["apps"]["blog"]["p95Ms"][0] is None
    assert "" not in told["apps"]


def test_plugins(clock: Clock) -> None:
    """A plugin's requests, such as the panel's own, do not count as the apps'."""
    clock.take({"shop": 3, "plugin:cpanel": 30}, {"shop": Held(2, 1000), "plugin:x": Held(1, 10)})
    told = clock.to_json()
    assert told["total"]["requests"] == [3]
    assert told["total"]["memoryBytes"] == [1010]
    assert told["apps"]["plugin:cpanel"]["requests"] == [30]


def test_of_some_apps(clock: Clock) -> None:
    """A caller who may see some apps gets their total, and nothing about others."""
    clock.take({"shop": 3, "blog": 5}, {"blog": Held(4, 99)})
    told = clock.to_json(["shop", "missing"])
    assert told["total"] == told["apps"]["shop"]
    assert told["total"]["requests"] == [3]
    assert told["total"]["workers"] == [0]
    assert told["apps"].keys() == {"shop"}
    assert clock.to_json([])["total"]["requests"] == [0]


def test_steps(clock: Clock) -> None:
    """Merged points have the sum of requests and the maximum of everything else."""
    for count in range(7):
        clock.take({"shop": count}, {"shop": Held(count, count * 10)})
    shop = clock.to_json(step=3)["apps"]["shop"]
    assert shop["requests"] == [0, 1 + 2 + 3, 4 + 5 + 6]
    assert shop["workers"] == [0, 3, 6]
    assert shop["p50Ms"] == [None, 2.5, 2.5]
    assert clock.to_json(step=7)["apps"]["shop"]["requests"] == [21]
    assert clock.to_json(step=60)["apps"]["shop"]["requests"] == [21]


def test_an_hour_and_no_more(clock: Clock) -> None:
    """The ring forgets what is older than an hour, and apps without data in it."""
    clock.take({"old": 9})
    for _ in range(POINTS):
        clock.take({"shop": 1})
    told = clock.to_json()
    assert told["total"]["requests"] == [1] * POINTS
    assert told["apps"].keys() == {"shop"}


def test_late_looks_leave_a_gap(clock: Clock) -> None:
    """If the runtime stood still for half a minute, that time has points without requests."""
    clock.take({"shop": 1})
    clock.now += 3 * STEP_S
    clock.take({"shop": 7})
    assert clock.to_json()["apps"]["shop"]["requests"] == [1, 0, 0, 0, 7]
    clock.now += 10 * POINTS * STEP_S
    clock.take({"shop": 2})
    assert clock.to_json()["total"]["requests"] == [*[0] * (POINTS - 1), 2]


def test_many_apps(clock: Clock) -> None:
    """Of 3,000 apps those with the most requests are kept, and the total covers all."""
    for _ in range(2):
        clock.take({f"app{number}": number for number in range(3000)})
    told = clock.to_json()
    assert len(told["apps"]) == APPS_MAX
    assert set(told["apps"]) == {f"app{number}" for number in range(3000 - APPS_MAX, 3000)}
    assert told["total"]["requests"] == [sum(range(3000))] * 2
    clock.take({"newcomer": 10**6})
    assert clock.to_json()["apps"]["newcomer"]["requests"] == [0, 0, 10**6]
    assert len(clock.history.names) == APPS_MAX


def test_a_track_is_small() -> None:
    """A track has the size that its docstring says."""
    track = Track()
    arrays = [getattr(track, name) for name in Track.__slots__]
    assert sum(each.itemsize * len(each) for each in arrays) < 32_000


def test_quantile() -> None:
    """A quantile is within its bucket, at most the last bound, and None without data."""
    assert quantile(DURATION_BOUNDS, NOTHING.counts, 0.95) is None
    assert quantile(DURATION_BOUNDS, grown(10).counts, 0.5) == pytest.approx(0.0025)
    assert quantile(DURATION_BOUNDS, grown(1, bucket=BUCKETS - 1).counts, 0.5) == 60.0
    counts = [90, 0, 0, 0, 0, 0, 10, *[0] * 7]
    assert quantile(DURATION_BOUNDS, counts, 0.95) == pytest.approx(0.375)


def test_now() -> None:
    """Rates are per second, and cover only the apps that the caller may see."""
    now = Now(2.0, {"shop": grown(3, 1), "blog": grown(8)}, {"": Held(1, 7), "shop": Held(2, 5)},
              {"blog": 4})  # fmt: skip
    told = now.to_json(None)
    assert told["total"] == {
        "requestsPerSecond": 5.5, "errorsPerSecond": 0.5, "p50Ms": 2.5, "p95Ms": 4.8,
        "memoryBytes": 12, "workers": 3, "queued": 4,
    }  # fmt: skip
    assert list(told["apps"]) == ["blog", "shop"]
    told = now.to_json(lambda name: name == "shop")
    assert (told["total"]["requestsPerSecond"], told["total"]["queued"]) == (1.5, 0)
    assert told["total"]["memoryBytes"] == 5
    assert list(told["apps"]) == ["shop"]
