"""Keeps the audit trail in state.db, and writes each entry to the log.

record   a change made just now, which stands even if this row is lost with the process
note_of  a change in state.db: row and change share one transaction
begin    a change made elsewhere: one row before it, and one when it is over
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from buntime.core.admin.audittrail import BEGUN, DONE, Change, Entry, kept_value
from buntime.core.errors import HttpError, StateOff
from buntime.core.values.wording import counted
from buntime.server.state.auditspool import AuditSpool
from buntime.server.state.audittable import (
    KEEP_ROWS,
    KEEP_S,
    Bounds,
    begin,
    close_left,
    end,
    insert,
    take,
)
from buntime.server.state.statedb import StateDb
from buntime.server.telemetry.logs import Log

if TYPE_CHECKING:
    from sqlite3 import Connection

    from buntime.server.admin.call import Call

# How long a change waits for its first row: a disk that hangs must not block an operator.
BEGIN_WAIT_S = 2.0


class Note:
    """An entry kept in the same transaction as the change it describes: both or neither."""

    def __init__(self, audit: "Audit", change: Change) -> None:
        self._audit = audit
        self._change = change
        self._entry: Entry | None = None

    def keep(self, connection: "Connection") -> None:
        """Write it within that transaction; on the database's thread."""
        self._entry = self._audit.insert(connection, self._change)

    def tell(self) -> None:
        """Write it to the log once the transaction is done, if there was something to keep."""
        if self._entry is not None:
            self._audit.tell(self._entry)


class Begun:
    """A change noted as begun. It ends once: by `end`, or by an error in `run`."""

    def __init__(self, audit: "Audit", change: Change) -> None:
        self.number: int | None = None  # of its row; set on the database's thread
        self.is_over = False
        self._audit = audit
        self._change = change

    def __repr__(self) -> str:
        return f"Begun({self._change.action} {self._change.subject}, {self.number})"

    def end(self, after: object = None, result: str = DONE, *, before: object = None) -> None:
        """Note how it ended. `before` and `after` as in `record`; without them, those given at the
        start hold."""
        if self.is_over:
            return
        self.is_over = True
        change = self._change
        self._audit.note_end(
            self,
            change._replace(
                before=change.before if before is None else before,
                after=change.after if after is None else after,
                result=result,
            ),
        )

    def run(self, act: Callable[[], None]) -> None:
        """Do a part of the change: an error that ends the request also ends the change."""
        try:
            act()
        except HttpError as error:
            self.end(result=error.code)
            raise
        except BaseException:
            self.end(result="internal")
            raise


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
        run: str = "",
        wait_s: float = BEGIN_WAIT_S,
    ) -> None:
        """`run` identifies changes begun by this process; random by default."""
        self._db = db
        self._log = log
        self._clock = clock
        self._bounds = Bounds(keep_rows, keep_s)
        self._run = run or os.urandom(8).hex()
        self._wait_s = wait_s
        db.follow(self._close_left)

    def __repr__(self) -> str:
        return f"Audit({self._db!r})"

    # Changes already made

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
        """Note what a request has changed; nothing for a dry run.

        `action` is usually the route's name, `subject` what was changed. `before` and `after` are
        JSON, without values of secrets, keys and `env`. `app` is the app concerned, if the path
        does not name it.
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
        *,
        app: str | None = None,
    ) -> Note:
        """What `record` would keep, for callers that change state.db themselves."""
        return Note(self, self.change(call, action, subject, before, after, app=app))

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
        """The same as a plain value."""
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
        """Note a change that no request made: by a signal or a schedule."""
        values = (action, subject, app, before, after, result)
        self.note(Change(self._clock(), source, source, "", "", *values))

    def note(self, change: Change) -> None:
        """Keep it, then log it."""
        self._db.ask(
            lambda connection: self.insert(connection, change), partial(self._kept, change)
        )

    def insert(self, connection: "Connection", change: Change) -> Entry:
        """Append it to the chain, within the current transaction; on the database's thread."""
        return insert(connection, change, self._bounds)

    # Changes about to be made

    def begin(
        self,
        call: "Call",
        subject: str,
        before: object = None,
        after: object = None,
        *,
        then: Callable[[Begun], None],
        app: str | None = None,
    ) -> None:
        """Note that a request is about to change something, then have `then` do it.

        `then` must call `end` on the `Begun` it gets, or raise an error that ends it. It is called
        once the row is on the disk, or cannot be written, or has taken too long.
        """
        change = self.change(call, call.route.name, subject, before, after, BEGUN, app=app)
        begun = Begun(self, change)
        called: list[bool] = []

        def go_on() -> None:
            if not called:
                called.append(True)
                call.guard(lambda: begun.run(lambda: then(begun)))

        def work(connection: "Connection") -> Entry:
            entry = begin(connection, change, self._run, self._bounds)
            begun.number = entry["number"]
            return entry

        def kept(result: Entry | BaseException) -> None:
            timer.cancel()
            self._kept(change, result)
            go_on()

        timer = self._db.loop.call_later(self._wait_s, go_on)
        self._db.ask(work, kept)

    def note_end(self, begun: Begun, change: Change) -> None:
        """For `Begun.end`."""
        change = change._replace(at_s=self._clock())
        self._db.ask(
            lambda connection: end(connection, change, begun.number, self._run, self._bounds),
            partial(self._kept, change),
        )

    def _close_left(self) -> None:
        """Close changes that were under way when a process was killed."""
        self._db.ask(
            lambda connection: close_left(connection, self._run, self._clock(), self._bounds),
            self._closed_left,
        )

    def _closed_left(self, result: list[Entry] | BaseException) -> None:
        for entry in result if isinstance(result, list) else ():
            self._log.warn(
                "audit.unknown",
                "a change was begun, but its result is unknown, as the process was killed; check "
                "what it was changing",
                **_fields(entry),
            )

    def take_in(self, spool: AuditSpool) -> None:
        """Move changes that commands made without a runtime into the trail; at each opening."""

        def work(connection: "Connection") -> tuple[list[Entry], int, bool]:
            lines, faults = spool.read()
            entries = take(connection, lines, self._clock(), self._bounds)
            return entries, faults, bool(lines or faults)

        def taken(result: tuple[list[Entry], int, bool] | BaseException) -> None:
            if isinstance(result, BaseException):
                self._warn_of_spool(spool, str(result))
                return
            entries, faults, is_there = result
            if faults:
                lines = counted(faults, "line cannot be read", "lines cannot be read")
                self._warn_of_spool(spool, lines)
            for entry in entries:
                self.tell(entry)
            # Not until everything is on the disk.
            if is_there:
                self._db.ask(lambda _: spool.remove(is_whole=not faults), removed)

        def removed(result: BaseException | None) -> None:
            if result is not None:
                self._warn_of_spool(spool, str(result))

        self._db.follow(lambda: self._db.ask(work, taken))

    def _warn_of_spool(self, spool: AuditSpool, why: str) -> None:
        self._log.warn(
            "audit.spool_unreadable",
            "the audit trail lacks changes that commands made while no runtime was running",
            file=spool.path,
            error=why,
        )

    # The log

    def tell(self, entry: Entry) -> None:
        """Write it to the log once the transaction is done; on the loop's thread."""
        if entry["result"] == BEGUN:
            self._log.info("audit.begun", "an operator began a change", **_fields(entry))
        else:
            self._log.info("audit.changed", "an operator made a change", **_fields(entry))

    def _kept(self, change: Change, result: Entry | BaseException) -> None:
        if not isinstance(result, BaseException):
            self.tell(result)
            return
        if isinstance(result, StateOff):  # the log is then the only record
            self.tell(_bare(change))
            return
        entry = _bare(change)
        self._log.warn(
            "audit.not_kept",
            "a change could not be written to the audit trail",
            error=str(result),
            **_fields(entry),
        )


def _bare(change: Change) -> dict[str, Any]:
    """The change, without the fields that the trail would add."""
    return {
        **change._asdict(),
        "before": kept_value(change.before),
        "after": kept_value(change.after),
    }


_LOGGED = ("number", "hash", "actor", "source", "address", "action", "subject", "app", "result")


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields for the log, with the request's id under the name used there."""
    fields = {name: entry[name] for name in _LOGGED if entry.get(name) not in (None, "")}
    fields |= {name: entry[name] for name in ("before", "after") if entry[name] is not None}
    if entry.get("begun") is not None:
        fields["begun"] = entry["begun"]
    return fields | ({"request_id": entry["request"]} if entry["request"] else {})
