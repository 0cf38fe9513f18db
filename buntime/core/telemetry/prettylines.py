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


def pretty_line(line: Mapping[str, Any], colour: bool) -> str:
    """`12:34:56.789 INFO  cart is empty app=shop version=1.0.0 worker=w3 stream=stdout`."""
    time = _time_of(line.get("time"))
    if line.get("event") == "request.access":
        try:
            return format_access_pretty(_access(line, time), colour)
        except (KeyError, TypeError, ValueError):  # from another version, or not a log line
            pass
    fields = {key: value for key, value in line.items() if key not in _HEAD}
    message = str(line.get("message", ""))
    event, level = str(line.get("event")), _level_of(line.get("level"))
    return format_pretty(Record(time, level, event, message, fields), colour)


def _access(line: Mapping[str, Any], time: float) -> AccessEntry:
    return AccessEntry(
        time=time,
        request_id=_text(line["request_id"]),
        method=_text(line["method"]),
        host=_text(line["host"]),
        path=_text(line["path"]),
        app=_text_or_none(line["app"]),
        version=_text_or_none(line["version"]),
        worker=_text_or_none(line["worker"]),
        status=int(line["status"]),
        bytes=int(line["bytes"]),
        ms=float(line["ms"]),
        client=_text_or_none(line["client"]),
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
