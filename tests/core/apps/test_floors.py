"""What operators require of apps, and what remains of a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.apps.floors import (
    NO_FLOORS,
    ROW_KEYS,
    TAKES,
    Floors,
    Row,
    check_glob,
    parse_word,
)
from buntime.core.apps.manifest import Manifest, parse_manifest
from buntime.core.errors import ManifestError
from buntime.core.values.units import BadValue

PLACE = "/etc/x.yaml:4"


def floors(glob: str = "*", **words: object) -> Floors:
    return Floors((row(glob, **words),))


def row(glob: str, **words: object) -> Row:
    return Row(glob, {name: parse_word(name, value, PLACE) for name, value in words.items()})


def manifest(text: str = "") -> Manifest:
    return parse_manifest(text.encode(), path="app", body_default=100, body_max=1000)[0]


@pytest.mark.parametrize(
    ("key", "ours", "theirs", "now"),
    [
        ("sandbox", "strict", "off", "strict"),
        ("sandbox", "off", "strict", "strict"),
        ("sandbox", "off", "off", "off"),
        ("sandbox", "off", "standard", "standard"),
        ("visibility", "protected", "public", "protected"),
        ("visibility", "protected", "internal", "internal"),
        ("write", ["/a", "/b"], "[/b, /c]", ["/b"]),
        ("write", ["/a"], "[/a/b, a]", []),
        ("write", ["/a"], "[]", []),
        ("maxBodySize", "1kb", "50", 50),
        ("maxBodySize", "50", "90", 50),
        ("maxMemory", "64mb", None, 64 << 20),
        ("maxMemory", "64mb", "32mb", 32 << 20),
        ("memoryMax", "64mb", "1gb", 64 << 20),
        ("cpuMax", 0.5, "2", 0.5),
        ("pidsMax", 20, "16", 16),
        ("user", "blog", "root", "blog"),
        ("python", "/opt/python", "/tmp/python", "/opt/python"),
        ("hosts", ["a.example"], "[b.example, c.example]", ["a.example"]),
        ("hosts", [], "[b.example]", []),
        ("workers", 4, "99", 4),
        ("workers", "auto", "1", "auto"),
        ("nice", 10, "0", 10),
        ("env", {"A": "1", "B": "2"}, "{B: 3, C: 4}", {"A": "1", "B": "2", "C": "4"}),
        ("secrets", ["A"], "[A, B]", {"A": {}}),
        ("secrets", ["A", "B"], "{A: {env: false}}", {"A": {"env": False}, "B": {}}),
    ],
)
def test_what_counts(key: str, ours: object, theirs: str | None, now: object) -> None:
    """Either the stricter of both or the operator's value counts, and the change is reported
    with its place."""
    before = manifest("" if theirs is None else f"{key}: {theirs}")
    after = floors(**{key: ours}).applied(before, "shop")
    field, dump = ROW_KEYS[key].field, ROW_KEYS[key].dump
    assert dump(getattr(after, field)) == now
    told = [(each.key, each.now, each.place) for each in after.floors]
    was = None if getattr(before, field) is None else dump(getattr(before, field))
    assert told == ([] if was == now else [(key, now, PLACE)])


def test_each_key_that_may_stand_in_a_row_is_one_of_a_manifest() -> None:
    """The table names only keys of a manifest."""
    assert TAKES.keys() == ROW_KEYS.keys()


def test_of_whom_nothing_is_said() -> None:
    """An app that no row mentions keeps the same manifest object, so it is not reloaded."""
    before = manifest("ttl: 60")
    assert floors("blog-*", sandbox="strict").applied(before, "shop") is before
    assert NO_FLOORS.applied(before, "shop") is before


def test_a_user_of_an_operator_s() -> None:
    """A user that an operator sets is marked as fixed, also if the manifest names the same one."""
    after = floors(user="blog").applied(manifest("user: blog"), "shop")
    assert after.is_user_fixed
    assert after.floors == ()
    assert not floors(nice=3).applied(manifest("user: blog"), "shop").is_user_fixed


def test_globs() -> None:
    """A star matches any run of characters, also within a scope."""
    said = floors("@acme/blog-*", nice=3)
    names = ("@acme/blog-1", "blog-1", "@acme/x")
    assert [said.applied(manifest(), name).nice for name in names] == [3, 0, 0]


def test_several_rows() -> None:
    """Of several rows the strictest value counts; for keys without an order the last row does."""
    said = Floors((row("*", sandbox="strict", nice=3), row("shop", sandbox="standard", nice=5)))
    after = said.applied(manifest(), "shop")
    assert (after.sandbox, after.nice) == ("strict", 5)
    assert [(each.key, each.was, each.now) for each in after.floors] == [
        ("sandbox", "standard", "strict"),
        ("nice", 0, 5),
    ]


@pytest.mark.parametrize(
    ("text", "words", "level"),
    [
        ("sandbox: off", {}, "standard"),
        ("sandbox: strict", {}, "strict"),
        ("", {}, "standard"),
        ("sandbox: off", {"sandbox": "off"}, "off"),
        ("sandbox: off", {"nice": 3}, "standard"),
    ],
)
def test_what_came_by_the_api(text: str, words: dict[str, Any], level: str) -> None:
    """An app that came by the API may be weaker than standard only if an operator says so."""
    said = floors(**words) if words else NO_FLOORS
    assert said.applied(manifest(text), "shop", by_api=True).sandbox == level


def test_what_does_not_go_together() -> None:
    """A row that contradicts a manifest is reported with its place, and the app is faulty."""
    with pytest.raises(ManifestError, match=r"^/etc/x.yaml:4: ttl 10s .*is shorter than timeout"):
        floors(ttl="10s").applied(manifest("ttl: 1h\ntimeout: 60s"), "shop")


def test_rules_between_keys_hold() -> None:
    """`keep` keeps a worker ready, and `idleTimeout` is not longer than `ttl`."""
    after = floors(ttl="40s", keep=True).applied(manifest(), "shop")
    assert (after.ttl_s, after.idle_timeout_s, after.prewarm) == (40.0, 40.0, 1)


def test_words() -> None:
    """A change reads as a sentence; values of variables are never shown."""
    after = floors(sandbox="strict", env={"A": "hunter2"}, maxMemory="64mb").applied(
        manifest(), "shop"
    )
    told = [str(each) for each in after.floors]
    assert told[0] == f"sandbox: strict instead of standard ({PLACE})"
    assert told[1] == f"env is set ({PLACE})"
    assert told[2] == f"maxMemory: {64 << 20} instead of none ({PLACE})"
    assert "hunter2" not in str(told)


def test_places_are_no_change() -> None:
    """An app is not reloaded because a row moved to another line."""
    given = {"sandbox": parse_word("sandbox", "strict", "/etc/x.yaml:99")}
    other = Floors((Row("*", given),)).applied(manifest(), "shop")
    assert other == floors(sandbox="strict").applied(manifest(), "shop")


@pytest.mark.parametrize("glob", ["shop", "*", "blog-*", "@acme/*", "@*/shop"])
def test_globs_that_may_stand(glob: str) -> None:
    """These globs are valid: names with stars."""
    assert check_glob(glob) == glob


@pytest.mark.parametrize("glob", ["", "/x", "a b", "shop@1.0.0 ", "-x", "ä", "a" * 300])
def test_globs_that_cover_nothing(glob: str) -> None:
    """A mistyped glob is refused rather than ignored."""
    with pytest.raises(BadValue):
        check_glob(glob)
