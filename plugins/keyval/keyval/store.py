"""Spaces and their entries: reads, and changes, each in one transaction.

A space contains the data of one caller. Its row counts its content, and gives each change the next
version, so no version occurs twice in a space, not even for a key that was deleted meanwhile.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from keyval.errors import conflict, full
from keyval.limits import ENTRY_BYTES, PAGE_MAX_BYTES, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keyval.database import Database

_ALIVE = "(expires IS NULL OR expires > ?)"
_FIELDS = "key, kind, value, version, expires"
# What a message counts with, besides ENTRY_BYTES: its value, queue and reason, in UTF-8.
MESSAGE_SIZE = "length(value) + length(CAST(queue AS BLOB)) + length(CAST(reason AS BLOB))"
_SWEPT = 500  # entries per transaction of a sweep


class Entry(NamedTuple):
    """The value at a key."""

    key: bytes
    kind: int
    data: bytes
    version: int
    expires: float | None  # seconds since 1970


class Space(NamedTuple):
    """The counts of a space."""

    id: int
    name: str
    version: int
    bytes: int
    entries: int
    messages: int


class Change:
    """A transaction of one space that is under way."""

    def __init__(self, database: Database, space: Space, now: float, most_bytes: int) -> None:
        self.database = database
        self.space = space.id
        self.room = most_bytes - space.bytes  # bytes, at its beginning; negative if there is none
        self.version = space.version + 1
        self.now = now
        self.bytes = self.entries = self.messages = 0  # how many more than before
        self.reason_bytes = 0  # the same of reasons, for which no change is refused
        self.reread_bytes = 0  # of values that were modified in place
        self.keys: list[bytes] = []  # that were changed
        self.queues: set[str] = set()  # that got something

    def get(self, key: bytes) -> Entry | None:
        row = self.database.row(
            f"SELECT {_FIELDS} FROM entries WHERE space = ? AND key = ? AND {_ALIVE}",
            (self.space, key, self.now),
        )
        return None if row is None else Entry(*row)

    def check(self, key: bytes, version: int | None) -> None:
        """Raise `conflict` if a key has another version; 0: the key must not exist."""
        if version is None:
            return
        entry = self.get(key)
        found = 0 if entry is None else entry.version
        if found != version:
            raise conflict(f"version {found} is there, not {version}")

    def put(self, key: bytes, kind: int, data: bytes, expires: float | None = None) -> None:
        self._discount(key)
        self.database.run(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)",
            (self.space, key, kind, data, self.version, expires),
        )
        self.entries += 1
        self.bytes += len(key) + len(data) + ENTRY_BYTES
        self.keys.append(key)

    def remove(self, key: bytes) -> None:
        if self._discount(key):
            self.database.run("DELETE FROM entries WHERE space = ? AND key = ?", (self.space, key))
            self.keys.append(key)

    def remove_message(self, number: int, size: int) -> None:
        """Delete a message of this MESSAGE_SIZE."""
        self.database.run("DELETE FROM messages WHERE id = ?", (number,))
        self.messages -= 1
        self.bytes -= size + ENTRY_BYTES

    def _discount(self, key: bytes) -> bool:
        """Subtract the entry at a key from the counts; False if there is none, expired ones
        included."""
        row = self.database.row(
            "SELECT length(value) FROM entries WHERE space = ? AND key = ?", (self.space, key)
        )
        if row is None:
            return False
        self.entries -= 1
        self.bytes -= len(key) + row[0] + ENTRY_BYTES
        return True


class Store:
    """The spaces in a database. `clock` returns seconds since 1970."""

    def __init__(
        self, database: Database, clock: Callable[[], float], limits: Limits | None = None
    ) -> None:
        self.database = database
        self.clock = clock
        self.limits = limits or Limits()
        # Callbacks for each committed change.
        self.listeners: list[Callable[[str, Change], None]] = []

    def space_id(self, name: str) -> int:
        """The id of a space, -1 if there is no such space."""
        row = self.database.row("SELECT id FROM spaces WHERE name = ?", (name,))
        return -1 if row is None else row[0]

    def spaces(self) -> list[Space]:
        return [Space(*row) for row in self.database.rows("SELECT * FROM spaces ORDER BY name")]

    def get(self, space: str, key: bytes) -> Entry | None:
        row = self.database.row(
            "SELECT key, kind, value, entries.version, expires FROM spaces "
            f"JOIN entries ON entries.space = spaces.id WHERE name = ? AND key = ? AND {_ALIVE}",
            (space, key, self.clock()),
        )
        return None if row is None else Entry(*row)

    def page(
        self, space: str, start: bytes, end: bytes, limit: int, *, reverse: bool = False
    ) -> tuple[list[Entry], bool]:
        """The first entries with start <= key < end, and whether there are more.

        At most `limit`, and about 1 MiB of values.
        """
        entries: list[Entry] = []
        size = 0
        order = "DESC" if reverse else "ASC"
        for row in self.database.each(
            f"SELECT {_FIELDS} FROM entries WHERE space = ? AND key >= ? AND key < ? AND {_ALIVE} "
            f"ORDER BY key {order} LIMIT ?",
            (self.space_id(space), start, end, self.clock(), limit + 1),
        ):
            if len(entries) == limit or size >= PAGE_MAX_BYTES:
                return entries, True
            entries.append(Entry(*row))
            size += len(row[0]) + len(row[2])
        return entries, False

    @contextmanager
    def change(self, name: str) -> Iterator[Change]:
        """A change of a space, committed at the end of the block; raises `full` if the space would
        get too large.

        Changes that make a space smaller are allowed even if it is already too large.
        """
        with self.database.writing():
            space = self._row_of(name)
            change = Change(self.database, space, self.clock(), self.limits.space_bytes)
            yield change
            self._check_bounds(space, change)
            self.database.run(
                "UPDATE spaces SET version = ?, bytes = bytes + ?, entries = entries + ?, "
                "messages = messages + ? WHERE id = ?",
                (
                    change.version,
                    change.bytes + change.reason_bytes,
                    change.entries,
                    change.messages,
                    space.id,
                ),
            )
        for listener in self.listeners:
            listener(name, change)

    def clear(self, name: str) -> bool:
        """Delete some of the entries and messages of a space; returns whether there may be more.

        Its row stays, for later versions.
        """
        space = self.space_id(name)
        keys = self.database.rows(
            "SELECT key FROM entries WHERE space = ? LIMIT ?", (space, _SWEPT)
        )
        messages = self.database.rows(
            f"SELECT id, {MESSAGE_SIZE} FROM messages WHERE space = ? LIMIT ?", (space, _SWEPT)
        )
        if keys or messages:
            with self.change(name) as change:
                for (key,) in keys:
                    change.remove(key)
                for number, size in messages:
                    change.remove_message(number, size)
        return len(keys) == _SWEPT or len(messages) == _SWEPT

    def sweep(self) -> bool:
        """Delete some expired entries; returns whether there may be more."""
        rows = self.database.rows(
            "SELECT spaces.name, key FROM entries JOIN spaces ON spaces.id = entries.space "
            "WHERE expires <= ? ORDER BY expires LIMIT ?",
            (self.clock(), _SWEPT),
        )
        expired: dict[str, list[bytes]] = {}
        for name, key in rows:
            expired.setdefault(name, []).append(key)
        for name, keys in expired.items():
            with self.change(name) as change:
                for key in keys:
                    change.remove(key)
        return len(rows) == _SWEPT

    def _row_of(self, name: str) -> Space:
        row = self.database.row("SELECT * FROM spaces WHERE name = ?", (name,))
        if row is None:
            (count,) = self.database.row("SELECT count(*) FROM spaces WHERE bytes > 0")
            if count >= self.limits.spaces:
                raise full(f"there are {count} spaces already; delete some, or raise `spaces`")
            self.database.run("INSERT INTO spaces (name) VALUES (?)", (name,))
            row = self.database.row("SELECT * FROM spaces WHERE name = ?", (name,))
        return Space(*row)

    def _check_bounds(self, space: Space, change: Change) -> None:
        size = space.bytes + change.bytes
        if change.bytes > 0 and size > self.limits.space_bytes:
            raise full(
                f"{space.name} would hold {size} bytes, but {self.limits.space_bytes} are the "
                "most; delete something, or raise `spaceMb`"
            )
        count = space.messages + change.messages
        if change.messages > 0 and count > self.limits.queue_entries:
            raise full(
                f"the queues of {space.name} would hold {count} messages, but "
                f"{self.limits.queue_entries} are the most; take some, or raise `queueEntries`"
            )
