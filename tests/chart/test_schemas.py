"""Each object of each case follows Kubernetes' schemas, strictly, from 1.27 to the newest."""

from __future__ import annotations

import copy
import functools

import pytest
from referencing.jsonschema import DRAFT202012

from tests.chart.cases import BEFORE_SLEEP, CASES, NAMES, OLDEST, WITH_SLEEP, minor, one, rendered
from tests.chart.helm import NEWEST
from tests.chart.schemas import CRDS, VERSIONS, definitions, faults

# For most cases; the case with everything is judged by all versions.
SOME = (OLDEST, WITH_SLEEP, NEWEST)


def test_versions() -> None:
    """There are schemas from the oldest version to the newest that is rendered."""
    assert (VERSIONS[0], VERSIONS[-1]) == (OLDEST, NEWEST)


def test_two_renderings_stand_for_all() -> None:
    """Versions before 1.30 share one rendering, later ones the other."""
    old, new = rendered("everything", OLDEST), rendered("everything", NEWEST)
    assert old == rendered("everything", BEFORE_SLEEP) != new == rendered("everything", WITH_SLEEP)


@pytest.mark.parametrize(
    ("name", "version"),
    [(name, version) for name in NAMES for version in SOME]
    + [("everything", version) for version in VERSIONS if version not in SOME],
)
def test_strict_schemas(name: str, version: str) -> None:
    """No object has a fault, in any version that the case is for."""
    if minor(version) < minor(CASES[name].oldest):
        pytest.skip(f"the case is for {CASES[name].oldest} and newer")
    is_old = minor(version) < minor(WITH_SLEEP)
    found = rendered(name, OLDEST if is_old else NEWEST)
    assert [fault for each in found for fault in faults(each, version)] == []


def test_definitions_are_crawled_once() -> None:
    """No validator has to crawl a version's definitions again, at 0.1 s of CPU an object."""
    assert "uncrawled" in repr(
        definitions(NEWEST).with_resource("more", DRAFT202012.create_resource({}))
    )
    assert "uncrawled" not in repr(definitions(NEWEST))


def test_schemas_find_faults() -> None:
    """An unknown key is a fault, in Kubernetes' own kinds and in CRDs."""
    for each in rendered("everything"):
        assert faults(each | {"more": 1}, NEWEST)
    kinds = {each["kind"] for name in NAMES for each in rendered(name)}
    assert kinds >= CRDS.keys() - {"ClusterIssuer"}  # which is on a page


@pytest.mark.parametrize(
    ("name", "kind", "place", "value"),
    [
        ("keda", "ScaledObject", "triggers.0.metadata", "text"),
        ("keda", "ScaledObject", "triggers.0.metricKind", "AverageValue"),
        ("own-metrics", "ServiceMonitor", "endpoints.0.interval", "15 s"),
        ("everything", "PrometheusRule", "groups.0.rules.0.for", "5 minutes"),
        ("openshift", "Route", "to.weight", "100"),
        ("openshift", "Route", "tls.insecure", "Redirect"),
        ("gateway", "HTTPRoute", "rules.0.backendRefs.0.port", "http"),
        ("gateway", "HTTPRoute", "rules.0.timeouts", "5m"),
        ("gateway", "HTTPRoute", "rules.0.matches.0.path.type", "Prefix"),
    ],
)
def test_schemas_of_others_find_faults(name: str, kind: str, place: str, value: str) -> None:
    """In CRDs an unknown key, or a value of another form, is a fault."""
    made = copy.deepcopy(one(rendered(name), kind))
    *way, last = place.split(".")
    within = functools.reduce(
        lambda found, step: found[int(step) if step.isdigit() else step], way, made["spec"]
    )
    within[last] = value
    assert faults(made, NEWEST)


def test_each_name_is_one_object() -> None:
    """No two objects of a kind share a name, and each is in the release's namespace."""
    for name in NAMES:
        named = [(each["kind"], each["metadata"]["name"]) for each in rendered(name)]
        assert len(named) == len({*named})
        assert {each["metadata"]["namespace"] for each in rendered(name)} == {"web"}
