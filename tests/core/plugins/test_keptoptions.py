"""Options that operators have set: how they are stored, and their rank among other sources."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.keptoptions import (
    NONE,
    Kept,
    changed,
    dump_kept,
    parse_kept,
    without_secrets,
)
from buntime.core.plugins.options import Given, Options, resolve
from buntime.core.plugins.schema import parse_schema

SCHEMA = parse_schema(
    {
        "mode": {"type": "enum", "options": ["fast", "safe"], "default": "safe", "env": "MODE"},
        "days": {"type": "number", "required": True},
        "token": {"type": "password"},
    }
)
BY, AT = "key laptop", "2026-11-26T17:32:04Z"
WHERE = "plugins.audit.options"


def resolved(kept: dict[str, Kept], env: dict[str, str] | None = None) -> Options:
    said = {"mode": Given("safe", "config.yaml:3")}
    return resolve(SCHEMA, said, env or {}, where=WHERE, kept=kept)


def test_an_operator_wins() -> None:
    """An operator's value wins over all other sources, and shows who set it and when."""
    options = resolved({"mode": Kept("fast", BY, AT), "days": Kept(3, BY, AT)}, {"MODE": "safe"})
    mode, days, token = options.options
    assert (mode.value, mode.origin) == ("fast", f"an operator ({BY}) at {AT}")
    assert (days.value, token.value) == (3, None)
    assert options.problems == ()


@pytest.mark.parametrize(
    ("name", "kept", "said"),
    [
        ("mode", Kept("slow", BY, AT), "is not one of fast, safe"),
        ("days", Kept("3", BY, AT), "is not a number"),
        ("mode", Kept("hunter2", BY, AT, is_secret=True), "was set as a password"),
    ],
)
def test_what_fits_no_more(name: str, kept: Kept, said: str) -> None:
    """A value that no longer fits after an update is not replaced by the next source, and is no
    fault of the config file."""
    options = resolved({"days": Kept(3, BY, AT), name: kept})
    [problem] = [each for each in options.lacks if said in each]
    assert problem.startswith(f"{WHERE}.{name}, set by an operator ({BY})")
    assert options.faults == ()
    assert "hunter2" not in repr(options) + problem


def test_what_is_no_option_any_more() -> None:
    """An option that no longer exists is ignored; it counts again once the plugin has it again."""
    options = resolved({"days": Kept(3, BY, AT), "gone": Kept(1, BY, AT)})
    assert options.problems == ()
    assert len(options.options) == 3


def test_changes() -> None:
    """A named option is set, None unsets it, and the others stay."""
    first = changed(NONE, {"mode": "fast", "token": "t"}, frozenset(["token"]), BY, AT)
    second = changed(first, {"mode": None, "days": 0}, frozenset(["token"]), "local", AT)
    assert {name: (each.value, each.by) for name, each in second.items()} == {
        "token": ("t", BY),
        "days": (0, "local"),
    }
    assert second["token"].is_secret
    assert "t'" not in repr(second)


_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_KEPT = st.builds(Kept, _VALUES, st.text(max_size=20), st.just(AT), st.booleans())


@given(st.dictionaries(st.sampled_from(["audit", "@acme/kv"]), st.dictionaries(
    st.text(min_size=1, max_size=8), _KEPT, min_size=1, max_size=3
)))  # fmt: skip
def test_a_file_tells_what_it_was_made_of(kept: dict[str, dict[str, Kept]]) -> None:
    """A file reads back as it was written, and without secrets only those are missing."""
    data = dump_kept(kept)
    assert parse_kept(data) == kept
    open_ones = {
        plugin: {name: each for name, each in options.items() if not each.is_secret}
        for plugin, options in kept.items()
    }
    expected = {plugin: options for plugin, options in open_ones.items() if options}
    assert parse_kept(without_secrets(data)) == expected


@pytest.mark.parametrize(
    "told",
    [b"", b"[", b"[]", b"{}}", b'{"../x": {}}', b'{"a": 1}', b'{"a": {"b": 1}}',
     b'{"a": {"b": {"value": null}}}', b"[" * 100_000],
)  # fmt: skip
def test_bad_files(told: bytes) -> None:
    """Bad files are refused as a whole."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_kept(told)


def test_no_value_in_an_error() -> None:
    """An error about a faulty file shows no value, since it may be a password."""
    with pytest.raises(ValueError, match="has no value") as caught:
        parse_kept(json.dumps({"a": {"token": {"valeu": "hunter2"}}}).encode())
    assert "hunter2" not in str(caught.value)
