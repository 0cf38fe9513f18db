"""Names and values of the metrics."""

import re

from buntime.core.pool.lifecycle import State
from buntime.core.telemetry.families import LABELS
from buntime.core.telemetry.histogram import Histogram
from buntime.core.telemetry.meters import Cause, Meter
from buntime.core.telemetry.metrics import (
    DEATHS,
    DURATION,
    FAMILIES,
    RECEIVED,
    REQUESTS,
    WORKERS,
    Kind,
    Live,
    Scope,
    row_of,
    rows_to_json,
)


def test_names_are_as_prometheus_wants_them() -> None:
    """All have one prefix, `_total` only for counters, and histograms have a unit."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert len({family.json_name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert re.fullmatch(r"buntime_[a-z]+(_[a-z]+)*", family.name)
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
        if family.kind is Kind.HISTOGRAM:
            assert family.name.endswith("_seconds")


def test_an_app_has_all_its_values() -> None:
    """An app has a value in each family but the runtime's, a static site in none of workers."""
    of_app = row_of(Meter("shop", "1.0.0", has_workers=True), Live())
    of_site = row_of(Meter("site", None, has_workers=False), Live())
    wanted = {family for family in FAMILIES if LABELS[family.scope] == ("app", "version")}
    assert of_app.values.keys() == wanted
    assert of_site.values.keys() == {family for family in wanted if family.scope is Scope.APP}
    assert (of_site.name, of_site.version) == ("site", "")
    for family, value in of_app.values.items():
        assert isinstance(value, Histogram) == (family.kind is Kind.HISTOGRAM)
        assert isinstance(value, dict) == (family.label is not None)


def test_values_are_of_one_moment() -> None:
    """A row does not change with what is counted later."""
    meter = Meter("shop", None, has_workers=True)
    row = row_of(meter, Live())
    meter.on_end(200, 1.0, 0.1, 5, 5)
    meter.deaths[Cause.EXIT] += 1
    assert row.values[REQUESTS] == {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    assert row.values[DEATHS]["exit"] == 0  # type: ignore[index]  # a mapping, see above
    assert row.values[DURATION].count == 0  # type: ignore[union-attr]  # a histogram


def test_bytes_on_their_way_are_counted() -> None:
    """The bytes of a request in progress count at once, not hours later when it ends."""
    meter = Meter("shop", None, has_workers=True)
    meter.received_bytes = 10
    assert row_of(meter, Live(received_bytes=5)).values[RECEIVED] == 15


def test_every_state_is_told() -> None:
    """Each possible state of an app's workers has a value; a spare belongs to no app."""
    live = Live()
    live.workers["idle"] = 2
    states = row_of(Meter("shop", None, has_workers=True), live).values[WORKERS]
    assert isinstance(states, dict)
    assert states["idle"] == 2
    assert set(states) == {state.value for state in State} - {"spare", "gone"}
    assert "spare" in row_of(Meter("", None, has_workers=True), live).values[WORKERS]  # type: ignore[operator]


def test_json_has_the_same_in_camel_case() -> None:
    """In JSON an app is listed under its key, with the same values."""
    meter = Meter("shop", "1.0.0", has_workers=True)
    meter.on_end(200, 1.0, 0.004, 5, 7)
    told = rows_to_json([row_of(meter, Live(queued=3))])["shop@1.0.0"]
    assert isinstance(told, dict)
    assert told["requests"]["2xx"] == 1
    assert told["queueRequests"] == 3
    assert told["sentBytes"] == 7
    assert told["requestDurationSeconds"]["buckets"]["0.005"] == 1
    assert told["requestDurationSeconds"]["count"] == 1
