"""The service `kv` of the plugin keyval, with keys that are tuples.

kv = keyval()
kv.set(("user", 7), {"name": "Ann"}, ttl_s=3600)
for entry in kv.list(("user",)): ...

`async_keyval()` has the same methods, which are awaited, or iterated with `async for`.
"""

from __future__ import annotations

from buntime.sdk.services import ServiceError, async_service, service
from buntime.sdk.tuples import decode, encode, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from typing import Any

    from buntime.sdk.tuples import Key

__all__ = ["AsyncKeyValue", "Atomic", "Entry", "KeyValue", "Message", "async_keyval", "keyval"]

NAME = "kv"


class Entry:
    """An entry: `key`, `value`, `version`, `expires` (seconds since 1970, or None).

    In a watch: version 0 and value None if it was deleted.
    """

    __slots__ = ("expires", "key", "value", "version")

    def __init__(self, key: Key, value: Any, version: int, expires: float | None) -> None:
        self.key = key
        self.value = value
        self.version = version
        self.expires = expires

    def __repr__(self) -> str:
        return f"<Entry {self.key!r} version {self.version}>"


class Message:
    """A message that was taken: `value`, `attempts` (this one included), `id`.

    Call `ack()` when it is done, otherwise it comes again when its time is over; `nack(reason)`
    gives it back at once. With an async client both are awaited.
    """

    __slots__ = ("_receipt", "_service", "attempts", "id", "value")

    def __init__(self, service: Any, number: int, receipt: int, attempts: int, value: Any) -> None:
        self._service = service
        self._receipt = receipt
        self.id = number
        self.attempts = attempts
        self.value = value

    def ack(self) -> Any:
        """Delete it. Raises ServiceError `conflict` if it was taken again meanwhile."""
        return self._service.ack(self.id, self._receipt)

    def nack(self, reason: str = "", delay_s: float = 0) -> Any:
        """Give it back, for another attempt after a delay; after the last attempt it is dead."""
        return self._service.nack(self.id, self._receipt, reason, delay_s)

    def __repr__(self) -> str:
        return f"<Message {self.id} attempt {self.attempts}>"


class Atomic:
    """Changes that are made together, if all checks hold: `kv.atomic().sum(key, 1).commit()`."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._checks: list[Any] = []
        self._mutations: list[Any] = []

    def check(self, key: Key, version: int) -> Atomic:
        """Change nothing unless the key has this version; 0: the key must not exist."""
        self._checks.append([encode(key), version])
        return self

    def set(self, key: Key, value: Any, *, ttl_s: float | None = None) -> Atomic:
        """Set a key to a value, for `ttl_s` seconds or for good."""
        return self._add("set", encode(key), value, ttl_s)

    def delete(self, key: Key) -> Atomic:
        """Delete a key."""
        return self._add("delete", encode(key))

    def sum(self, key: Key, number: float) -> Atomic:
        """Add to the number at a key; a missing key gets this number."""
        return self._add("sum", encode(key), number)

    def min(self, key: Key, number: float) -> Atomic:
        """Keep the smaller of the number at a key and this one."""
        return self._add("min", encode(key), number)

    def max(self, key: Key, number: float) -> Atomic:
        """Keep the larger of the number at a key and this one."""
        return self._add("max", encode(key), number)

    def append(self, key: Key, item: Any) -> Atomic:
        """Append bytes to bytes, or anything else to a list."""
        return self._add("append", encode(key), item)

    def enqueue(self, queue: str, value: Any, *, delay_s: float = 0, attempts: int = 5) -> Atomic:
        """Put a value into a queue; it can be taken after `delay_s` seconds at the earliest."""
        return self._add("enqueue", queue, value, delay_s, attempts)

    def commit(self) -> Any:
        """Make the changes; returns their version. Raises ServiceError `conflict` if a check
        fails."""
        return self._service.atomic(self._checks, self._mutations)

    def _add(self, *mutation: Any) -> Atomic:
        self._mutations.append(list(mutation))
        return self


class _Pages:
    """Goes through a range, page by page."""

    def __init__(
        self, prefix: Key, start: Key | None, end: Key | None, *, reverse: bool, page: int
    ) -> None:
        self._low, self._high = span(prefix)
        self._low = self._low if start is None else encode(start)
        self._high = self._high if end is None else encode(end)
        self._reverse = reverse
        self._page = page
        self.has_more = True

    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the next call of `list`."""
        return self._low, self._high, self._page, self._reverse

    def entries(self, page: Any) -> list[Entry]:
        """The entries of a page, after which the next one begins."""
        self.has_more = page["more"]
        if page["entries"]:
            last = page["entries"][-1][0]
            self._low, self._high = (
                (self._low, last) if self._reverse else (last + b"\0", self._high)
            )
        return [_entry(each) for each in page["entries"]]


class _Client:
    """What both clients share; `_then` calls a function with the result of a call."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def _then(self, call: Any, function: Callable[[Any], Any]) -> Any:
        raise NotImplementedError

    def get(self, key: Key, default: Any = None) -> Any:
        """The value at a key, `default` if there is none."""
        found = self._service.get(encode(key))
        return self._then(found, lambda entry: default if entry is None else entry[1])

    def entry(self, key: Key) -> Any:
        """The Entry at a key, with its version, or None."""
        return self._then(self._service.get(encode(key)), _entry_or_none)

    def get_many(self, keys: Iterable[Key]) -> Any:
        """The Entry, or None, at each of up to 100 keys."""
        found = self._service.get_many([encode(key) for key in keys])
        return self._then(found, lambda entries: [_entry_or_none(each) for each in entries])

    def set(
        self, key: Key, value: Any, *, ttl_s: float | None = None, only_if: int | None = None
    ) -> Any:
        """Write a value, JSON or bytes, for ever or for `ttl_s` seconds; returns its version.

        Raises ServiceError `conflict` if the version at the key is not `only_if`; 0: the key must
        not exist.
        """
        return self._service.set(encode(key), value, ttl_s, only_if)

    def delete(self, key: Key, *, only_if: int | None = None) -> Any:
        """Delete a key; returns whether it existed."""
        return self._service.delete(encode(key), only_if)

    def atomic(self) -> Atomic:
        """Begin a set of changes that are made together."""
        return Atomic(self._service)

    def enqueue(self, queue: str, value: Any, *, delay_s: float = 0, attempts: int = 5) -> Any:
        """Put a message into a queue; it is dead after the last attempt. Returns its id."""
        return self._service.enqueue(queue, value, delay_s, attempts)

    def take(self, queue: str, *, visibility_s: float = 30) -> Any:
        """Take a Message, which nobody else gets for a while; None if none is ready."""
        return self._then(self._service.take(queue, visibility_s), self._message)

    def dead(self, queue: str, *, after: int = 0, limit: int = 100) -> Any:
        """Dead messages, as lists of id, attempts, reason and value; `after` an id."""
        return self._then(self._service.dead(queue, after, limit), lambda page: page["messages"])

    def revive(self, number: int) -> Any:
        """Put a dead message back into its queue, by its id; returns whether there was one."""
        return self._service.revive(number)

    def drop(self, number: int) -> Any:
        """Delete a dead message, by its id; returns whether there was one."""
        return self._service.drop(number)

    def _message(self, taken: Any) -> Message | None:
        return None if taken is None else Message(self._service, *taken)


class KeyValue(_Client):
    """The client that blocks."""

    def _then(self, call: Any, function: Callable[[Any], Any]) -> Any:
        return function(call)

    def list(
        self,
        prefix: Key = (),
        *,
        start: Key | None = None,
        end: Key | None = None,
        reverse: bool = False,
        page: int = 100,
    ) -> Iterator[Entry]:
        """The entries below a prefix, or with start <= key < end, in order; read by pages."""
        pages = _Pages(prefix, start, end, reverse=reverse, page=page)
        while pages.has_more:
            yield from pages.entries(self._service.list(*pages.arguments()))

    def watch(self, prefix: Key = (), *, key: Key | None = None) -> Iterator[Entry | None]:
        """The entries below a prefix, or that at a key, as they change.

        None comes first, and whenever changes may have been missed: then read what you need.
        """
        bounds = _watched(prefix, key)
        while True:
            try:
                with self._service.watch(*bounds) as stream:
                    yield None
                    for item in stream:
                        yield _change(item)
            except ServiceError as exc:
                _pass_if_moved(exc)

    def consume(self, queue: str, *, visibility_s: float = 30) -> Iterator[Message]:
        """The messages of a queue, as they come; waits for more."""
        while True:
            try:
                with self._service.ready(queue) as hints:
                    for _ in hints:
                        while (message := self.take(queue, visibility_s=visibility_s)) is not None:
                            yield message
            except ServiceError as exc:
                _pass_if_moved(exc)


class AsyncKeyValue(_Client):
    """The client whose methods are awaited."""

    async def _then(self, call: Any, function: Callable[[Any], Any]) -> Any:
        return function(await call)

    async def list(
        self,
        prefix: Key = (),
        *,
        start: Key | None = None,
        end: Key | None = None,
        reverse: bool = False,
        page: int = 100,
    ) -> AsyncIterator[Entry]:
        """The entries below a prefix, or with start <= key < end, in order; read by pages."""
        pages = _Pages(prefix, start, end, reverse=reverse, page=page)
        while pages.has_more:
            for entry in pages.entries(await self._service.list(*pages.arguments())):
                yield entry

    async def watch(
        self, prefix: Key = (), *, key: Key | None = None
    ) -> AsyncIterator[Entry | None]:
        """Like that of KeyValue."""
        bounds = _watched(prefix, key)
        while True:
            try:
                stream = await self._service.watch(*bounds)
                try:
                    yield None
                    async for item in stream:
                        yield _change(item)
                finally:
                    await stream.aclose()
            except ServiceError as exc:
                _pass_if_moved(exc)

    async def consume(self, queue: str, *, visibility_s: float = 30) -> AsyncIterator[Message]:
        """The messages of a queue, as they come; waits for more."""
        while True:
            try:
                hints = await self._service.ready(queue)
                try:
                    async for _ in hints:
                        while message := await self.take(queue, visibility_s=visibility_s):
                            yield message
                finally:
                    await hints.aclose()
            except ServiceError as exc:
                _pass_if_moved(exc)


def keyval(timeout_s: float | None = None) -> KeyValue:
    """A client for code that blocks."""
    return KeyValue(service(NAME, timeout_s))


def async_keyval(timeout_s: float | None = None) -> AsyncKeyValue:
    """A client for code on an event loop."""
    return AsyncKeyValue(async_service(NAME, timeout_s))


def _entry(fields: Any) -> Entry:
    key, value, version, expires = fields
    return Entry(decode(key), value, version, expires)


def _entry_or_none(fields: Any) -> Entry | None:
    return None if fields is None else _entry(fields)


def _change(item: Any) -> Entry | None:
    return _entry(item) if isinstance(item, list) else None


def _watched(prefix: Key, key: Key | None) -> tuple[bytes, bytes]:
    if key is None:
        return span(prefix)
    encoded = encode(key)
    return encoded, encoded + b"\0"


def _pass_if_moved(exc: ServiceError) -> None:
    """A reloaded plugin continues in another process."""
    if exc.code != "moved":
        raise exc
