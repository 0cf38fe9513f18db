"""The service `kv`, which apps and plugins call. Each caller has its own space, by its name.

Everything runs on one thread and waits only for the disk and the caller's turn, so each method
finishes before the next begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buntime.plugin import exposed, plugin
from keyval import mutations
from keyval.arguments import (
    VERSION_MAX,
    a_bound,
    a_key,
    a_list,
    a_name,
    a_text,
    a_version,
    an_int,
    seconds,
    shown,
)
from keyval.errors import invalid
from keyval.limits import CHECKS_MAX, KEYS_MAX, MUTATIONS_MAX, PAGE_MAX, REASON_MAX
from keyval.turns import Turns, in_turn
from keyval.values import loaded
from keyval.watches import Hints, Watch

if TYPE_CHECKING:
    from keyval.queues import Queues
    from keyval.store import Entry, Store
    from keyval.watches import Watchers


class KeyValue:
    """The methods. An entry is [key, value, version, expires]; for a message see `take`."""

    def __init__(self, store: Store, queues: Queues, watchers: Watchers) -> None:
        self._store = store
        self._queues = queues
        self._watchers = watchers
        self.turns = Turns()

    @exposed
    @in_turn
    async def get(self, key: Any) -> Any:
        """The entry at a key, or None."""
        return entry_json(self._store.get(_space(), a_key(key)))

    @exposed
    @in_turn
    async def get_many(self, keys: Any) -> list[Any]:
        """The entries at keys, with None for each missing one."""
        space = _space()
        wanted = [a_key(key) for key in a_list(keys, "keys", KEYS_MAX)]
        return [entry_json(self._store.get(space, key)) for key in wanted]

    @exposed
    @in_turn
    async def set(self, key: Any, value: Any, ttl_s: Any = None, only_if: Any = None) -> int:
        """Write a value; returns its version."""
        expected = a_version(only_if)
        with self._store.change(_space()) as change:
            change.check(a_key(key), expected)
            mutations.put(change, key, value, ttl_s)
        return change.version

    @exposed
    @in_turn
    async def delete(self, key: Any, only_if: Any = None) -> bool:
        """Delete a key; returns whether it existed."""
        expected = a_version(only_if)
        encoded = a_key(key)
        entry = self._store.get(_space(), encoded)
        if entry is None and expected is None:
            return False
        with self._store.change(_space()) as change:
            change.check(encoded, expected)
            change.remove(encoded)
        return entry is not None

    @exposed
    @in_turn
    async def list(
        self, start: Any, end: Any, limit: Any = 100, reverse: Any = False
    ) -> dict[str, Any]:
        """A page of the entries with start <= key < end: {"entries": [...], "more": bool}."""
        count = an_int(limit, "limit", 1, PAGE_MAX)
        entries, more = self._store.page(
            _space(), a_bound(start), a_bound(end), count, reverse=bool(reverse)
        )
        return {"entries": [entry_json(entry) for entry in entries], "more": more}

    @exposed
    @in_turn
    async def atomic(self, checks: Any, changes: Any) -> int:
        """Make all mutations if every [key, version] holds, else none; returns the version."""
        wanted = a_list(checks, "checks", CHECKS_MAX)
        with self._store.change(_space()) as change:
            for check in wanted:
                if not isinstance(check, list_type) or len(check) != 2:
                    raise invalid(f"a check is [key, version], not {shown(check)}")
                version = an_int(check[1], "a version", 0, VERSION_MAX)
                change.check(a_key(check[0]), version)
            for mutation in a_list(changes, "mutations", MUTATIONS_MAX):
                mutations.mutate(change, mutation)
        return change.version

    @exposed
    async def watch(self, start: Any, end: Any) -> Watch:
        """A stream of the entries that change with start <= key < end, see watches.py."""
        watch = Watch(self._store, _space(), a_bound(start), a_bound(end))
        self._watchers.add(watch)
        return watch

    # Queues

    @exposed
    @in_turn
    async def enqueue(self, queue: Any, value: Any, delay_s: Any = 0, attempts: Any = 5) -> int:
        """Put a message into a queue; returns its id."""
        with self._store.change(_space()) as change:
            return mutations.enqueue(change, queue, value, delay_s, attempts)

    @exposed
    @in_turn
    async def take(self, queue: Any, visibility_s: Any = 30) -> Any:
        """Take a message: [id, receipt, attempts, value], or None if none is ready."""
        wait_s = seconds(visibility_s, "visibility_s")
        space = _space()
        taken = self._queues.take(space, a_name(queue), wait_s)
        if taken is None:
            self._watchers.on_empty(space, queue)
            return None
        return [taken.id, taken.receipt, taken.attempts, loaded(taken.kind, taken.data)]

    @exposed
    async def ready(self, queue: Any) -> Hints:
        """A stream that says when there is something to take, for callers that found nothing."""
        hints = Hints(self._queues, _space(), a_name(queue))
        self._watchers.add(hints)
        return hints

    @exposed
    @in_turn
    async def ack(self, number: Any, receipt: Any) -> None:
        """Acknowledge a processed message."""
        self._queues.ack(_space(), _number(number), _number(receipt))

    @exposed
    @in_turn
    async def nack(self, number: Any, receipt: Any, reason: Any = "", delay_s: Any = 0) -> None:
        """Give a message back, for another attempt after a delay."""
        self._queues.nack(
            _space(),
            _number(number),
            _number(receipt),
            reason=a_text(reason, "a reason", REASON_MAX),
            delay_s=seconds(delay_s, "delay_s"),
        )

    @exposed
    @in_turn
    async def dead(self, queue: Any, after: Any = 0, limit: Any = 100) -> dict[str, Any]:
        """A page of dead messages: {"messages": [[id, attempts, reason, value]], "more": bool}."""
        count = an_int(limit, "limit", 1, PAGE_MAX)
        found, more = self._queues.look(
            _space(), a_name(queue), dead=True, after=_number(after), limit=count
        )
        messages = [
            [each.id, each.attempts, each.reason, loaded(each.kind, each.data)] for each in found
        ]
        return {"messages": messages, "more": more}

    @exposed
    @in_turn
    async def revive(self, number: Any) -> bool:
        """Put a dead message back into its queue."""
        return self._queues.revive(_space(), _number(number))

    @exposed
    @in_turn
    async def drop(self, number: Any) -> bool:
        """Delete a dead message."""
        return self._queues.drop(_space(), _number(number))


list_type = list  # which a method is called, too


def entry_json(entry: Entry | None) -> Any:
    """An entry as callers get it."""
    if entry is None:
        return None
    return [entry.key, loaded(entry.kind, entry.data), entry.version, entry.expires]


def _space() -> str:
    """The space of the caller."""
    caller = plugin.caller
    if caller is None:
        raise invalid("only apps and plugins have a space")
    return caller


def _number(value: Any) -> int:
    return an_int(value, "an id or a receipt", 0, VERSION_MAX)
