"""Keeps the audit trail in state.db, and tells each entry in the log."""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from buntime.core.admin.audittrail import Change, Entry, entry_of, hash_of, kept_value, text_of
from buntime.server.state.statedb import StateDb
from buntime.server.telemetry.logs import Log

if TYPE_CHECKING:
    from sqlite3 import Connection

    from buntime.server.admin.call import Call

KEEP_ROWS = 100_000
KEEP_S = 366 * 24 * 3600.0
_REMOVED_MAX = 100  # for each entry that comes, so that no transaction is a long one
_REMOVED = "audit_removed"

DONE = "done"


class Note:
    """An entry that is kept in the transaction of what it tells of: neither is there alone."""

    def __init__(self, audit: "Audit", change: Change) -> None:
        self._audit = audit
        self._change = change
        self._entry: Entry | None = None

    def keep(self, connection: "Connection") -> None:
        """Within that transaction; on its thread."""
        self._entry = self._audit.insert(connection, self._change)

    def tell(self) -> None:
        """When it is done: in the log, if there was something to keep."""
        if self._entry is not None:
            self._audit.tell(self._entry)


class Audit:
    """Where changes are noted."""

    def __init__(
        self,
        db: StateDb,
        log: Log,
        *,
        clock: Callable[[], float] = time.time,
        keep_rows: int = KEEP_ROWS,
        keep_s: float = KEEP_S,
    ) -> None:
        self._db = db
        self._log = log
        self._clock = clock
        self._keep_rows = keep_rows
        self._keep_s = keep_s

    def __repr__(self) -> str:
        return f"Audit({self._db!r})"

    def record(
        self,
        call: "Call",
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
        result: str = DONE,
        *,
        app: str | None = None,
    ) -> None:
        """Note what a request has changed; nothing where it was a dry run.

        `action` is the route's name as a rule, `subject` what was changed. `before` and `after` are
        JSON, without values of secrets, keys and `env`. `app` is whose it is, where the path does
        not tell.
        """
        if not call.is_dry_run:
            self.note(self.change(call, action, subject, before, after, result, app=app))

    def note_of(
        self,
        call: "Call",
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
    ) -> Note:
        """What `record` would keep, for who changes state.db itself."""
        return Note(self, self.change(call, action, subject, before, after))

    def change(
        self,
        call: "Call",
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
        result: str = DONE,
        *,
        app: str | None = None,
    ) -> Change:
        """The same as a value."""
        return Change(
            at_s=self._clock(),
            actor=call.caller.name,
            source=call.caller.source,
            address=call.address,
            request=call.exchange.id,
            action=action,
            subject=subject,
            app=app or call.app,
            before=before,
            after=after,
            result=result,
        )

    def own(
        self,
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
        result: str = DONE,
        *,
        source: str = "signal",
        app: str | None = None,
    ) -> None:
        """Note what nobody's request has changed: a signal, a schedule."""
        values = (action, subject, app, before, after, result)
        self.note(Change(self._clock(), source, source, "", "", *values))

    def note(self, change: Change) -> None:
        """Keep it, then tell it."""
        self._db.ask(
            lambda connection: self.insert(connection, change), partial(self._kept, change)
        )

    def insert(self, connection: "Connection", change: Change) -> Entry:
        """Put it at the end of the chain, within the transaction that there is; on its thread."""
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
        self._remove_old(connection, newest=entry["number"], now_s=change.at_s)
        return entry

    def tell(self, entry: Entry) -> None:
        """In the log, when the transaction is done; on the loop's thread."""
        self._log.info("audit.changed", "an operator has changed something", **_fields(entry))

    def _kept(self, change: Change, result: Entry | BaseException) -> None:
        if not isinstance(result, BaseException):
            self.tell(result)
            return
        told = {
            **change._asdict(),
            "before": kept_value(change.before),
            "after": kept_value(change.after),
        }
        self._log.warn(
            "audit.not_kept",
            "something was changed, and could not be put into the audit trail",
            error=str(result),
            **_fields(told),
        )

    def _remove_old(self, connection: "Connection", *, newest: int, now_s: float) -> None:
        rows = connection.execute(
            "SELECT number, at, hash FROM audit ORDER BY number LIMIT ?", (_REMOVED_MAX,)
        )
        last = None
        for number, at_s, told in rows:
            if number > newest - self._keep_rows and at_s > now_s - self._keep_s:
                break
            last = {"number": number, "hash": told}
        if last is not None:
            connection.execute("DELETE FROM audit WHERE number <= ?", (last["number"],))
            connection.execute(
                "INSERT OR REPLACE INTO about VALUES (?, ?)", (_REMOVED, json.dumps(last))
            )


def removed_from(connection: "Connection") -> dict[str, Any] | None:
    """The last entry that was removed for its age: {"number": 17, "hash": "..."}."""
    row = connection.execute("SELECT value FROM about WHERE key = ?", (_REMOVED,)).fetchone()
    return json.loads(row[0]) if row else None


_TOLD = ("number", "hash", "actor", "source", "address", "action", "subject", "app", "result")


def _fields(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the log has of it; the request's id by the name that it has there."""
    fields = {name: told[name] for name in _TOLD if told.get(name) not in (None, "")}
    fields |= {name: told[name] for name in ("before", "after") if told[name] is not None}
    return fields | ({"request_id": told["request"]} if told["request"] else {})
