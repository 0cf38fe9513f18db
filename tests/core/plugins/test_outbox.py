"""Notices on their way to one plugin."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.outbox import BYTES_MAX, NOTICES_MAX, Outbox
from buntime.wire import MAX_LINE


def taken(outbox: Outbox) -> list[dict[str, object]]:
    """Everything in the outbox, batch by batch."""
    told = []
    while len(outbox):
        told += [json.loads(line) for line in outbox.take()]
    return told


def test_a_line() -> None:
    """A notice is a message of the channel; no drops are reported if there were none."""
    outbox = Outbox()
    outbox.put("on_apps_changed", b"[]")
    assert list(outbox.take()) == [b'{"type":"NOTICE","notice":"on_apps_changed","data":[]}\n']


def test_too_many() -> None:
    """The oldest are dropped; the next one sent says how many, and those after it do not."""
    outbox = Outbox()
    dropped = [outbox.put("on_worker_spawn", b"%d" % n) for n in range(NOTICES_MAX + 3)]
    assert (sum(dropped), len(outbox)) == (3, NOTICES_MAX)
    told = taken(outbox)
    assert [each["data"] for each in told] == list(range(3, NOTICES_MAX + 3))
    assert [each.get("dropped") for each in told] == [3] + [None] * (NOTICES_MAX - 1)


def test_the_longest_line() -> None:
    """A worker can read whatever is not dropped."""
    outbox = Outbox()
    for size in (BYTES_MAX, MAX_LINE):
        outbox.put("on_plugins_changed", b"1" * size)
        outbox.put("on_plugins_changed", b"1" * BYTES_MAX)
        [line] = outbox.take()
        assert BYTES_MAX < len(line) <= MAX_LINE


def test_too_large() -> None:
    """The number of bytes has a limit of its own."""
    outbox = Outbox()
    large = b'"%s"' % (b"x" * 300_000)
    assert [outbox.put("on_apps_changed", large) for _ in range(5)] == [0, 0, 0, 1, 1]
    assert [each.get("dropped") for each in taken(outbox)] == [2, None, None]


@given(st.lists(st.integers(0, 400_000) | st.none(), max_size=60))
def test_it_holds_its_limits(steps: list[int | None]) -> None:
    """Whatever is added and taken, the order is kept and drops are reported once."""
    outbox = Outbox()
    told: list[dict[str, object]] = []
    count = 0
    for size in steps:
        if size is None:
            told += [json.loads(line) for line in outbox.take()]
        else:
            outbox.put("on_worker_spawn", b'[%d,"%s"]' % (count, b"x" * size))
            count += 1
        assert len(outbox) <= NOTICES_MAX
        assert outbox._size_bytes <= BYTES_MAX
    told += taken(outbox)
    numbers = [each["data"][0] for each in told]  # type: ignore[index]  # as put above
    missing = sum(int(each.get("dropped", 0)) for each in told)  # type: ignore[call-overload]  # as put above
    assert numbers == sorted(numbers)
    assert len(numbers) + missing == count
