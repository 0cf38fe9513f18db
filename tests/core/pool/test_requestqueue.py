"""The order of a queue, also with clients that may have left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.pool.requestqueue import RequestQueue


def queue_of(*tickets: str) -> RequestQueue:
    queue = RequestQueue(10.0)
    for ticket in tickets:
        queue.add(ticket, 0.0)
    return queue


def drained(queue: RequestQueue) -> list[object]:
    taken = []
    while queue:
        taken.append(queue.take_next(1.0))
    return taken


def test_who_may_have_left_goes_last() -> None:
    """A request whose client may have left comes after all others, earlier and later ones."""
    queue = queue_of("a", "b", "c")
    queue.put_last("a")
    queue.put_last("b")
    queue.add("d", 0.0)
    assert queue.count == 4
    assert queue.tickets() == ["c", "d", "a", "b"]
    assert drained(queue) == ["c", "d", "a", "b"]
    assert queue.count == 0


def test_who_is_alone_is_not_passed_over() -> None:
    """If only such requests wait, they are served in turn, until another one comes."""
    queue = queue_of("a", "b")
    for ticket in ("a", "b", "a", "b", "unknown"):
        queue.put_last(ticket)
    assert queue
    assert queue.count == 2
    queue.add("c", 0.0)
    assert queue.take_next(1.0) == "c"
    assert set(drained(queue)) == {"a", "b"}


def test_who_may_have_left_makes_room() -> None:
    """A full queue drops such a request first, otherwise the oldest one if it would be late."""
    queue = queue_of("a", "b")
    assert queue.most_dispensable(1.0) is None
    assert queue.most_dispensable(6.0) == "a"
    queue.put_last("b")
    assert queue.most_dispensable(6.0) == "b"


def test_all_are_cleared() -> None:
    """A cleared queue is empty."""
    queue = queue_of("a", "b")
    queue.put_last("a")
    queue.clear()
    assert (queue.count, queue.tickets(), bool(queue)) == (0, [], False)
    queue.add("a", 0.0)
    assert drained(queue) == ["a"]


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "last", "withdraw", "take"]), st.integers(0, 5)), max_size=40
)


@given(STEPS)
def test_nobody_is_lost(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, each waiting request is found exactly once. One whose client may have
    left is taken only if none is certain to wait."""
    queue = RequestQueue(10.0)
    sure: set[int] = set()
    doubtful: set[int] = set()
    for what, ticket in steps:
        if what == "add" and not queue.waits(ticket):
            queue.add(ticket, 0.0)
            sure.add(ticket)
        elif what == "last" and queue.waits(ticket):
            queue.put_last(ticket)
            sure.discard(ticket)
            doubtful.add(ticket)
        elif what == "withdraw" and queue.waits(ticket):
            queue.withdraw(ticket)
            sure.discard(ticket)
            doubtful.discard(ticket)
        elif what == "take" and queue:
            taken = queue.take_next(1.0)
            assert taken in sure if sure else taken in doubtful
            sure.discard(taken)  # type: ignore[arg-type]  # tickets are numbers here
            doubtful.discard(taken)  # type: ignore[arg-type]  # as above
        assert sorted(queue.tickets(), key=str) == sorted(sure | doubtful)
        assert queue.count == len(sure) + len(doubtful)
        assert bool(queue) == bool(sure or doubtful)


def test_of_a_late_queue_the_newest_goes_first() -> None:
    """A late queue serves the newest first, also with clients that may have left."""
    queue = queue_of("a", "b", "c")
    queue.put_last("c")
    assert [queue.take_next(9.0) for _ in range(3)] == ["b", "a", "c"]


@pytest.mark.parametrize("ticket", ["a", "b"])
def test_a_withdrawal(ticket: str) -> None:
    """A withdrawn request is gone, wherever it was."""
    queue = queue_of("a", "b")
    queue.put_last("a")
    queue.withdraw(ticket)
    assert drained(queue) == [{"a": "b", "b": "a"}[ticket]]
