"""Keys and values, by the client and the service, with a stopped clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buntime import ServiceError
from buntime.tuples import encode
from tests.support.keyvalstore import Kept

VALUES = [None, 0, 1.5, "ä\ud83d", [1, [2]], {"a": {"$bytes": 3}}, b"", b"\0\xff", "x" * 65534]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values(kept: Kept, value: Any) -> None:
    """JSON and bytes read back unchanged."""
    kv = kept.client()
    kv.set(("a",), value)
    assert kv.get(("a",), "none") == value


def test_nothing(kept: Kept) -> None:
    """A missing key gives the default, and looking it up writes nothing."""
    kv = kept.client()
    assert kv.get(("a",)) is None
    assert kv.get(("a",), 7) == 7
    assert kv.delete(("a",)) is False
    assert [*kv.list()] == []
    assert kept.store.spaces() == []


def test_spaces(kept: Kept) -> None:
    """Each caller has its own space."""
    kept.client("app:shop").set(("a",), 1)
    kept.client("plugin:audit").set(("a",), 2)
    assert kept.client("app:shop").get(("a",)) == 1
    assert kept.client("app:other").get(("a",)) is None


def test_only_if(kept: Kept) -> None:
    """A write can depend on the current version, or on the absence of the key."""
    kv = kept.client()
    first = kv.set(("a",), 1, only_if=0)
    with pytest.raises(ServiceError, match="version 1 is there, not 0") as caught:
        kv.set(("a",), 2, only_if=0)
    assert caught.value.code == "conflict"
    second = kv.set(("a",), 2, only_if=first)
    assert second > first
    with pytest.raises(ServiceError, match="version 2 is there, not 1"):
        kv.delete(("a",), only_if=first)
    assert kv.delete(("a",), only_if=second) is True


def test_versions_never_come_twice(kept: Kept) -> None:
    """A key that was deleted and written again has another version."""
    kv = kept.client()
    first = kv.set(("a",), 1)
    kv.delete(("a",))
    kept.store.clear("app:shop")
    assert kv.set(("a",), 1) > first


def test_ttl(kept: Kept) -> None:
    """An expired entry is invisible, both before and after it is deleted."""
    kv = kept.client()
    version = kv.set(("a",), 1, ttl_s=10)
    kv.set(("b",), 2)
    assert kv.entry(("a",)).expires == kept.clock.now + 10
    kept.clock.now += 10
    assert kv.get(("a",)) is None
    assert [entry.key for entry in kv.list()] == [("b",)]
    with pytest.raises(ServiceError):
        kv.set(("a",), 1, only_if=version)
    assert kept.size()[1] == 2
    assert kept.store.sweep() is False
    assert kept.size()[1] == 1
    assert kept.store.sweep() is False


def test_sweeps_by_parts(kept: Kept) -> None:
    """Many expired entries are deleted in batches."""
    kv = kept.client()
    for number in range(501):
        kv.set((number,), number, ttl_s=1)
    kept.clock.now += 2
    assert kept.store.sweep() is True
    assert kept.store.sweep() is False
    assert kept.size() == (0, 0, 0)


def test_list(kept: Kept) -> None:
    """Entries come in the order of their keys, by prefix or range, and also reversed."""
    kv = kept.client()
    for key in [("b", 1), ("a",), ("a", 10), ("a", 2), ("ab", 1), ("a", "x"), ("a", -1)]:
        kv.set(key, None)
    below = [("a", "x"), ("a", -1), ("a", 2), ("a", 10)]
    assert [entry.key for entry in kv.list(("a",))] == below
    assert [entry.key for entry in kv.list(("a",), reverse=True, page=3)] == below[::-1]
    assert [entry.key for entry in kv.list(("a",), start=("a", 2), page=1)] == below[2:]
    assert [entry.key for entry in kv.list(("a",), end=("a", 2))] == below[:2]
    assert len([*kv.list()]) == 7


def test_pages_are_short(kept: Kept) -> None:
    """A page of large values ends before its maximum number of entries."""
    kv = kept.client()
    for number in range(20):
        kv.set((number,), b"x" * 65536)
    page = kept.direct().list(b"", b"\xff", 1000)
    assert len(page["entries"]) == 16
    assert page["more"]
    assert len([*kv.list(page=1000)]) == 20


def test_get_many(kept: Kept) -> None:
    """Several keys at once, with None for each missing one."""
    kv = kept.client()
    kv.set(("a",), 1)
    found = kv.get_many([("a",), ("b",)])
    assert [entry and entry.value for entry in found] == [1, None]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from("sdtx"), st.integers(0, 5), st.binary(max_size=20)), max_size=30
    )
)
def test_counts(kept: Kept, steps: list[tuple[str, int, bytes]]) -> None:
    """The counts of a space match its contents, after any steps."""
    kv = kept.client()
    for step, number, data in steps:
        if step == "s":
            kv.set((number,), data)
        elif step == "d":
            kv.delete((number,))
        elif step == "t":
            kv.set((number,), data, ttl_s=1)
        else:
            kept.clock.now += 0.6
            kept.store.sweep()
    rows = kept.database.rows("SELECT key, value FROM entries")
    size = sum(len(key) + len(value) + 64 for key, value in rows)
    if kept.store.spaces():
        assert kept.size() == (size, len(rows), 0)


# Refusals


def test_a_full_space(tmp_path: Path) -> None:
    """A full space refuses writes except those that make it smaller; other spaces go on."""
    kept = Kept(tmp_path, space_bytes=1000)
    kv = kept.client()
    kv.set(("a",), b"x" * 800)
    with pytest.raises(ServiceError, match="1000 are the most; delete something") as caught:
        kv.set(("b",), b"x" * 100)
    assert caught.value.code == "full"
    assert kv.get(("b",)) is None
    kept.client("app:other").set(("b",), b"x" * 100)
    kv.set(("a",), b"x" * 10)
    kv.set(("b",), b"x" * 100)
    kept.close()


def test_a_space_that_holds_too_much_already(tmp_path: Path) -> None:
    """Deleting still works after the limit was lowered."""
    kept = Kept(tmp_path)
    kept.client().set(("a",), b"x" * 800)
    kept.client().set(("b",), b"x" * 800)
    kept.close()
    kept = Kept(tmp_path, space_bytes=1000)
    assert kept.client().delete(("a",))
    kept.close()


def test_too_many_spaces(tmp_path: Path) -> None:
    """The number of callers with entries is limited."""
    kept = Kept(tmp_path, spaces=1)
    kept.client("app:a").set(("a",), 1)
    with pytest.raises(ServiceError, match="raise `spaces`"):
        kept.client("app:b").set(("a",), 1)
    kept.client("app:a").delete(("a",))
    kept.client("app:b").set(("a",), 1)
    kept.close()


KEY = encode(("a",))
BAD: dict[str, tuple[str, list[Any]]] = {
    "a key that is text": ("get", ["a"]),
    "a key that is none": ("get", [b"\x99"]),
    "a key of nothing": ("set", [b"", 1]),
    "a key that is cut off": ("set", [KEY[:-1], 1]),
    "a long key": ("set", [b"\x02" + b"x" * 2048 + b"\0", 1]),
    "no list of keys": ("get_many", [KEY]),
    "many keys": ("get_many", [[KEY] * 101]),
    "a large value": ("set", [KEY, "x" * 65535]),
    "large bytes": ("set", [KEY, b"x" * 65537]),
    "bytes in JSON": ("set", [KEY, [b"x"]]),
    "a ttl that is text": ("set", [KEY, 1, "10"]),
    "a ttl below zero": ("set", [KEY, 1, -1]),
    "an endless ttl": ("set", [KEY, 1, 1e300]),
    "a version that is true": ("set", [KEY, 1, None, True]),
    "a bound that is text": ("list", ["a", b""]),
    "a long bound": ("watch", [b"", b"x" * 5000]),
    "an endless page": ("list", [b"", b"\xff", 10**9]),
    "no page": ("list", [b"", b"\xff", 0]),
    "checks of another shape": ("atomic", [[KEY], []]),
    "many mutations": ("atomic", [[], [["delete", KEY]] * 101]),
    "an unknown mutation": ("atomic", [[], [["destroy", KEY]]]),
    "a mutation that lacks something": ("atomic", [[], [["set", KEY]]]),
    "a mutation that is none": ("atomic", [[], ["delete"]]),
    "a mutation of a list": ("atomic", [[], [[["delete"], KEY]]]),
    "a sum of text": ("atomic", [[], [["sum", KEY, "1"]]]),
    "a queue without a name": ("enqueue", ["", 1]),
    "a queue that is a number": ("take", [7]),
    "a queue with half a letter": ("enqueue", ["\ud800", 1]),
    "attempts without end": ("enqueue", ["a", 1, 0, 10**9]),
    "a huge id": ("ack", [2**70, 1]),
    "a reason that is none": ("nack", [1, 1, 7]),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid(kept: Kept, name: str) -> None:
    """What no client sends is refused as invalid, and changes nothing."""
    method, arguments = BAD[name]
    with pytest.raises(ServiceError) as caught:
        getattr(kept.direct(), method)(*arguments)
    assert caught.value.code == "invalid"
    assert len(str(caught.value)) < 400
    assert kept.store.spaces() == []
