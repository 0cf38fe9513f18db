"""Versions: which folder a range selects. The tables are checked against node-semver 7."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.versions import (
    LATEST,
    UNVERSIONED,
    choose,
    is_range,
    is_version,
    select,
    sort_key,
)

SHOP = ("0.9.0", "1.0.0", "1.2.0", "1.2.3", "1.10.0", "2.0.0-beta.1", "2.0.0", "3.0.0-rc.1")

CHOICES = {
    "1": "1.10.0",
    "1.2": "1.2.3",
    "1.x": "1.10.0",
    "1.2.*": "1.2.3",
    "1.X.x": "1.10.0",
    "v1": "1.10.0",
    "*": "2.0.0",
    "x": "2.0.0",
    ">=*": "2.0.0",
    "0": "0.9.0",
    "1.2.0": "1.2.0",
    "=1.2.0": "1.2.0",
    "v1.2.0": "1.2.0",
    "1.2.0+build": "1.2.0",
    "^1.0.0": "1.10.0",
    "^1.2": "1.10.0",
    "^1": "1.10.0",
    "^0": "0.9.0",
    "^0.9": "0.9.0",
    "^0.9.0": "0.9.0",
    "^x": "2.0.0",
    "~1.2": "1.2.3",
    "~1.2.0": "1.2.3",
    "~>1.2.0": "1.2.3",
    "~ 1.2.0": "1.2.3",
    "~1": "1.10.0",
    ">=1 <2": "1.10.0",
    ">= 1.2.0": "2.0.0",
    ">=1.0.0   <1.2.3": "1.2.0",
    ">1": "2.0.0",
    ">1.2": "2.0.0",
    ">1.2.0 <1.10": "1.2.3",
    "<1.2": "1.0.0",
    "<=1": "1.10.0",
    "<=1.2": "1.2.3",
    "1 || 2": "2.0.0",
    "4||0": "0.9.0",
    "1.0.0 - 1.2": "1.2.3",
    "1.0.0 - 1.2.1": "1.2.0",
    "1.2 - 9": "2.0.0",
    "x - 1.x": "1.10.0",
    "2.0.0-beta.1": "2.0.0-beta.1",
    "^2.0.0-beta": "2.0.0",
    "~2.0.0-beta <2.0.0": "2.0.0-beta.1",
    ">=2.0.0-alpha <2.0.0-rc": "2.0.0-beta.1",
    "^3.0.0-rc.0": "3.0.0-rc.1",
    "3.0.0-rc.1": "3.0.0-rc.1",
    "": "2.0.0",
}
NOTHING = (
    "3",
    "^3",
    "1.2.1",
    "^0.0.3",
    "<0.9",
    ">2",
    "<*",
    "2.0.0-beta",
    "2.0.0-beta.2",
    "<=0.9.0-zeta",
    ">=2.0.1-rc.1 <3.0.0",
    "3.0.0-a - 2",
    "99999999999999999999",
)
NO_RANGE = (
    "01",
    "1.02",
    "1.2.3.4",
    "1.",
    ".1",
    "beta",
    "LATEST",
    "^",
    ">= ",
    "^^1",
    "1 -",
    "a - b",
    "1 - 2 - 3",
    "1.x.2",
    "x.3",
    "1.2.0-",
    "1.2.0-01",
    "1.2-beta",
    "\uff11",
    "1\n2..",
    "1" * 101,
    "1||beta",
    "../1.2.0",
    "1.2.0/",
    "1.2.0\x00",
)


@pytest.mark.parametrize(("spec", "chosen"), CHOICES.items())
def test_a_range_takes_the_highest_in_it(spec: str, chosen: str) -> None:
    """A range selects the highest version that npm finds in it."""
    assert select(SHOP, spec) == chosen


@pytest.mark.parametrize("spec", NOTHING)
def test_a_range_may_be_empty(spec: str) -> None:
    """A range without a matching version selects none."""
    assert select(SHOP, spec) is None


@pytest.mark.parametrize("spec", NO_RANGE)
def test_what_is_no_range_means_no_version(spec: str) -> None:
    """An invalid range from a client is treated like an unknown version and raises nothing."""
    assert select(SHOP, spec) is None
    assert not is_range(spec)


@pytest.mark.parametrize("spec", ["9", "~1.2", "*", ">=1 <3", "1.0.0 - 2", "1 || 3", ""])
def test_ranges(spec: str) -> None:
    """Whatever npm takes for a range is one, whether or not a version matches it."""
    assert is_range(spec)


@pytest.mark.parametrize("spec", [None, LATEST])
def test_default_is_the_highest_release(spec: str | None) -> None:
    """Without a range, and for "latest", the highest release is selected."""
    assert select(SHOP, spec) == "2.0.0"


def test_default_is_a_prerelease_for_lack_of_releases() -> None:
    """A pre-release is the default only if there is nothing else."""
    assert select(["2.0.0-rc.1", "2.0.0-rc.10", "2.0.0-rc.9"], None) == "2.0.0-rc.10"


@pytest.mark.parametrize("spec", [None, LATEST])
def test_a_folder_named_latest_is_the_default(spec: str | None) -> None:
    """The folder "latest" wins over any number, and over the unversioned folder."""
    assert select([*SHOP, LATEST, UNVERSIONED], spec) == LATEST


@pytest.mark.parametrize("spec", [None, LATEST])
def test_the_unversioned_folder_is_the_default(spec: str | None) -> None:
    """The unversioned folder wins over versioned ones beside it."""
    assert select([*SHOP, UNVERSIONED], spec) == UNVERSIONED


@pytest.mark.parametrize("spec", ["*", "1", "", ">=0.0.0"])
def test_ranges_pass_by_folders_without_a_number(spec: str) -> None:
    """A range selects numbers only, never "latest" or the unversioned folder."""
    assert select([LATEST, UNVERSIONED], spec) is None


def test_nothing_offered_means_nothing() -> None:
    """An app without versions has no default."""
    assert select([], None) is None


def test_build_metadata_can_be_named() -> None:
    """If versions differ in build metadata only, the one written out is selected."""
    assert select(["1.0.0+a", "1.0.0+b"], "1.0.0+a") == "1.0.0+a"


def test_build_metadata_has_no_precedence() -> None:
    """A range finds versions with build metadata; among equals the choice is always the same."""
    assert select(["1.0.0+b", "1.0.0+a"], "^1.0.0") == select(["1.0.0+a", "1.0.0+b"], "1")


@pytest.mark.parametrize(
    "text", ["1.2.0", "0.0.0", "1.0.0-rc.1", "1.0.0-0a.-.x", "1.0.0+01.b", "1.0.0-a+b", "latest"]
)
def test_versions_of_folders(text: str) -> None:
    """A folder's name may be a strict semantic version, or "latest"."""
    assert is_version(text)


@pytest.mark.parametrize(
    "text",
    [
        *"1 1.2 1.2.0.0 v1.2.0 01.2.0 1.2.0- 1.2.0-01 1.2.0-a..b 1.2.0+ 1.2.x Latest ^1".split(),
        *("", "1.2.0\n", " 1.2.0", "-1.2.0", "\uff11.2.0", "1.2.0-" + "a" * 100),
    ],
)
def test_what_no_folder_may_bear(text: str) -> None:
    """Anything looser than a strict version would give one version two folders."""
    assert not is_version(text)


def test_precedence() -> None:
    """Versions are listed in the order of semver 11, those without a number first."""
    ordered = ["", "latest", "0.9.0", "1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta"]
    ordered += ["1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0"]
    ordered += ["1.10.0", "10.0.0"]
    assert sorted(set(ordered), key=sort_key) == ordered


numbers = st.integers(0, 4)
releases = st.builds("{}.{}.{}".format, numbers, numbers, numbers)
versions = st.builds("{}{}".format, releases, st.sampled_from(["", "-a", "-a.1", "-2", "+b"]))


@given(st.sets(versions), versions)
def test_a_caret_stays_within_the_major(offered: set[str], version: str) -> None:
    """What "^" finds has the same major version (if above 0), and is not older than the one
    named."""
    chosen = select(offered, f"^{version}")
    if chosen is not None:
        assert chosen.split(".", 1)[0] == version.split(".", 1)[0]
        assert sort_key(chosen)[0] >= sort_key(version)[0]


@given(st.sets(versions), releases)
def test_a_prerelease_is_found_only_by_its_own(offered: set[str], version: str) -> None:
    """No range without a pre-release finds one."""
    for spec in (version, f"^{version}", f"~{version}", f">={version}", f"<={version}", "*"):
        chosen = select(offered, spec)
        assert chosen is None or "-" not in chosen


@given(st.lists(versions, min_size=1), st.randoms())
def test_the_order_of_folders_does_not_matter(offered: list[str], random: object) -> None:
    """The choice does not depend on the order in which a disk lists the folders."""
    assert select(offered, None) == select(reversed(offered), None)


@given(
    st.text(max_size=40) | st.from_regex(re.compile(r"[0-9xv.*^~<>=| +a-c-]{0,40}"), fullmatch=True)
)
def test_no_spec_raises(spec: str) -> None:
    """Whatever a client writes as a range, the result is a version that is offered, or None."""
    assert select(SHOP, spec) in (None, *SHOP)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, "1.0.0"),
        ("latest", "1.0.0"),
        ("*", "1.10.0"),
        ("^2", None),
        ("2.0.0", "2.0.0"),
        ("3.0.0-rc.1", "3.0.0-rc.1"),
        (">=3.0.0-0", None),
    ],
)
def test_active_and_withheld(spec: str | None, expected: str | None) -> None:
    """The active version is the default; a withheld one is found by its full number only."""
    withheld = {"2.0.0", "3.0.0-rc.1"}
    assert choose(SHOP, spec, active="1.0.0", withheld=withheld) == expected
    assert choose(SHOP, "^2", active="2.0.0", withheld=withheld) == "2.0.0"


@given(st.sets(st.sampled_from(SHOP)), st.sampled_from([None, "latest", *CHOICES]))
def test_choosing_without_either(versions: set[str], spec: str | None) -> None:
    """With neither active nor withheld versions it selects as usual; an active version that does
    not exist changes nothing."""
    assert (
        choose(versions, spec) == choose(versions, spec, active="7.0.0") == select(versions, spec)
    )
