"""The audit trail: a chain that reveals tampering, without credentials."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.admin.audittrail import (
    MASK,
    TEXT_MAX_CHARS,
    VALUE_MAX_CHARS,
    Broken,
    Change,
    Entry,
    Walk,
    entry_of,
    hash_of,
    kept_value,
    masked,
    text_of,
)


def change(**more: Any) -> Change:
    told: dict[str, Any] = {
        "at_s": 1_795_000_000.5,
        "actor": "laptop",
        "source": "key",
        "address": "192.0.2.1",
        "request": "r1",
        "action": "plugins.disable",
        "subject": "audit",
        "app": None,
        "before": {"enabled": True},
        "after": {"enabled": False},
        "result": "done",
    }
    return Change(**{**told, **more})


def chain(count: int, first: int = 1, previous: str = "") -> list[Entry]:
    """`count` entries, the newest first, as the API returns them."""
    entries: list[Entry] = []
    for number in range(first, first + count):
        entry = entry_of(change(subject=f"s{number}"), number, previous)
        entry["hash"] = previous = hash_of(text_of(entry))
        entries.insert(0, json.loads(json.dumps(entry)))
    return entries


def walk(entries: list[Entry], removed: dict[str, Any] | None = None) -> Walk:
    walk = Walk()
    for entry in entries:
        walk.take(entry)
    walk.end(removed)
    return walk


def test_an_entry() -> None:
    """An entry has its number, its time in UTC and all its details; the first has no
    predecessor."""
    entry = entry_of(change(), 1, "")
    assert entry == {
        "number": 1,
        "time": "2026-11-18T11:06:40.500Z",
        "actor": "laptop",
        "source": "key",
        "address": "192.0.2.1",
        "request": "r1",
        "action": "plugins.disable",
        "subject": "audit",
        "app": None,
        "before": {"enabled": True},
        "after": {"enabled": False},
        "result": "done",
        "previous": "",
    }
    assert hash_of(text_of({**entry, "hash": "x"})) == hash_of(text_of(entry))


def test_a_whole_chain() -> None:
    """A chain gives its newest entry with its hash; an empty chain is valid too."""
    entries = chain(5)
    told = walk(entries)
    assert (told.count, told.newest) == (5, (5, entries[0]["hash"]))
    assert walk([]).newest is None


def test_old_ones_are_gone() -> None:
    """If the oldest entries were removed for their age, the hash of the last removed one is
    still checked."""
    removed = {"number": 7, "hash": "abc"}
    assert walk(chain(3, 8, "abc"), removed).count == 3
    for wrong in ({"number": 7, "hash": "abd"}, {"number": 6, "hash": "abc"}, None):
        with pytest.raises(Broken, match="before entry 8"):
            walk(chain(3, 8, "abc"), wrong)
    with pytest.raises(Broken, match="there is no entry after 7, the last one removed"):
        walk([], removed)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("name", sorted(chain(1)[0]))
def test_a_changed_entry(place: int, name: str) -> None:
    """Any change to an entry is detected."""
    entries = chain(5)
    value = entries[place][name]
    entries[place][name] = value + 1 if isinstance(value, int) else f"{value}x"
    with pytest.raises(Broken):
        walk(entries)


@pytest.mark.parametrize("place", range(1, 5))
def test_a_removed_entry(place: int) -> None:
    """A gap is detected; a missing newest entry only shows to someone who noted its hash."""
    entries = chain(5)
    del entries[place]
    with pytest.raises(Broken, match="comes entry"):
        walk(entries)
    assert walk(chain(5)[1:]).newest != walk(chain(5)).newest


def test_entries_in_another_order() -> None:
    """Swapped entries are detected, and so is an inserted entry whose own hash is right."""
    entries = chain(5)
    entries[1], entries[2] = entries[2], entries[1]
    with pytest.raises(Broken):
        walk(entries)
    forged = {**chain(5)[2], "actor": "nobody"}
    forged["hash"] = hash_of(text_of(forged))
    with pytest.raises(Broken, match="is not the one that entry 4 was added after"):
        walk([*chain(5)[:2], forged, *chain(5)[3:]])


@pytest.mark.parametrize("entry", [{}, {"number": "1"}, {"number": 1, "previous": None}])
def test_what_is_no_entry(entry: Entry) -> None:
    """An answer that does not come from Buntime is not a trail."""
    with pytest.raises(Broken):
        walk([entry])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"env": {"A": "x", "B": "y"}}, {"env": {"A": MASK, "B": MASK}}),
        ({"secrets": {"A": "x"}, "ttl": 3}, {"secrets": {"A": MASK}, "ttl": 3}),
        ({"secrets": ["STRIPE_KEY"]}, {"secrets": ["STRIPE_KEY"]}),  # names only
        ({"apiKey": "x", "token": "y"}, {"apiKey": MASK, "token": MASK}),
        ({"key": "bt_abc", "name": "laptop"}, {"key": MASK, "name": "laptop"}),
        ({"deep": [{"password": "x"}]}, {"deep": [{"password": MASK}]}),
        (["redis://:hunter2@cache/0", "https://x/"], [MASK, "https://x/"]),
        (f"bt_{'a' * 49}", MASK),
        ({"a": float("nan"), "b": 1.5}, {"a": "nan", "b": 1.5}),
        ({"a": {1: b"x"}}, {"a": {"1": "b'x'"}}),
        (None, None),
    ],
)
def test_what_is_masked(value: object, kept: object) -> None:
    """No value of a secret, a key or a variable gets into the trail, under whatever name."""
    assert kept_value(value) == kept


def test_long_values() -> None:
    """A long value is cut to its beginning, with its length."""
    kept = kept_value({"a": ["x" * VALUE_MAX_CHARS]})
    assert isinstance(kept, dict)
    assert kept["chars"] > VALUE_MAX_CHARS
    assert len(kept["cut"]) == TEXT_MAX_CHARS
    assert len(entry_of(change(subject="y" * 9999), 1, "")["subject"]) == TEXT_MAX_CHARS
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert MASK in json.dumps(masked(deep))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values, st.text())
def test_any_value(value: object, text: str) -> None:
    """A stored value reads back exactly as it was hashed."""
    entry = entry_of(change(before=value, subject=text), 1, "")
    told = json.loads(json.dumps(entry))
    assert text_of(told) == text_of(entry)
    json.loads(text_of(entry), parse_constant=lambda _: pytest.fail("not JSON"))
