"""Keeps the audit trail in state.db, and tells each entry in the log.

record   what was changed just now, and would be the same if this row were lost with the process
note_of  what is changed in state.db: row and change are one transaction
begin    what is changed elsewhere: a row before it, and one when it is over
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from secrets import token_hex
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

# Who waits for the row of a beginning: a disk that hangs keeps no operator from what he wants.
BEGIN_WAIT_S = 2.0


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


class Begun:
    """A change that is noted as begun. It ends once: by `end`, or by what `run` runs into."""

    def __init__(self, audit: "Audit", change: Change) -> None:
        self.number: int | None = None  # of its row; set on the database's thread
        self.is_over = False
        self._audit = audit
        self._change = change

    def __repr__(self) -> str:
        return f"Begun({self._change.action} {self._change.subject}, {self.number})"

    def end(self, after: object = None, result: str = DONE, *, before: object = None) -> None:
        """Note what has become of it. `before` and `after` as in `record`; without them those of
        the beginning."""
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
        """Do a part of it: an error that ends the request ends the change as well."""
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
        """`run` marks what this process begins, by default at random."""
        self._db = db
        self._log = log
        self._clock = clock
        self._bounds = Bounds(keep_rows, keep_s)
        self._run = run or token_hex(8)
        self._wait_s = wait_s
        db.follow(self._close_left)

    def __repr__(self) -> str:
        return f"Audit({self._db!r})"

    # What was changed

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
        *,
        app: str | None = None,
    ) -> Note:
        """What `record` would keep, for who changes state.db itself."""
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
        return insert(connection, change, self._bounds)

    # What is about to be changed

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
        """Note that a request is about to change something, and have `then` do it.

        It has to call `end` of what it gets, or leave that to an error that it raises. It is called
        when the row is on the disk, or cannot be, or has been waited for long enough.
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
        """What was under way when a process was killed."""
        self._db.ask(
            lambda connection: close_left(connection, self._run, self._clock(), self._bounds),
            self._closed_left,
        )

    def _closed_left(self, result: list[Entry] | BaseException) -> None:
        for entry in result if isinstance(result, list) else ():
            self._log.warn(
                "audit.unknown",
                "a change was begun, and nobody knows how it ended: the process was killed; look "
                "at what it was about",
                **_fields(entry),
            )

    def take_in(self, spool: AuditSpool) -> None:
        """Put what commands have changed without a runtime into the trail; at each opening."""

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
                lines = counted(faults, "line is not a change", "lines are not changes")
                self._warn_of_spool(spool, lines)
            for entry in entries:
                self.tell(entry)
            # Not before all is on the disk.
            if is_there:
                self._db.ask(lambda _: spool.remove(is_whole=not faults), removed)

        def removed(result: BaseException | None) -> None:
            if result is not None:
                self._warn_of_spool(spool, str(result))

        self._db.follow(lambda: self._db.ask(work, taken))

    def _warn_of_spool(self, spool: AuditSpool, why: str) -> None:
        self._log.warn(
            "audit.spool_unreadable",
            "what commands have changed without a runtime is not, or not all, in the audit trail",
            file=spool.path,
            error=why,
        )

    # The log

    def tell(self, entry: Entry) -> None:
        """In the log, when the transaction is done; on the loop's thread."""
        if entry["result"] == BEGUN:
            self._log.info("audit.begun", "an operator changes something", **_fields(entry))
        else:
            self._log.info("audit.changed", "an operator has changed something", **_fields(entry))

    def _kept(self, change: Change, result: Entry | BaseException) -> None:
        if not isinstance(result, BaseException):
            self.tell(result)
            return
        if isinstance(result, StateOff):  # the log is all that there is to be of it
            self.tell(_bare(change))
            return
        told = _bare(change)
        self._log.warn(
            "audit.not_kept",
            "something was changed, and could not be put into the audit trail",
            error=str(result),
            **_fields(told),
        )


def _bare(change: Change) -> dict[str, Any]:
    """It, without what the trail would give it."""
    return {
        **change._asdict(),
        "before": kept_value(change.before),
        "after": kept_value(change.after),
    }


_TOLD = ("number", "hash", "actor", "source", "address", "action", "subject", "app", "result")


def _fields(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the log has of it; the request's id by the name that it has there."""
    fields = {name: told[name] for name in _TOLD if told.get(name) not in (None, "")}
    fields |= {name: told[name] for name in ("before", "after") if told[name] is not None}
    if told.get("begun") is not None:
        fields["begun"] = told["begun"]
    return fields | ({"request_id": told["request"]} if told["request"] else {})
