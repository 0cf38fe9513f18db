"""Turns a line of an app's log, already parsed from JSON, into text for people, as the runtime
would have written it in its pretty form. The line may contain anything; no control character
reaches the terminal.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from buntime.core.errors import UsageError
from buntime.core.telemetry.records import (
    AccessEntry,
    Level,
    Record,
    format_access_pretty,
    format_pretty,
)

_HEAD = frozenset(("seq", "time", "level", "event", "message"))


def pretty_line(told: Mapping[str, Any], colour: bool) -> str:
    """`12:34:56.789 INFO  cart is empty app=shop version=1.0.0 worker=w3 stream=stdout`."""
    time = _time_of(told.get("time"))
    if told.get("event") == "request.access":
        try:
            return format_access_pretty(_access(told, time), colour)
        except (KeyError, TypeError, ValueError):  # from another version, or not a log line
            pass
    fields = {key: value for key, value in told.items() if key not in _HEAD}
    message = str(told.get("message", ""))
    event, level = str(told.get("event")), _level_of(told.get("level"))
    return format_pretty(Record(time, level, event, message, fields), colour)


def _access(told: Mapping[str, Any], time: float) -> AccessEntry:
    return AccessEntry(
        time=time,
        request_id=_text(told["request_id"]),
        method=_text(told["method"]),
        host=_text(told["host"]),
        path=_text(told["path"]),
        app=_text_or_none(told["app"]),
        version=_text_or_none(told["version"]),
        worker=_text_or_none(told["worker"]),
        status=int(told["status"]),
        bytes=int(told["bytes"]),
        ms=float(told["ms"]),
        client=_text_or_none(told["client"]),
    )


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _time_of(value: object) -> float:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _level_of(value: object) -> Level:
    try:
        return Level.named(str(value))
    except UsageError:
        return Level.INFO
