"""How much one caller can use of the thread that serves all of them."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from time import perf_counter
from typing import Any

import pytest

from buntime import ServiceError
from buntime.sdk.services import CALLER
from keyval import queues
from keyval.limits import BURIED_MAX, REREAD_MAX_BYTES
from keyval.turns import SHARE_S, Turns, in_turn
from tests.support.keyvalstore import Kept


class Busy:
    """A service whose only method uses more than a share."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.served: list[str] = []

    @in_turn
    async def work(self, caller: str) -> str:
        until = perf_counter() + SHARE_S
        while perf_counter() < until:
            pass
        self.served.append(caller)
        return caller


def test_one_caller_does_not_keep_up_others() -> None:
    """Of a caller with 30 calls in progress, one is done per turn, and another caller is next."""
    busy = Busy()

    async def all_of_them() -> list[Any]:
        loop = asyncio.get_running_loop()
        tasks = []
        for caller in [*["app:greedy"] * 30, "app:shop"]:
            context = copy_context()
            context.run(CALLER.set, caller)
            tasks.append(context.run(loop.create_task, busy.work(caller)))
        return await asyncio.gather(*tasks)

    done = asyncio.run(all_of_them())
    assert done == [*["app:greedy"] * 30, "app:shop"]
    assert busy.served.index("app:shop") <= 2


def test_a_transaction_reads_large_values_again_within_a_bound(kept: Kept) -> None:
    """Otherwise a hundred appends to a list of 64 KiB would take a second and block all others."""
    kv = kept.client()
    kv.set(("list",), ["x" * 50_000])
    change = kv.atomic()
    for _ in range(REREAD_MAX_BYTES // 50_000 + 1):
        change.append(("list",), 1)
    with pytest.raises(ServiceError, match="split them into several transactions") as caught:
        change.commit()
    assert caught.value.code == "invalid"
    assert kv.get(("list",)) == ["x" * 50_000]
    kv.atomic().append(("list",), 1).append(("list",), 2).commit()
    assert kv.get(("list",)) == ["x" * 50_000, 1, 2]


def test_one_take_buries_a_bounded_number(kept: Kept) -> None:
    """One call does not bury all of thousands of messages that were never acknowledged."""
    count = BURIED_MAX + 5
    with kept.store.change("app:shop") as change:
        for _ in range(count):
            queues.enqueue(change, "mails", 0, b"1", delay_s=0.0, most=1)
    kept.database.run("UPDATE messages SET attempts = 1")
    direct = kept.direct()
    assert direct.take("mails") is None
    [tally] = kept.queues.tallies("app:shop")
    assert (tally.dead, tally.ready) == (BURIED_MAX, 5)
    assert kept.queues.next_ready_s("app:shop", "mails") == 0.0  # so waiting callers get a hint
    assert direct.take("mails") is None
    [tally] = kept.queues.tallies("app:shop")
    assert (tally.dead, tally.ready) == (count, 0)
