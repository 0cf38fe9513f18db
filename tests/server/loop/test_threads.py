"""Threads for what may block."""

from __future__ import annotations

import threading

import pytest

from buntime.server.loop.threads import Threads
from tests.support.shortage import no_threads

LONG_S = 30.0


def names_of(threads: Threads) -> list[str]:
    return sorted(each.name for each in threading.enumerate() if each.name.startswith("some_"))


def test_each_call_has_a_thread_up_to_so_many() -> None:
    """Each call gets a thread, up to the limit; further calls wait for one, in order."""
    threads, gate, ran = Threads(2, "some"), threading.Event(), list[int]()
    waiting, done = threading.Barrier(3), threading.Event()

    def hold() -> None:
        waiting.wait(LONG_S)
        gate.wait(LONG_S)

    threads.submit(hold)
    threads.submit(hold)
    waiting.wait(LONG_S)
    for number in range(3):
        threads.submit(lambda number=number: ran.append(number))  # type: ignore[misc]
    threads.submit(done.set)
    assert (names_of(threads), ran) == (["some_0", "some_1"], [])
    gate.set()
    assert done.wait(LONG_S)
    assert sorted(ran) == [0, 1, 2]
    threads.close()


def test_a_thread_is_used_again() -> None:
    """One call after another needs only one thread."""
    threads = Threads(4, "some")
    for _ in range(5):
        done = threading.Event()
        threads.submit(done.set)
        assert done.wait(LONG_S)
        while not threads._idle.acquire(timeout=LONG_S):  # it is free in a moment
            raise AssertionError
        threads._idle.release()
    assert repr(threads) == "Threads('some', 1 of 4)"
    threads.close()


def test_closed() -> None:
    """Running calls are completed, waiting ones are not run, and no thread stays."""
    threads, gate, begun, ran = (
        Threads(1, "some"),
        threading.Event(),
        threading.Event(),
        list[int](),
    )

    def hold() -> None:
        begun.set()
        gate.wait(LONG_S)
        ran.append(1)

    threads.submit(hold)
    threads.submit(lambda: ran.append(2))
    assert begun.wait(LONG_S)
    threads.close()
    gate.set()
    for each in threading.enumerate():
        if each.name == "some_0":
            each.join(LONG_S)
    assert (names_of(threads), ran) == ([], [1])


def test_without_a_thread_nothing_is_run() -> None:
    """If the system allows no thread, that is an error, and the call is not kept for later."""
    threads, done, ran = Threads(2, "some"), threading.Event(), list[int]()
    with no_threads(), pytest.raises(BlockingIOError):
        threads.submit(lambda: ran.append(1))
    threads.submit(done.set)
    assert done.wait(LONG_S)
    assert ran == []
    threads.close()


def test_a_thread_does_what_another_one_cannot() -> None:
    """If the system allows no further thread, calls wait for one of those that there are."""
    threads, gate, done = Threads(2, "some"), threading.Event(), threading.Event()

    def hold() -> None:
        gate.wait(LONG_S)

    threads.submit(hold)
    with no_threads():
        threads.submit(done.set)
    assert names_of(threads) == ["some_0"]
    gate.set()
    assert done.wait(LONG_S)
    threads.close()
