"""The API below /keyval/api, for operators: the runtime lets nobody in without a key.

| path | methods |
|---|---|
| `/api/spaces` | GET; DELETE `?space=`: all that is in it |
| `/api/entries?space=` | GET `&prefix=&after=&limit=` |
| `/api/entry?space=&key=` | GET, PUT, DELETE; the body is the value, ETag its version |
| `/api/queues?space=` | GET |
| `/api/messages?space=&queue=` | GET `&dead=&after=&limit=`; POST: the body is put into the queue |
| `/api/messages/dead?space=&id=` | POST: have it taken anew; DELETE |
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from buntime import Response, ServiceError
from buntime.tuples import span
from keyval import queues as queueing
from keyval.arguments import VERSION_MAX, a_name, a_version, an_int, optional_seconds
from keyval.errors import CONFLICT, DISK, FULL, INVALID, invalid
from keyval.keytext import key_of, text_of
from keyval.limits import PAGE_MAX
from keyval.values import BYTES, JSON, stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from buntime import AsyncRequest
    from keyval.queues import Queues
    from keyval.store import Entry, Store

_STATUSES = {INVALID: 400, CONFLICT: 412, FULL: 507, DISK: 503}
_PREVIEW = 200  # characters
# Values written by apps are never served as a page, whatever they contain.
_FIELDS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}
_KIND_NAMES = {JSON: "json", BYTES: "bytes"}


class Web:
    """Answers requests of operators."""

    def __init__(self, store: Store, queues: Queues) -> None:
        self._store = store
        self._queues = queues
        self._paths: dict[str, dict[str, Callable[[AsyncRequest], Awaitable[Response]]]] = {
            "/api/spaces": {"GET": self._spaces, "DELETE": self._clear},
            "/api/entries": {"GET": self._entries},
            "/api/entry": {"GET": self._entry, "PUT": self._put, "DELETE": self._delete},
            "/api/queues": {"GET": self._tallies},
            "/api/messages": {"GET": self._messages, "POST": self._enqueue},
            "/api/messages/dead": {"POST": self._revive, "DELETE": self._drop},
        }

    async def answer(self, request: AsyncRequest) -> Response:
        methods = self._paths.get(request.path)
        if methods is None:
            return _error(request, 404, "not_found", "the API has no such path")
        method = methods.get(request.method)
        if method is None:
            message = f"this path takes {', '.join(methods)}"
            return _error(
                request, 405, "method_not_allowed", message, {"allow": ", ".join(methods)}
            )
        try:
            return await method(request)
        except ServiceError as exc:
            return _error(request, _STATUSES.get(exc.code, 500), exc.code, str(exc))

    async def _spaces(self, _: AsyncRequest) -> Response:
        found = [space for space in self._store.spaces() if space.bytes > 0]
        fields = ("name", "bytes", "entries", "messages")
        rows = [{name: getattr(space, name) for name in fields} for space in found]
        return _json({"spaces": rows, "most": self._store.limits.space_bytes})

    async def _clear(self, request: AsyncRequest) -> Response:
        """Delete in small steps, so that no call waits for all of it."""
        return _json({"more": self._store.clear(_space(request))})

    async def _entries(self, request: AsyncRequest) -> Response:
        query = request.query
        start, end = span(())
        if query.get("prefix"):
            prefix = key_of(query["prefix"], may_be_empty=True)
            start, end = prefix + b"\x00", prefix + b"\xff"
        if query.get("after"):
            start = max(start, key_of(query["after"]) + b"\x00")
        entries, more = self._store.page(_space(request), start, end, _limit(request))
        return _json({"entries": [_entry_json(entry) for entry in entries], "more": more})

    async def _entry(self, request: AsyncRequest) -> Response:
        entry = self._store.get(_space(request), _key(request))
        if entry is None:
            return _error(request, 404, "not_found", "nothing is at this key")
        fields = {**_FIELDS, "etag": f'"{entry.version}"'}
        if entry.expires is not None:
            fields["x-expires"] = f"{entry.expires:.3f}"
        if entry.kind == BYTES:
            return Response(entry.data, headers=fields)
        body = readable(entry.data)
        return Response(body, headers=fields, content_type="application/json")

    async def _put(self, request: AsyncRequest) -> Response:
        kind, data = await _value(request)
        ttl_s = optional_seconds(_number(request.query.get("ttl"), float), "ttl")
        with self._store.change(_space(request)) as change:
            key = _key(request)
            change.check(key, _expected(request))
            change.put(key, kind, data, None if ttl_s is None else change.now + ttl_s)
        return _json({"version": change.version})

    async def _delete(self, request: AsyncRequest) -> Response:
        with self._store.change(_space(request)) as change:
            key = _key(request)
            change.check(key, _expected(request))
            change.remove(key)
        return _json({"deleted": bool(change.keys)})

    async def _tallies(self, request: AsyncRequest) -> Response:
        tallies = self._queues.tallies(_space(request))
        return _json({"queues": [tally._asdict() for tally in tallies]})

    async def _messages(self, request: AsyncRequest) -> Response:
        found, more = self._queues.look(
            _space(request),
            _queue(request),
            dead=request.query.get("dead") == "1",
            after=an_int(_number(request.query.get("after", "0"), int), "after", 0, VERSION_MAX),
            limit=_limit(request),
        )
        rows = [
            {
                "id": each.id,
                "attempts": each.attempts,
                "ready": each.ready,
                "reason": each.reason,
                "preview": _preview(each.kind, each.data),
            }
            for each in found
        ]
        return _json({"messages": rows, "more": more})

    async def _enqueue(self, request: AsyncRequest) -> Response:
        kind, data = await _value(request)
        queue = _queue(request)
        with self._store.change(_space(request)) as change:
            number = queueing.enqueue(change, queue, kind, data, delay_s=0.0, most=5)
        return _json({"id": number})

    async def _revive(self, request: AsyncRequest) -> Response:
        return _json({"revived": self._queues.revive(_space(request), _id(request))})

    async def _drop(self, request: AsyncRequest) -> Response:
        return _json({"deleted": self._queues.drop(_space(request), _id(request))})


def readable(data: bytes) -> bytes:
    """Indented JSON, with characters unescaped if UTF-8 has them."""
    value = json.loads(data)
    try:
        return json.dumps(value, ensure_ascii=False, indent=2).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value, indent=2).encode()


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "key": text_of(entry.key),
        "version": entry.version,
        "expires": entry.expires,
        "kind": _KIND_NAMES[entry.kind],
        "bytes": len(entry.data),
        "preview": _preview(entry.kind, entry.data),
    }


def _preview(kind: int, data: bytes) -> str:
    """The first characters of a value."""
    if kind == BYTES:
        return data[: _PREVIEW // 2].hex()
    return json.dumps(json.loads(data), ensure_ascii=False)[:_PREVIEW]


async def _value(request: AsyncRequest) -> tuple[int, bytes]:
    """The value of a body, by its content type."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.bytes()
    if media == "application/octet-stream":
        return stored(body)
    if media != "application/json":
        raise invalid("send a value as application/json or application/octet-stream")
    try:
        return stored(json.loads(body))
    except (ValueError, RecursionError) as exc:
        raise invalid(f"the body is not JSON: {exc}") from None


def _expected(request: AsyncRequest) -> int | None:
    """The version that If-Match and If-None-Match require."""
    if request.headers.get("if-none-match", "").strip() == "*":
        return 0
    tag = request.headers.get("if-match")
    return None if tag is None else a_version(_number(tag.strip().strip('"'), int))


def _space(request: AsyncRequest) -> str:
    return a_name(request.query.get("space"), "a space")


def _queue(request: AsyncRequest) -> str:
    return a_name(request.query.get("queue"))


def _key(request: AsyncRequest) -> bytes:
    return key_of(request.query.get("key", ""))


def _id(request: AsyncRequest) -> int:
    return an_int(_number(request.query.get("id"), int), "id", 1, VERSION_MAX)


def _limit(request: AsyncRequest) -> int:
    return an_int(_number(request.query.get("limit", "100"), int), "limit", 1, PAGE_MAX)


def _number(text: str | None, kind: type[int] | type[float]) -> Any:
    """A number in a query or field; anything else is refused by later checks, as is what is longer
    than any number that is meant."""
    if text is None or len(text) > 30:
        return text
    try:
        return kind(text)
    except ValueError:
        return text


def _json(value: Any) -> Response:
    return Response.json(value, headers=_FIELDS)


def _error(
    request: AsyncRequest,
    status: int,
    code: str,
    message: str,
    fields: dict[str, str] | None = None,
) -> Response:
    error = {"code": code, "message": message, "requestId": request.id}
    return Response.json({"error": error}, status, {**_FIELDS, **(fields or {})})
