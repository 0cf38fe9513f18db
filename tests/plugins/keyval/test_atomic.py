"""Changes that are made together, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from buntime import ServiceError
from tests.support.keyvalstore import Kept


def test_all_or_nothing(kept: Kept) -> None:
    """If one mutation fails none is made; otherwise all have the same version."""
    kv = kept.client()
    kv.set(("name",), "Ann")
    before = kept.size()
    with pytest.raises(ServiceError):
        kv.atomic().set(("a",), 1).enqueue("jobs", 1).sum(("name",), 1).commit()
    assert kv.get(("a",)) is None
    assert kept.size() == before
    version = kv.atomic().set(("a",), 1).set(("b",), 2, ttl_s=5).delete(("name",)).commit()
    assert kv.entry(("a",)).version == kv.entry(("b",)).version == version
    assert kv.entry(("b",)).expires == kept.clock.now + 5
    assert kv.get(("name",)) is None


def test_checks(kept: Kept) -> None:
    """All checks must hold."""
    kv = kept.client()
    one = kv.set(("a",), 1)
    change = kv.atomic().check(("a",), one).check(("b",), 0).set(("b",), 1)
    change.commit()
    with pytest.raises(ServiceError) as caught:
        change.commit()
    assert caught.value.code == "conflict"


@pytest.mark.parametrize(
    ("there", "word", "given", "result"),
    [
        (None, "sum", 3, 3),
        (1, "sum", 3, 4),
        (1, "sum", -0.5, 0.5),
        (2**62, "sum", 2**62 - 1, 2**63 - 1),
        (None, "min", 3, 3),
        (1, "min", 3, 1),
        (1, "max", 3, 3),
        (None, "append", "x", ["x"]),
        ([1], "append", [2], [1, [2]]),
        (None, "append", b"x", b"x"),
        (b"a", "append", b"b", b"ab"),
    ],
)
def test_mutations(kept: Kept, there: Any, word: str, given: Any, result: Any) -> None:
    """Each mutation makes a new value from the existing one."""
    kv = kept.client()
    if there is not None:
        kv.set(("a",), there, ttl_s=60)
    getattr(kv.atomic(), word)(("a",), given).commit()
    entry = kv.entry(("a",))
    assert entry.value == result
    assert type(entry.value) is type(result)
    assert entry.expires == (None if there is None else kept.clock.now + 60)


@pytest.mark.parametrize(
    ("there", "word", "given"),
    [
        ("x", "sum", 1),
        (True, "sum", 1),
        (b"x", "sum", 1),
        (2**63 - 1, "sum", 1),
        (1e308, "sum", 1e308),
        (1, "max", None),
        ([1], "append", b"x"),
        (b"x", "append", "x"),
        ("x", "append", "x"),
        (["x" * 65000], "append", "x" * 600),
    ],
)
def test_mutations_that_cannot_be(kept: Kept, there: Any, word: str, given: Any) -> None:
    """A mutation that the value does not allow is refused, and the value stays."""
    kv = kept.client()
    version = kv.set(("a",), there)
    with pytest.raises(ServiceError) as caught:
        getattr(kv.atomic(), word)(("a",), given).commit()
    assert caught.value.code == "invalid"
    assert kv.entry(("a",)).version == version


def test_several_of_one_key(kept: Kept) -> None:
    """A mutation sees the results of those before it."""
    kv = kept.client()
    kv.atomic().sum(("a",), 1).sum(("a",), 2).max(("a",), 10).commit()
    assert kv.get(("a",)) == 10
    assert kept.size()[1] == 1


def test_outbox(kept: Kept) -> None:
    """A message can be enqueued together with the change that it is about."""
    kv = kept.client()
    kv.atomic().set(("order", 1), "new").enqueue("mails", {"order": 1}, delay_s=5).commit()
    assert kv.take("mails") is None
    kept.clock.now += 5
    assert kv.take("mails").value == {"order": 1}
