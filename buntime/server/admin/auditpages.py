"""Answers `GET /api/audit`: the audit trail in pages, the newest entries first."""

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from buntime.core.errors import ClientFault
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.state.audittable import removed_from
from buntime.server.state.statedb import StateDb

if TYPE_CHECKING:
    from sqlite3 import Connection


class AuditPages:
    """Serves this page."""

    def __init__(self, db: StateDb) -> None:
        self._db = db

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"audit.list": self._list}

    def _list(self, call: Call) -> None:
        query = call.query
        cursor = query["cursor"]
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise ClientFault(400, "bad_query", "cursor must be the `next` of an earlier page")
        work = partial(_page, query=query, before=int(cursor) if cursor else None)
        self._db.ask(work, lambda result: call.guard(lambda: _answer(call, result)))


def _answer(call: Call, result: dict[str, Any] | BaseException) -> None:
    if isinstance(result, BaseException):
        raise result
    call.answer(result)


def _page(
    connection: "Connection", *, query: Mapping[str, Any], before: int | None
) -> dict[str, Any]:
    wheres, values = ["1"], list[object]()
    if before is not None:
        wheres.append("number < ?")
        values.append(before)
    for name in ("app", "actor", "action"):
        value = query[name]
        if name == "action" and value is not None and value.endswith(".*"):
            wheres.append("action >= ? AND action < ?")  # "." to "/", the next character
            values += [value[:-1], value[:-2] + "/"]
        elif value is not None:
            wheres.append(f"{name} = ?")
            values.append(value)
    limit = query["limit"]
    rows = connection.execute(
        f"SELECT number, entry, hash FROM audit WHERE {' AND '.join(wheres)} "
        "ORDER BY number DESC LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    entries = [{**json.loads(entry), "hash": digest} for _, entry, digest in rows[:limit]]
    more = str(rows[limit - 1][0]) if len(rows) > limit else None
    return {"entries": entries, "next": more, "removed": removed_from(connection)}
