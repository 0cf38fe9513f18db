"""Watches and hints, on the event loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime import ServiceError
from buntime.sdk.services import CALLER
from buntime.tuples import encode, span
from keyval import queues
from keyval.watches import Hints, Watch
from tests.support.keyvalstore import Kept

RUNNERS: list[asyncio.Runner] = []  # the current test's: whatever waits is bound to its loop


@pytest.fixture(autouse=True)
def runner() -> Iterator[None]:
    with asyncio.Runner() as runner:
        RUNNERS[:] = [runner]
        yield


def watch(kept: Kept, prefix: tuple[Any, ...] = (), space: str = "app:shop") -> Watch:
    found = Watch(kept.store, space, *span(prefix))
    kept.watchers.add(found)
    return found


def put(kept: Kept, key: tuple[Any, ...], data: bytes = b"1", space: str = "app:shop") -> None:
    with kept.store.change(space) as change:
        change.put(encode(key), 0, data)


def taken(stream: Any, count: int) -> list[Any]:
    """So many items that are already there."""

    async def take() -> list[Any]:
        return [await asyncio.wait_for(anext(stream), 1) for _ in range(count)]

    return RUNNERS[0].run(take())


def is_quiet(stream: Any) -> bool:
    """Whether it has nothing to deliver now."""

    async def ask() -> bool:
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        is_done = task.done()
        task.cancel()
        return not is_done

    return RUNNERS[0].run(ask())


def test_changes(kept: Kept) -> None:
    """A watch gets the entries that change below its prefix, including deleted and expired ones."""
    found = watch(kept, ("a",))
    put(kept, ("a", 1))
    put(kept, ("b", 1))
    put(kept, ("a", 1), b"2", space="app:other")
    kept.client().delete(("b", 1))
    kept.client().set(("a", 2), None, ttl_s=1)
    first, second = taken(found, 2)
    assert first == [encode(("a", 1)), 1, 1, None]
    assert second[0] == encode(("a", 2))
    kept.clock.now += 2
    kept.store.sweep()
    assert taken(found, 1) == [[encode(("a", 2)), None, 0, None]]
    assert is_quiet(found)


def test_a_change_that_failed(kept: Kept) -> None:
    """A change that was rolled back is not reported."""
    found = watch(kept)
    with pytest.raises(RuntimeError), kept.store.change("app:shop") as change:
        change.put(encode(("a",)), 0, b"1")
        raise RuntimeError
    assert is_quiet(found)


def test_a_slow_watcher(kept: Kept) -> None:
    """A slow watcher gets the newest value of each key once, and is told if it missed some."""
    found = watch(kept)
    for number in range(5):
        put(kept, ("a",), b"%d" % number)
    assert [each[1] for each in taken(found, 1)] == [4]
    for number in range(1001):
        put(kept, (number,))
    put(kept, ("last",))
    assert taken(found, 2) == ["missed", [encode(("last",)), 1, 1007, None]]
    assert is_quiet(found)


def test_too_many(tmp_path: Path) -> None:
    """The number of watches per caller is limited; those that have ended do not count."""
    kept = Kept(tmp_path, watches=2)
    held = [watch(kept), Hints(kept.queues, "app:shop", "jobs")]
    kept.watchers.add(held[1])  # type: ignore[arg-type]  # one of the two that it takes
    with pytest.raises(ServiceError, match="raise `watches`") as caught:
        watch(kept)
    assert caught.value.code == "full"
    watch(kept, space="app:other")
    del caught
    asyncio.run(held.pop().aclose())
    held.append(watch(kept))
    held.clear()
    assert [watch(kept), watch(kept)]
    kept.close()


def test_hints(kept: Kept) -> None:
    """A waiting caller gets one hint when the queue has something, until it has found it empty."""
    hints = Hints(kept.queues, "app:shop", "jobs")
    kept.watchers.add(hints)
    kv = kept.client()
    kv.enqueue("other", 1)
    assert is_quiet(hints)
    for _ in range(2):
        kv.enqueue("jobs", 1)
    assert taken(hints, 1) == [True]
    kv.enqueue("jobs", 1)
    kv.take("jobs", visibility_s=9)
    assert is_quiet(hints)
    for _ in range(2):
        kv.take("jobs").ack()
    assert kv.take("jobs") is None
    assert is_quiet(hints)
    kept.clock.now += 9
    assert taken(hints, 1) == [True]
    assert kv.take("jobs").attempts == 2


def test_hints_of_what_comes_later(kept: Kept) -> None:
    """A waiting caller is woken when a delay ends, and when a message comes before that."""
    hints = Hints(kept.queues, "app:shop", "jobs")
    kept.watchers.add(hints)
    kept.client().enqueue("jobs", 1, delay_s=0.01)
    kept.clock.now += 0.005

    async def wait(step: Callable[[], object]) -> bool:
        task = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0)
        step()
        return await asyncio.wait_for(task, 1)

    def later() -> None:
        kept.clock.now += 0.005

    assert RUNNERS[0].run(wait(later))
    kept.queues.take("app:shop", "jobs", 60.0)
    kept.watchers.on_empty("app:shop", "jobs")

    def enqueue() -> None:
        with kept.store.change("app:shop") as change:
            queues.enqueue(change, "jobs", 0, b"1", delay_s=0.0, most=5)

    assert RUNNERS[0].run(wait(enqueue))


def test_by_the_service(kept: Kept) -> None:
    """A watch is active before the call returns, so no later change is missed."""

    async def run() -> Any:
        CALLER.set("app:shop")
        stream = await kept.service.watch(*span(()))
        await kept.service.set(encode(("a",)), 1)
        return await anext(stream)

    assert asyncio.run(run())[1] == 1
