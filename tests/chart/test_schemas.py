"""Each object of each case is as Kubernetes wants it, strictly, from 1.27 to the newest."""

from __future__ import annotations

import pytest

from tests.chart.cases import BEFORE_SLEEP, CASES, NAMES, OLDEST, WITH_SLEEP, minor, rendered
from tests.chart.helm import NEWEST
from tests.chart.schemas import CRDS, VERSIONS, faults

# For most cases, as a schema takes 0.1 s an object; that with everything is judged by all.
SOME = (OLDEST, WITH_SLEEP, NEWEST)


def test_versions() -> None:
    """There are schemas from the oldest version to the one that is rendered as the newest."""
    assert (VERSIONS[0], VERSIONS[-1]) == (OLDEST, NEWEST)


def test_two_renderings_stand_for_all() -> None:
    """A version before 1.30 has one rendering, a later one the other."""
    old, new = rendered("everything", OLDEST), rendered("everything", NEWEST)
    assert old == rendered("everything", BEFORE_SLEEP) != new == rendered("everything", WITH_SLEEP)


@pytest.mark.parametrize("name", NAMES)
def test_strict_schemas(name: str) -> None:
    """No object has a fault, for any version that the case is for."""
    found = []
    for version in VERSIONS if name == "everything" else SOME:
        if minor(version) >= minor(CASES[name].oldest):
            is_old = minor(version) < minor(WITH_SLEEP)
            for each in rendered(name, OLDEST if is_old else NEWEST):
                found += [f"{version}: {fault}" for fault in faults(each, version)]
    assert found == []


def test_schemas_find_faults() -> None:
    """A key that is not there is a fault, of Kubernetes's own kinds and of CRDs."""
    for each in rendered("everything"):
        assert faults(each | {"more": 1}, NEWEST)
    kinds = {each["kind"] for name in NAMES for each in rendered(name)}
    assert kinds >= CRDS.keys()


def test_each_name_is_one_object() -> None:
    """No two objects of a kind have one name, and each lies in the release's namespace."""
    for name in NAMES:
        named = [(each["kind"], each["metadata"]["name"]) for each in rendered(name)]
        assert len(named) == len({*named})
        assert {each["metadata"]["namespace"] for each in rendered(name)} == {"web"}
