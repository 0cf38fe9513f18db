"""`access` in the config file: rules with their lines, and all their faults."""

from __future__ import annotations

import pytest

from buntime.core.config.configfile import parse_config
from buntime.core.errors import ConfigError

TEXT = b"""
access:
  - {who: ["role:admin", "net:10.0.0.0/8"], apps: [shop, "plugin:keyval"], do: allow}
  - who: anyone
    paths: ["/admin/**"]
    methods: [get]
    do: deny
"""


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text.encode(), "f")
    return caught.value.faults


def test_rules_keep_their_order_and_lines() -> None:
    first, second = parse_config(TEXT, "f").access
    assert first.dump() == {
        "who": ["role:admin", "net:10.0.0.0/8"],
        "do": "allow",
        "apps": ["shop", "plugin:keyval"],
    }
    assert second.dump() == {
        "who": ["anyone"], "do": "deny", "paths": ["/admin/**"], "methods": ["GET"],
    }  # fmt: skip
    assert (first.place, second.place) == ("f:3", "f:4")


@pytest.mark.parametrize("text", ["", "access:", "access: []"])
def test_none_is_none(text: str) -> None:
    assert parse_config(text.encode(), "f").access == ()


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ("{who: anyone}", "access: this is not a list of rules"),
        ("[anyone]", "access: this is not a rule"),
        ("[{who: anyone}]", "access: do is missing"),
        ("[{do: deny}]", "access: who is missing"),
        ("[{who: anyone, do: maybe}]", "access: do: 'maybe' is neither allow nor deny"),
        (
            "[{who: anyone, do: deny, path: [/a]}]",
            "access: unknown key 'path'; did you mean paths?",
        ),
        ("[{who: [], do: deny}]", "access: who: write a list with at least one entry"),
        ("[{who: everyone, do: deny}]", "access: who: 'everyone' does not say who"),
        ("[{who: anyone, paths: [admin], do: deny}]", "access: paths: 'admin' is not a path"),
        ("[{who: anyone, apps: ['a b'], do: deny}]", "access: apps: "),
        ("[{who: anyone, methods: ['G T'], do: deny}]", "access: methods: 'G T' is not a method"),
        ("[{who: 'net:10.0.0.1/8', do: deny}]", "access: who: '10.0.0.1/8' is not a network"),
    ],
)
def test_faults(rules: str, fault: str) -> None:
    [told] = faults(f"access: {rules}")
    assert told.startswith(f"f:1: {fault}"), told


def test_all_faults_are_told() -> None:
    told = faults("access:\n  - {who: x, do: deny}\n  - {who: anyone, do: deny}\n  - 3\n")
    assert [each.split(" ")[0] for each in told] == ["f:2:", "f:4:"]


def test_too_many() -> None:
    many = ", ".join(["{who: anyone, do: deny}"] * 1001)
    assert faults(f"access: [{many}]") == ("f:1: access: 1001 rules are too many",)
    globs = ", ".join(f'"/*{n:0>60}"' for n in range(90))
    assert (
        "patterns with stars" in faults(f"access: [{{who: anyone, paths: [{globs}], do: deny}}]")[0]
    )
