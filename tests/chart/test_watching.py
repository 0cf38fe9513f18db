"""The metrics that alerts and autoscalers use exist, with the labels that they name."""

from __future__ import annotations

import re

import pytest

from tests.chart.cases import one, rendered
from tests.chart.helm import ROOT

METRICS_DOC = (ROOT / "docs/metrics.md").read_text("utf-8")
TOLD = {*re.findall(r"`((?:buntime|process)_\w+)`", METRICS_DOC)}
# If Prometheus sets a label itself, it keeps the value of ours under another name.
_LABELS = {*re.findall(r"^\| `(\w+)` \| `\w+` \|", METRICS_DOC, re.MULTILINE)}
_VALUES = {*re.findall(r"^\| `(\w+)` \| `(\w+)` \|", METRICS_DOC, re.MULTILINE)}
_CLASSES = {f"{digit}xx" for digit in range(1, 6)}


def _named(expression: str) -> set[str]:
    found = re.findall(r"\b(?:buntime|process)_\w+", expression)
    return {name.removesuffix("_bucket") for name in found}


def rules() -> list[dict[str, object]]:
    [group] = one(rendered("everything"), "PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


def test_alerts_ask_for_metrics_that_exist() -> None:
    """Each metric of an alert is in docs/metrics.md, and so is each value of a label."""
    asked = set()
    for rule in rules():
        expression = str(rule["expr"])
        asked |= _named(expression)
        assert 'namespace="web",service="apps-buntime"' in expression
        assert "SELECTOR" not in expression
        for label, _, value in re.findall(r'(\w+)(=~|!~|=)"([^"]*)"', expression):
            if label in _LABELS:
                assert {(label, each) for each in value.split("|")} <= _VALUES
            elif label == "status":
                assert value in _CLASSES
    assert len(asked) > 10
    assert asked <= TOLD


def test_alerts_have_sentences() -> None:
    """Each alert says what is wrong and what to do, with no placeholder left."""
    assert len(rules()) >= 10
    for rule in rules():
        told = rule["annotations"]
        assert isinstance(told, dict)
        for sentence in (told["summary"], told["description"]):
            assert sentence.endswith(".")
            assert not re.search(r"SELECTOR|SHARE|SECONDS", sentence)


def test_numbers_of_the_values_stand_in_rules() -> None:
    """Alerts and KEDA's triggers compare with the shares and seconds of the values."""
    by_name = {str(rule["alert"]): str(rule["expr"]) for rule in rules()}
    assert by_name["BuntimeErrors"].endswith(" > 0.05")
    assert by_name["BuntimeQueueSlow"].endswith(" > 1")
    triggers = one(rendered("keda"), "ScaledObject")["spec"]["triggers"]
    assert {each["metadata"]["threshold"] for each in triggers} == {"20", "1.5"}


@pytest.mark.parametrize("name", ["own-metrics", "keda"])
def test_autoscalers_go_by_metrics_that_exist(name: str) -> None:
    """Each metric that sets the number of pods is in docs/metrics.md."""
    kind = "ScaledObject" if name == "keda" else "HorizontalPodAutoscaler"
    text = str(one(rendered(name), kind)["spec"])
    assert _named(text) == {"buntime_requests_in_progress", "buntime_queue_requests"}
    assert _named(text) <= TOLD


def test_keda_counts_what_apps_serve() -> None:
    """Probes and scrapes, which belong to no app, do not cause more pods."""
    for trigger in one(rendered("keda"), "ScaledObject")["spec"]["triggers"]:
        query = trigger["metadata"]["query"]
        assert re.fullmatch(
            r'sum\(buntime_\w+\{namespace="web",service="apps-buntime",app!=""\}\)', query
        )
