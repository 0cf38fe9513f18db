"""A snapshot in Prometheus' formats, parsed by Prometheus' own parsers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from buntime.core.telemetry.meters import Cause, Meter
from buntime.core.telemetry.metrics import (
    ACCEPTED,
    CONNECTIONS,
    DISPLACED,
    EVICTIONS,
    FAMILIES,
    REFUSED,
    REQUESTS,
    STARTS,
    Kind,
    Live,
    Row,
    Scope,
    Snapshot,
    row_of,
)
from buntime.core.telemetry.pluginmeters import Failure, PluginMeter
from buntime.core.telemetry.pluginmetrics import plugin_row
from buntime.server.admin.exposition import write

WHOLE = {STARTS: 1, EVICTIONS: 2, CONNECTIONS: 3, ACCEPTED: 4, DISPLACED: 5, REFUSED: 6}
INFO = {"version": "1.2.3", "python": "3.11.7"}
NEW = "application/openmetrics-text; version=1.0.0"
Key = tuple[str, frozenset[tuple[str, str]]]


def values(metrics: Iterable[Metric]) -> dict[Key, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def parsed(snapshot: Snapshot, accept: str = "") -> dict[Key, float]:
    text = write(snapshot, accept, INFO)[1].decode()
    if accept:
        return values(openmetrics.text_string_to_metric_families(text))
    return values(text_string_to_metric_families(text))


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


@pytest.fixture
def meter() -> Meter:
    made = Meter("shop", "1.0.0", has_workers=True)
    made.on_end(200, 1.0, 0.2, 10, 20)
    made.on_end(503, 2.0, 40.0, 1, 2)
    made.deaths[Cause.MEMORY] = 5
    return made


@pytest.mark.parametrize("accept", ["", NEW])
def test_numbers(meter: Meter, accept: str) -> None:
    """Both formats have the same values, with the labels of app, version and the rest."""
    told = parsed(Snapshot([row_of(meter, Live(requests=6))], WHOLE), accept)
    of = {"app": "shop", "version": "1.0.0"}
    assert told[key("buntime_requests_total", status="2xx", **of)] == 1
    assert told[key("buntime_requests_total", status="5xx", **of)] == 1
    assert told[key("buntime_requests_total", status="4xx", **of)] == 0
    assert told[key("buntime_requests_in_progress", **of)] == 6
    assert told[key("buntime_received_bytes_total", **of)] == 11
    assert told[key("buntime_worker_deaths_total", cause="memory", **of)] == 5
    assert told[key("buntime_connections_open")] == 3
    assert told[key("buntime_info", **INFO)] == 1


def test_histograms(meter: Meter) -> None:
    """Buckets are cumulative; the last one counts everything."""
    told = parsed(Snapshot([row_of(meter, Live())], WHOLE))
    of = {"app": "shop", "version": "1.0.0"}
    buckets = {
        float(dict(labels)["le"]): count
        for (name, labels), count in told.items()
        if name == "buntime_request_duration_seconds_bucket"
    }
    assert [buckets[bound] for bound in sorted(buckets)] == sorted(buckets.values())
    assert buckets[float("inf")] == told[key("buntime_request_duration_seconds_count", **of)] == 2
    assert told[key("buntime_request_duration_seconds_sum", **of)] == pytest.approx(40.2)


def test_each_family_is_told_of() -> None:
    """Each metric has its name, type and help in the text, even if there is no app."""
    text = write(Snapshot([], WHOLE), "", INFO)[1].decode()
    for family in FAMILIES:
        assert f"# HELP {family.name} {family.meaning}\n" in text
        assert f"# TYPE {family.name} {family.kind.value}\n" in text


def test_a_static_site_has_no_workers() -> None:
    """A metric that an app does not have gets no line."""
    site = Meter("site", None, has_workers=False)
    told = parsed(Snapshot([row_of(site, Live())], WHOLE))
    names = {name for name, labels in told if ("app", "site") in labels}
    assert "buntime_requests_total" in names
    scoped = [family for family in FAMILIES if family.scope is Scope.WORKERS]
    assert not any(name.startswith(family.name) for name in names for family in scoped)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\u00fc\u6f22", "a{b}", "a,b=c"])
def test_names_stay_in_their_label(meter: Meter, name: str) -> None:
    """Whatever an app's name contains, it stays inside the label's value."""
    meter.name = name
    told = parsed(Snapshot([row_of(meter, Live())], WHOLE))
    assert told[key("buntime_received_bytes_total", app=name, version="1.0.0")] == 11


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("nonsense;;;=", "text/plain"),
        (NEW, "application/openmetrics-text"),
        ("application/openmetrics-text; version=x", "text/plain"),
    ],
)
def test_what_is_accepted(accept: str, content_type: str) -> None:
    """An Accept field that cannot be parsed gets the old format."""
    assert write(Snapshot([], WHOLE), accept, INFO)[0].startswith(content_type)


def test_a_value_of_another_kind() -> None:
    """A histogram's family takes only histograms, and no other family takes one: a mix-up
    raises."""
    histogram = next(family for family in FAMILIES if family.kind is Kind.HISTOGRAM)
    with pytest.raises(TypeError, match="is a histogram"):
        write(Snapshot([Row("shop", "", {histogram: 3})], WHOLE), "", INFO)
    with pytest.raises(TypeError, match="is not a histogram"):
        duration = Meter("shop", None, has_workers=False).duration
        write(Snapshot([Row("shop", "", {REQUESTS: duration})], WHOLE), "", INFO)


def test_plugins() -> None:
    """Each plugin has its own label, and each of its hooks has one too."""
    meter = PluginMeter()
    meter.hook("on_request").on_failure(Failure.LATE, "slow", 5.0, 4.0)
    meter.deaths = 2
    row = plugin_row("@acme/audit", meter, generation=7, is_up=False)
    told = parsed(Snapshot([], WHOLE, [row]))
    of = {"plugin": "@acme/audit"}
    assert told[key("buntime_plugin_up", **of)] == 0
    assert told[key("buntime_plugin_generation", **of)] == 7
    assert told[key("buntime_plugin_deaths_total", **of)] == 2
    late = {**of, "hook": "on_request", "failure": "late"}
    assert told[key("buntime_plugin_hook_failures_total", **late)] == 1
    assert told[key("buntime_plugin_hook_seconds_count", **of, hook="on_request")] == 1
