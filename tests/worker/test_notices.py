"""Notices that wait in a plugin's process."""

from __future__ import annotations

from buntime.wire import Message
from buntime.worker.notices import NOTICES_MAX, Waiting


def notice(data: object, **more: object) -> Message:
    return {"type": "NOTICE", "notice": "on_worker_spawn", "data": data, **more}


def taken(waiting: Waiting) -> list[Message]:
    return list(iter(waiting.take, None))


def test_one_is_at_it() -> None:
    """Whoever starts on the notices continues until there are none; then somebody has to start
    again."""
    waiting = Waiting()
    assert [waiting.put(notice(1)), waiting.put(notice(2))] == [True, False]
    assert [each["data"] for each in taken(waiting)] == [1, 2]
    assert waiting.put(notice(3))


def test_a_hook_that_hangs() -> None:
    """What waits is bounded: the oldest notices are dropped, and all dropped ones counted."""
    waiting = Waiting()
    waiting.put(notice(0, dropped=5))
    for number in range(1, NOTICES_MAX + 2):
        waiting.put(notice(number))
    assert len(waiting) == NOTICES_MAX
    first, *others = taken(waiting)
    assert (first["data"], first["dropped"]) == (2, 7)
    assert not any("dropped" in each for each in others)


def test_large_ones() -> None:
    """They are bounded by their size, too."""
    waiting = Waiting()
    for _ in range(5):
        waiting.put(notice("x" * 300_000))
    assert len(taken(waiting)) == 3
