"""Named queues: a message is taken by one consumer at a time, and comes again unless acknowledged.

    waiting (delay) -> ready -> taken (receipt, visibility) -> acknowledged: gone
                         ^-------- nack, or the visibility is over
                                   after the last attempt: dead, kept for people to look at

The consumer of a message holds a receipt, which becomes invalid when the message is taken again. So
a message is processed at least once, and acknowledged once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from keyval.errors import conflict
from keyval.limits import BURIED_MAX, ENTRY_BYTES, PAGE_MAX_BYTES
from keyval.store import MESSAGE_SIZE

if TYPE_CHECKING:
    from keyval.store import Change, Store

_FIELDS = "id, attempts, ready, reason, kind, value"
_LOST = "it was taken and not acknowledged in time"


class Message(NamedTuple):
    """A message, as shown to people."""

    id: int
    attempts: int
    ready: float  # seconds since 1970; when it can be taken
    reason: str  # why the last attempt failed
    kind: int
    data: bytes


class Taken(NamedTuple):
    """A message, as taken by a consumer."""

    id: int
    receipt: int
    attempts: int  # including this one
    kind: int
    data: bytes


class Tally(NamedTuple):
    """The counts of a queue."""

    queue: str
    ready: int
    later: int  # delayed, or taken
    dead: int


def enqueue(
    change: Change, queue: str, kind: int, data: bytes, *, delay_s: float, most: int
) -> int:
    """Put a message into a queue; returns its id."""
    cursor = change.database.run(
        "INSERT INTO messages (space, queue, ready, most, kind, value) VALUES (?, ?, ?, ?, ?, ?)",
        (change.space, queue, change.now + delay_s, most, kind, data),
    )
    change.messages += 1
    change.bytes += len(data) + len(queue.encode()) + ENTRY_BYTES
    change.queues.add(queue)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


class Queues:
    """The queues of the spaces in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database

    def take(self, space: str, queue: str, visibility_s: float) -> Taken | None:
        """Take the message that has been ready longest; nobody else gets it for the visibility
        time."""
        if self.next_ready_s(space, queue) != 0.0:
            return None
        with self._store.change(space) as change:
            for _ in range(BURIED_MAX):
                row = self._database.row(
                    "SELECT id, attempts, most, reason, kind, value FROM messages "
                    "WHERE space = ? AND queue = ? AND dead = 0 AND ready <= ? "
                    "ORDER BY ready, id LIMIT 1",
                    (change.space, queue, change.now),
                )
                if row is None:
                    return None
                number, attempts, most, reason, kind, data = row
                if attempts < most:
                    break
                self._bury(change, number, reason, reason or _LOST)
            else:
                return None  # there may be one after those; others need their turn
            change.reason_bytes -= len(reason.encode())
            self._database.run(
                "UPDATE messages SET attempts = ?, receipt = ?, ready = ?, reason = '' "
                "WHERE id = ?",
                (attempts + 1, change.version, change.now + visibility_s, number),
            )
            return Taken(number, change.version, attempts + 1, kind, data)

    def next_ready_s(self, space: str, queue: str) -> float | None:
        """In how many seconds there may be a message to take: 0.0 now, None never."""
        row = self._database.row(
            "SELECT min(ready) FROM messages WHERE space = ? AND queue = ? AND dead = 0",
            (self._store.space_id(space), queue),
        )
        return None if row[0] is None else max(0.0, row[0] - self._store.clock())

    def ack(self, space: str, number: int, receipt: int) -> None:
        """Delete a processed message. Raises `conflict` if it was taken again."""
        with self._store.change(space) as change:
            size, _, _, _ = self._held(change, number, receipt)
            change.remove_message(number, size)

    def nack(self, space: str, number: int, receipt: int, *, reason: str, delay_s: float) -> None:
        """Give a message back, for another attempt; after the last one it is dead.

        A full space does not keep this from being done: the reason is cut to what it has room for.
        """
        with self._store.change(space) as change:
            _, attempts, most, queue = self._held(change, number, receipt)
            reason = reason.encode()[: max(change.room, 0)].decode("utf-8", "ignore")
            if attempts >= most:
                self._bury(change, number, "", reason)
                return
            change.reason_bytes += len(reason.encode())
            self._database.run(
                "UPDATE messages SET ready = ?, receipt = 0, reason = ? WHERE id = ?",
                (change.now + delay_s, reason, number),
            )
            change.queues.add(queue)

    def look(
        self, space: str, queue: str, *, dead: bool, after: int, limit: int
    ) -> tuple[list[Message], bool]:
        """Messages by their ids, and whether there are more; nothing is taken."""
        found: list[Message] = []
        size = 0
        for row in self._database.each(
            # The ids first, by the index alone: sorting whole messages would load the whole queue.
            f"SELECT {_FIELDS} FROM messages WHERE id IN (SELECT id FROM messages "
            "WHERE space = ? AND queue = ? AND dead = ? AND id > ? ORDER BY id LIMIT ?) "
            "ORDER BY id",
            (self._store.space_id(space), queue, int(dead), after, limit + 1),
        ):
            if len(found) == limit or size >= PAGE_MAX_BYTES:
                return found, True
            found.append(Message(*row))
            size += len(row[-1])
        return found, False

    def revive(self, space: str, number: int) -> bool:
        """Put a dead message back into its queue, with all of its attempts."""
        with self._store.change(space) as change:
            row = self._dead_row(change, number)
            if row is None:
                return False
            self._database.run(
                "UPDATE messages SET dead = 0, attempts = 0, receipt = 0, ready = ? WHERE id = ?",
                (change.now, number),
            )
            change.queues.add(row[0])
            return True

    def drop(self, space: str, number: int) -> bool:
        """Delete a dead message."""
        with self._store.change(space) as change:
            row = self._dead_row(change, number)
            if row is not None:
                change.remove_message(number, row[1])
            return row is not None

    def tallies(self, space: str) -> list[Tally]:
        """Each queue that has messages."""
        rows = self._database.rows(
            "SELECT queue, sum(dead = 0 AND ready <= ?), sum(dead = 0 AND ready > ?), sum(dead) "
            "FROM messages WHERE space = ? GROUP BY queue ORDER BY queue",
            (now := self._store.clock(), now, self._store.space_id(space)),
        )
        return [Tally(*row) for row in rows]

    def _held(self, change: Change, number: int, receipt: int) -> tuple[int, int, int, str]:
        row = self._database.row(
            f"SELECT {MESSAGE_SIZE}, attempts, most, queue FROM messages "
            "WHERE id = ? AND space = ? AND receipt = ? AND dead = 0",
            (number, change.space, receipt),
        )
        if row is None or not receipt:
            raise conflict(f"message {number} is no longer held: it was taken again, or has ended")
        size, attempts, most, queue = row
        return size, attempts, most, queue

    def _bury(self, change: Change, number: int, former: str, reason: str) -> None:
        """Make a message dead, for a reason in place of its former one."""
        change.reason_bytes += len(reason.encode()) - len(former.encode())
        self._database.run(
            "UPDATE messages SET dead = 1, receipt = 0, reason = ? WHERE id = ?", (reason, number)
        )

    def _dead_row(self, change: Change, number: int) -> tuple[str, int] | None:
        row = self._database.row(
            f"SELECT queue, {MESSAGE_SIZE} FROM messages WHERE id = ? AND space = ? AND dead = 1",
            (number, change.space),
        )
        return None if row is None else (row[0], row[1])
