"""The audit trail as tables of state.db: rows are appended, and removed from its beginning.

Changes outside of state.db are recorded twice. The beginning is a row with the result `begun`, the
end another row, which names the first by its number. `audit_open` has the numbers of those without
an end, with the mark of the process that began them: entries left there by another process were
interrupted, and get an end row that says `unknown`.

Each function is called within a transaction, on the thread that has the connection.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from buntime.core.admin.audittrail import (
    UNKNOWN,
    Change,
    Entry,
    change_of,
    entry_of,
    hash_of,
    text_of,
)
from buntime.core.values.tuples import NamedTuple

if TYPE_CHECKING:
    from sqlite3 import Connection

KEEP_ROWS = 100_000
KEEP_S = 366 * 24 * 3600.0
_REMOVED_MAX = 100  # for each new entry, so that no transaction takes long
_REMOVED = "audit_removed"
_TAKEN = "audit_taken"  # the last line of a spool that is in the trail


class Bounds(NamedTuple):
    """How many rows are kept, and how long."""

    rows: int = KEEP_ROWS
    seconds: float = KEEP_S


_USUAL = Bounds()


def insert(connection: "Connection", change: Change, bounds: Bounds = _USUAL) -> Entry:
    """Append it to the chain."""
    row = connection.execute(
        "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
    ).fetchone()
    if row is None:
        removed = removed_from(connection)
        row = (removed["number"], removed["hash"]) if removed else (0, "")
    entry = entry_of(change, row[0] + 1, row[1])
    text = text_of(entry)
    entry["hash"] = hash_of(text)
    connection.execute(
        "INSERT INTO audit (number, at, actor, action, app, entry, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            entry["number"],
            change.at_s,
            entry["actor"],
            entry["action"],
            entry["app"],
            text,
            entry["hash"],
        ),
    )
    _remove_old(connection, bounds, newest=entry["number"], now_s=change.at_s)
    return entry


def begin(connection: "Connection", change: Change, run: str, bounds: Bounds) -> Entry:
    """Append the beginning of a change; `run` is the mark of this process."""
    entry = insert(connection, change, bounds)
    connection.execute("INSERT INTO audit_open VALUES (?, ?)", (entry["number"], run))
    return entry


def end(
    connection: "Connection", change: Change, begun: int | None, run: str, bounds: Bounds
) -> Entry:
    """Append its end; `begun` is the number of its beginning, if that could be stored."""
    found = connection.execute(
        "DELETE FROM audit_open WHERE number = ? AND run = ?", (begun, run)
    ).rowcount
    return insert(connection, change._replace(begun=begun if found else None), bounds)


def close_left(connection: "Connection", run: str, now_s: float, bounds: Bounds) -> list[Entry]:
    """Append an end for what other processes have begun: nobody knows the outcome."""
    rows = connection.execute(
        "SELECT audit_open.number, entry FROM audit_open LEFT JOIN audit "
        "ON audit.number = audit_open.number WHERE run != ? ORDER BY audit_open.number",
        (run,),
    ).fetchall()
    connection.execute("DELETE FROM audit_open WHERE run != ?", (run,))
    return [
        insert(connection, _unknown(json.loads(text), number, now_s), bounds)
        for number, text in rows
        if text is not None
    ]


def take(
    connection: "Connection", lines: Iterable[tuple[str, Change, str]], now_s: float, bounds: Bounds
) -> list[Entry]:
    """Append what a spool has: for each line its id, the change, and the id of its beginning.

    Lines that were appended before are skipped: the spool may not have been removed then.
    """
    lines = list(lines)
    row = connection.execute("SELECT value FROM about WHERE key = ?", (_TAKEN,)).fetchone()
    known = next((n for n, line in enumerate(lines, 1) if row and line[0] == row[0]), 0)
    numbers: dict[str, int] = {}  # of beginnings without an end, by their ids
    inserted: list[Entry] = []
    for number, change, begun in lines[known:]:
        inserted.append(insert(connection, change._replace(begun=numbers.pop(begun, None)), bounds))
        if change.is_beginning:
            numbers[number] = inserted[-1]["number"]
    entries = {entry["number"]: entry for entry in inserted}
    left = [_unknown(entries[number], number, now_s) for number in numbers.values()]
    inserted += [insert(connection, each, bounds) for each in left]
    if lines:
        connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (_TAKEN, lines[-1][0]))
    return inserted


def removed_from(connection: "Connection") -> dict[str, Any] | None:
    """The last entry that was removed for its age: {"number": 17, "hash": "..."}."""
    row = connection.execute("SELECT value FROM about WHERE key = ?", (_REMOVED,)).fetchone()
    return json.loads(row[0]) if row else None


def _unknown(entry: Entry, number: int, now_s: float) -> Change:
    return change_of(entry)._replace(at_s=now_s, after=None, result=UNKNOWN, begun=number)


def _remove_old(connection: "Connection", bounds: Bounds, *, newest: int, now_s: float) -> None:
    rows = connection.execute(
        "SELECT number, at, hash FROM audit ORDER BY number LIMIT ?", (_REMOVED_MAX,)
    )
    last = None
    for number, at_s, digest in rows:
        if number > newest - bounds.rows and at_s > now_s - bounds.seconds:
            break
        last = {"number": number, "hash": digest}
    if last is not None:
        connection.execute("DELETE FROM audit WHERE number <= ?", (last["number"],))
        connection.execute(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", (_REMOVED, json.dumps(last))
        )
