"""What is counted for plugins, and how it is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.core.telemetry.pluginmeters import (
    VERDICTS,
    Failure,
    Outcome,
    PluginMeter,
    PluginMeters,
)
from buntime.core.telemetry.pluginmetrics import PLUGIN_FAMILIES, plugin_row, plugins_to_json
from tests.test_docs import rows

PAGE = (Path(__file__).parents[3] / "docs/metrics.md").read_text("utf-8")


def filled() -> PluginMeter:
    meter = PluginMeter()
    meter.hook("on_request").on_verdict("respond", 0.02)
    meter.hook("on_request").on_failure(Failure.LATE, "slow", 5.0, 4.0)
    meter.hook("on_request").on_failure(Failure.AWAY, "away", 5.0)
    meter.on_call(Outcome.OK, 0.1)
    return meter


def test_a_hook() -> None:
    """The time of a hook covers all calls, whatever their result."""
    hook = filled().hook("on_request")
    assert (hook.seconds.count, hook.seconds.sum) == (2, 1.02)
    assert (hook.verdicts["respond"], sum(hook.failures.values())) == (1, 2)


def test_a_row_is_of_its_moment() -> None:
    """A row does not change later, and each value belongs to a family on the list."""
    meter = filled()
    row = plugin_row("audit", meter, generation=3, is_up=True)
    meter.hook("on_request").on_verdict("continue", 5.0)
    told = plugins_to_json([row])["audit"]
    assert isinstance(told, dict)
    assert (told["pluginUp"], told["pluginGeneration"]) == (1, 3)
    hook = told["hooks"]["on_request"]
    assert hook["pluginHookSeconds"]["count"] == 2
    assert hook["pluginHookFailures"] == {"raised": 0, "late": 1, "bad": 0, "died": 0, "away": 1}
    assert {*row.values, *row.hooks["on_request"]} == {*PLUGIN_FAMILIES}


def test_who_is_gone() -> None:
    """The counters of a removed plugin are dropped; those of others stay."""
    meters = PluginMeters()
    meters.of("a").deaths = meters.of("b").deaths = 1
    meters.keep(["b"])
    assert (meters.of("a").deaths, meters.of("b").deaths) == (0, 1)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        *[("verdict", verdict) for verdict in VERDICTS],
        *[("failure", failure) for failure in Failure],
        *[("result", outcome) for outcome in Outcome],
    ],
)
def test_labels_are_told(label: str, value: str) -> None:
    """docs/metrics.md has a row for each label."""
    assert [f"`{label}`", f"`{value}`"] in [row[:2] for row in rows(PAGE)]
