"""The mutations of `atomic`: each is a list of a word and its arguments; all are one transaction.

["set", key, value, ttl_s]  ["delete", key]  ["sum" | "min" | "max", key, number]
["append", key, item]  ["enqueue", queue, value, delay_s, attempts]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyval import queues
from keyval.arguments import a_key, a_name, an_int, optional_seconds, seconds, shown
from keyval.errors import invalid
from keyval.limits import ATTEMPTS_MAX, REREAD_MAX_BYTES
from keyval.values import BYTES, loaded, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyval.store import Change, Entry

_INT_MAX = 2**63 - 1


def mutate(change: Change, mutation: Any) -> None:
    """Make one mutation. Raises ServiceError."""
    if not isinstance(mutation, list) or not mutation or not isinstance(mutation[0], str):
        raise invalid(f"a mutation is a list like ['delete', key], not {shown(mutation)}")
    word, *arguments = mutation
    how, count = _MUTATIONS.get(word, (None, 0))
    if how is None or len(arguments) != count:
        known = ", ".join(f"{name} ({count})" for name, (_, count) in _MUTATIONS.items())
        raise invalid(
            f"there is no mutation {shown(word)} with {len(arguments)} arguments; there are {known}"
        )
    how(change, *arguments)


def put(change: Change, key: Any, value: Any, ttl_s: Any) -> None:
    """Set a key to a value, for `ttl_s` seconds or for good."""
    kind, data = stored(value)
    lifetime_s = optional_seconds(ttl_s, "ttl_s")
    expires = None if lifetime_s is None else change.now + lifetime_s
    change.put(a_key(key), kind, data, expires)


def delete(change: Change, key: Any) -> None:
    """Delete a key."""
    change.remove(a_key(key))


def enqueue(change: Change, queue: Any, value: Any, delay_s: Any, attempts: Any) -> int:
    """Put a value into a queue; returns its number."""
    kind, data = stored(value)
    return queues.enqueue(
        change,
        a_name(queue),
        kind,
        data,
        delay_s=seconds(delay_s, "delay_s"),
        most=an_int(attempts, "attempts", 1, ATTEMPTS_MAX),
    )


def _append(change: Change, key: Any, item: Any) -> None:
    """Append bytes to bytes, anything else to a list; a missing key starts empty."""
    entry = _there(change, key)
    empty: Any = b"" if isinstance(item, bytes) else []
    value = empty if entry is None else loaded(entry.kind, entry.data)
    if isinstance(value, bytes) and isinstance(item, bytes):
        value += item
    elif isinstance(value, list) and not isinstance(item, bytes):
        value.append(item)
    else:
        raise invalid("append takes bytes for a value of bytes, and JSON for a list")
    _put_again(change, key, value, entry and entry.expires)


def _by(combine: Callable[[Any, Any], Any]) -> Callable[..., None]:
    def how(change: Change, key: Any, number: Any) -> None:
        entry = _there(change, key)
        value = _number(number)
        if entry is not None:
            there = None if entry.kind == BYTES else loaded(entry.kind, entry.data)
            value = _number(combine(_number(there), value))
        _put_again(change, key, value, entry and entry.expires)

    return how


def _there(change: Change, key: Any) -> Entry | None:
    """The value to modify in place; a hundred of the largest would take a second."""
    entry = change.get(a_key(key))
    if entry is not None:
        change.reread_bytes += len(entry.data)
        if change.reread_bytes > REREAD_MAX_BYTES:
            raise invalid(
                f"the mutations of one transaction modify more than {REREAD_MAX_BYTES} bytes of "
                "existing values; split them into several transactions"
            )
    return entry


def _put_again(change: Change, key: bytes, value: Any, expires: float | None) -> None:
    """Replace a value; its expiry stays."""
    change.put(key, *stored(value), expires)


def _number(value: Any) -> int | float:
    if type(value) is int and abs(value) <= _INT_MAX:
        return value
    if type(value) is float and abs(value) < float("inf"):
        return value
    raise invalid(f"sum, min and max take numbers of 64 bits, not {shown(value)}")


_MUTATIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "set": (put, 3),
    "delete": (delete, 1),
    "sum": (_by(lambda one, other: one + other), 2),
    "min": (_by(min), 2),
    "max": (_by(max), 2),
    "append": (_append, 2),
    "enqueue": (enqueue, 4),
}
