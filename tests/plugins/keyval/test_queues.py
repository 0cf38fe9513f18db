"""Queues, with a clock that the test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime import ServiceError
from tests.support.keyvalstore import Kept


def test_order(kept: Kept) -> None:
    """The message that has been ready longest comes first; each is given to one taker."""
    kv = kept.client()
    for value in "abc":
        kv.enqueue("jobs", value, delay_s=2 if value == "a" else 0)
    kept.clock.now += 3
    assert [kv.take("jobs").value for _ in range(3)] == ["b", "c", "a"]
    assert kv.take("jobs") is None
    assert kv.take("other") is None


def test_ack(kept: Kept) -> None:
    """An acknowledged message is gone, and cannot be acknowledged again."""
    kv = kept.client()
    kv.enqueue("jobs", b"x")
    message = kv.take("jobs")
    assert (message.value, message.attempts) == (b"x", 1)
    message.ack()
    with pytest.raises(ServiceError) as caught:
        message.ack()
    assert caught.value.code == "conflict"
    assert kept.size() == (0, 0, 0)


def test_visibility(kept: Kept) -> None:
    """A message not acknowledged in time comes again, and its old receipt is invalid."""
    kv = kept.client()
    kv.enqueue("jobs", 1)
    first = kv.take("jobs", visibility_s=10)
    kept.clock.now += 9
    assert kv.take("jobs") is None
    kept.clock.now += 1
    second = kv.take("jobs")
    assert second.attempts == 2
    for late in (first.ack, first.nack):
        with pytest.raises(ServiceError):
            late()
    second.ack()


def test_nack(kept: Kept) -> None:
    """A returned message comes again after its delay, or at once without one."""
    kv = kept.client()
    kv.enqueue("jobs", 1)
    kv.take("jobs").nack("no mail server", 5)
    assert kv.take("jobs") is None
    kept.clock.now += 5
    message = kv.take("jobs")
    message.nack()
    assert kv.take("jobs").attempts == 3


@pytest.mark.parametrize("how", ["nack", "silence"])
def test_dead_letters(kept: Kept, how: str) -> None:
    """After the last attempt a message is dead, with the reason; it can be revived or dropped."""
    kv = kept.client()
    number = kv.enqueue("jobs", {"a": 1}, attempts=2)
    for _ in range(2):
        message = kv.take("jobs", visibility_s=1)
        if how == "nack":
            message.nack("broken")
        kept.clock.now += 2
    assert kv.take("jobs") is None
    reason = "broken" if how == "nack" else "it was taken and not acknowledged in time"
    assert kv.dead("jobs") == [[number, 2, reason, {"a": 1}]]
    assert kv.revive(number) is True
    assert kv.revive(number) is False
    assert kv.dead("jobs") == []
    for _ in range(2):
        kv.take("jobs", visibility_s=0)
    assert kv.take("jobs") is None
    assert kv.drop(number) is True
    assert kv.drop(number) is False
    assert kept.size() == (0, 0, 0)


def test_of_others(kept: Kept) -> None:
    """No id gives access to the messages of another space."""
    kv, other = kept.client(), kept.client("app:other")
    number = kv.enqueue("jobs", 1, attempts=1)
    assert other.take("jobs") is None
    message = kv.take("jobs", visibility_s=5)
    other.enqueue("jobs", 2)
    with pytest.raises(ServiceError):
        kept.direct("app:other").ack(number, message._receipt)
    message.nack()
    assert other.revive(number) is False
    assert other.drop(number) is False
    assert other.dead("jobs") == []


def test_a_receipt_of_nobody(kept: Kept) -> None:
    """A message that was not taken cannot be acknowledged."""
    kv = kept.client()
    number = kv.enqueue("jobs", 1)
    with pytest.raises(ServiceError):
        kept.direct().ack(number, 0)


def test_too_many(tmp_path: Path) -> None:
    """The number of messages in a space's queues is limited, including dead ones."""
    kept = Kept(tmp_path, queue_entries=2)
    kv = kept.client()
    kv.enqueue("a", 1, attempts=1)
    kv.enqueue("b", 1)
    kv.take("a").nack()
    with pytest.raises(ServiceError, match="raise `queueEntries`") as caught:
        kv.enqueue("c", 1)
    assert caught.value.code == "full"
    kv.take("b").ack()
    kv.enqueue("c", 1)
    kept.close()


def test_what_a_message_counts(tmp_path: Path) -> None:
    """A message counts with its value, its queue and the reason of its last attempt."""
    kept = Kept(tmp_path)
    kv = kept.client()
    number = kv.enqueue("jöbs", b"value", attempts=2)
    bare = 5 + 5 + 64
    assert kept.size()[0] == bare
    kv.take("jöbs").nack("cäfe")
    assert kept.size()[0] == bare + 5
    message = kv.take("jöbs")
    assert kept.size()[0] == bare
    message.nack("another")
    assert kept.size()[0] == bare + 7
    kv.revive(number)
    assert kept.size()[0] == bare + 7
    for _ in range(2):
        kv.take("jöbs", visibility_s=0)
    assert kv.take("jöbs") is None
    [[_, _, reason, _]] = kv.dead("jöbs")
    assert kept.size()[0] == bare + len(reason)
    kv.drop(number)
    assert kept.size() == (0, 0, 0)
    kept.close()


def test_reasons_in_a_full_space(tmp_path: Path) -> None:
    """Reasons and names of queues take no more than a space has, and a full space keeps no message
    from being taken and given back: its reason is cut."""
    kept = Kept(tmp_path, space_bytes=1000)
    kv = kept.client()
    with pytest.raises(ServiceError, match="raise `spaceMb`"):
        for number in range(9):
            kv.enqueue(f"{number}" + "q" * 150, number, attempts=1)
    assert kept.size()[2] == 4
    used = kept.size()[0]
    kv.take("0" + "q" * 150).nack("ä" * 1000)
    [[_, _, reason, _]] = kv.dead("0" + "q" * 150)
    assert reason == "ä" * ((1000 - used) // 2)
    for number in range(1, 4):
        kv.take(f"{number}" + "q" * 150).nack("why")
    assert kept.size()[0] <= 1000
    assert [kv.dead(f"{number}" + "q" * 150)[0][2] for number in range(1, 4)] == [""] * 3
    kept.close()


def test_next_ready(kept: Kept) -> None:
    """The time of the next message is known, so that callers need not poll."""
    kv = kept.client()
    assert kept.queues.next_ready_s("app:shop", "jobs") is None
    kv.enqueue("jobs", 1, delay_s=5)
    assert kept.queues.next_ready_s("app:shop", "jobs") == 5
    kept.clock.now += 5
    assert kept.queues.next_ready_s("app:shop", "jobs") == 0
    kv.take("jobs", visibility_s=7)
    assert kept.queues.next_ready_s("app:shop", "jobs") == 7


def test_tallies(kept: Kept) -> None:
    """Each queue has its counts: ready, later, dead."""
    kv = kept.client()
    for delay_s in (0, 0, 9):
        kv.enqueue("jobs", 1, delay_s=delay_s, attempts=1)
    kv.take("jobs").nack()
    kv.enqueue("mails", 1)
    assert [tuple(each) for each in kept.queues.tallies("app:shop")] == [
        ("jobs", 1, 1, 1),
        ("mails", 1, 0, 0),
    ]
