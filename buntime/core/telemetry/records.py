"""Log records, and the forms in which they are written: JSON lines, pretty text, the journal's.

Another thread writes a record than the one that made it, so its values must not change any more.
Formatting is pure and accepts any value: whatever a client, an app or a faulty object puts into a
record, it can neither break a line in two, nor reach a terminal as a control sequence, nor stop the
log.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quote
from typing import Self

from buntime.core.errors import UsageError
from buntime.core.values.protocols import Protocol
from buntime.core.values.regex import regex
from buntime.core.values.tuples import QuickTuple

# An unknown object in a field is written as its repr, up to this many characters.
REPR_CHARS = 1000


class Level(IntEnum):
    """How important a record is; `word` is its name in the log and in the settings."""

    word: str

    def __new__(cls, value: int, word: str) -> Self:
        level = int.__new__(cls, value)
        level._value_ = value
        level.word = word
        return level

    DEBUG = 10, "debug"
    INFO = 20, "info"
    WARN = 30, "warn"
    ERROR = 40, "error"

    @classmethod
    def named(cls, word: str) -> Self:
        """`"warn"` -> `Level.WARN`; raises UsageError for any other word."""
        for level in cls:
            if level.word == word.lower():
                return level
        raise UsageError(f"log level {word!r} is unknown; use debug, info, warn or error")


# sd-daemon(3): emergency, alert, critical and error; warning; notice and information; debug.
_LEVEL_PREFIXES = {
    **dict.fromkeys("0123", Level.ERROR),
    "4": Level.WARN,
    **dict.fromkeys("56", Level.INFO),
    "7": Level.DEBUG,
}


def split_level(line: str, default: Level) -> tuple[Level, str]:
    """The level that a line begins with, and the line without it: `"<4>full"`."""
    if line[:1] == "<" and line[2:3] == ">" and line[1] in _LEVEL_PREFIXES:
        return _LEVEL_PREFIXES[line[1]], line[3:]
    return default, line


class Tell(Protocol):
    """How code without a log of its own reports events: `Log.info`, `Log.warn`."""

    def __call__(self, event: str, message: str, /, **fields: object) -> None: ...


class Record(QuickTuple):
    """One event.

    `event` is a stable code for programs, such as "worker.died"; `message` says the same to people,
    in words that may change.
    """

    time: float  # seconds since the epoch
    level: Level
    event: str
    message: str
    fields: Mapping[str, object]


class AccessEntry(QuickTuple):
    """One answered request; it is logged at level info.

    `path` may contain its query, which is cut off when written, because queries can contain
    secrets. `host` is the host that the client addressed, "" if it named none. Anything that does
    not apply to the request (an unknown app has no version, a static site no worker) is None.
    """

    time: float  # seconds since the epoch, when the answer ended
    request_id: str
    method: str
    host: str
    path: str
    app: str | None
    version: str | None
    worker: str | None
    status: int
    bytes: int  # of the answer's body, as sent
    ms: float  # from the request's head to the last byte of the answer
    client: str | None
    trace_id: str = ""  # 32 hex digits, if requests are traced
    span_id: str = ""  # 16


# --- JSON lines -----------------------------------------------------------------------------

OUTPUT = "app.output"  # a line that an app printed
PLUGIN_OUTPUT = "plugin.output"  # a line that a plugin printed

_RESERVED = frozenset(("time", "level", "event", "message"))


def format_json(record: Record) -> str:
    """One line of JSON without its newline, in ASCII: time, level, event, message, the fields.

    A field with the name of one of the first four gets a `_` after its name. A value that JSON
    cannot express (including NaN and infinities) is written as its repr.
    """
    fields = record.fields
    if not _RESERVED.isdisjoint(fields):
        fields = _renamed(fields)
    head = (
        f'{{"time":"{_iso_time(record.time)}","level":"{record.level.word}",'
        f'"event":{_quote(record.event)},"message":{_quote(record.message)}'
    )
    if not fields:
        return head + "}"
    return "".join((head, *[f",{_quote(key)}:{_json(fields[key])}" for key in fields], "}"))


def format_access_json(entry: AccessEntry) -> str:
    """One line of JSON without its newline.

    Built by hand: 1.5 µs, where json.dumps of the same fields takes 8 (CPython 3.11). The writer
    shares the interpreter with the loop, so requests wait for this.
    """
    time, request_id, method, host, target, app, version, worker = entry[:8]
    status, size, ms, client = entry[8:12]
    path = target.partition("?")[0]
    write = _json_known_request if len(path) + len(host) <= _KNOWN_CHARS else _json_request
    return (
        f'{{"time":"{_iso_time(time)}","level":"info","event":"request.access",'
        f'"message":"access","request_id":{_quote(request_id)},'
        f"{write(method, host, path, app, version, worker)}"
        f'"status":{status},"bytes":{size},"ms":{ms:.3f},'
        f'"client":{"null" if client is None else _quote(client)}'
        f"{_json_trace(entry) if entry.trace_id else ''}}}"
    )


def _json_trace(entry: AccessEntry) -> str:
    return f',"trace_id":{_quote(entry.trace_id)},"span_id":{_quote(entry.span_id)}'


def _json_request(
    method: str, host: str, path: str, app: str | None, version: str | None, worker: str | None
) -> str:
    return (
        f'"method":{_quote(method)},"host":{_quote(host)},"path":{_quote(path)},'
        f'"app":{_json(app)},"version":{_json(version)},"worker":{_json(worker)},'
    )


_KNOWN_CHARS = 256  # of a path and a host together; longer ones are not kept
_json_known_request = lru_cache(maxsize=1024)(_json_request)  # clients repeat most requests


def _renamed(fields: Mapping[str, object]) -> dict[str, object]:
    result = {key: value for key, value in fields.items() if key not in _RESERVED}
    for key in _RESERVED.intersection(fields):
        free = key + "_"
        while free in fields:
            free += "_"
        result[free] = fields[key]
    return result


def _json(value: object) -> str:
    if isinstance(value, str):
        return _quote(value)
    try:
        return str(value) if type(value) is int else _encoder.encode(value)
    except Exception:  # noqa: BLE001  # an object's own code may raise anything; the log goes on
        return _quote(_repr(value))


def _repr(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # as above
        return f"<{type(value).__name__} without repr>"
    return text if len(text) <= REPR_CHARS else text[:REPR_CHARS] + "..."


_encoder = json.JSONEncoder(default=_repr, allow_nan=False, separators=(",", ":"))


def _iso_time(time: float) -> str:
    """`"2026-03-01T12:34:56.789Z"`."""
    millis = int(time * 1000)
    known, text = _last_moment[0]
    if known != millis:
        second, milli = divmod(millis, 1000)
        text = f"{_iso_second(second)}{_MILLIS[milli]}Z"
        _last_moment[0] = millis, text
    return text


# Of the last line: under load several fall into one millisecond. A pair, as threads share it.
_last_moment: list[tuple[int, str]] = [(-1, "")]
# A table, because f"{milli:03d}" alone takes a tenth of an access line's time.
_MILLIS = tuple(f".{milli:03d}" for milli in range(1000))


@lru_cache(maxsize=8)  # lines come in order of time, thousands a second
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


# --- pretty text ----------------------------------------------------------------------------

_PLAIN = regex(r'[^\s"=\\]+')
_PLAIN_ITEM = regex(r'[^\s"=\\,]+')
_CONTAINERS = frozenset((str, list, tuple, dict, set, frozenset))
_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_RED, _GREEN, _YELLOW, _CYAN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"
_LEVEL_COLOURS = {Level.DEBUG: _DIM, Level.INFO: _GREEN, Level.WARN: _YELLOW, Level.ERROR: _RED}
_PRIORITIES = {Level.DEBUG: 7, Level.INFO: 6, Level.WARN: 4, Level.ERROR: 3}  # syslog(3)
_STATUS_COLOURS = {2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: _RED}


def format_pretty(record: Record, colour: bool) -> str:
    """`12:34:56.789 WARN  text key=value`, in local time, without the last newline.

    Empty fields are left out, and so is None. A field with several lines, such as a stack, is
    indented below. It contains no escape sequences except those for `colour`.
    """
    head = _pretty_head(record.time, record.level, colour)
    return head + _pretty_body(record, colour)


def format_access_pretty(entry: AccessEntry, colour: bool) -> str:
    """`12:34:56.789 INFO  GET /hello/ 200 1.2ms 512B hello@1.0.0 w3 127.0.0.1 5f0c...`."""
    return _pretty_head(entry.time, Level.INFO, colour) + _access_words(entry, colour)


def format_journal(record: Record) -> str:
    """`<4>text key=value`: the output of format_pretty without the time, which the journal adds.

    Each line begins with its priority, see sd-daemon(3), because the journal takes each line alone.
    """
    priority = f"<{_PRIORITIES[record.level]}>"
    return priority + _pretty_body(record, False).replace("\n", f"\n{priority}")


def format_access_journal(entry: AccessEntry) -> str:
    """`<6>GET /hello/ 200 1.2ms 512B hello@1.0.0 w3 127.0.0.1 5f0c...`."""
    return f"<{_PRIORITIES[Level.INFO]}>" + _access_words(entry, False)


def _pretty_body(record: Record, colour: bool) -> str:
    inline, blocks = [], []
    for key, value in record.fields.items():
        if _is_empty(value):
            continue
        if isinstance(value, str) and "\n" in value:
            blocks.append(_block(key, value, colour))
        else:
            inline.append(f" {_paint(escape(key) + '=', _DIM, colour)}{_pretty_value(value)}")
    return "".join((escape(record.message), *inline, *blocks))


def format_fields(fields: Mapping[str, object]) -> str:
    """`folder=/srv/apps/shop names=A,B`: fields on one line, as in pretty lines."""
    return " ".join(
        f"{escape(key)}={_pretty_value(value)}"
        for key, value in fields.items()
        if not _is_empty(value)
    )


def _is_empty(value: object) -> bool:
    """Whether a value says nothing to people: an app without a version has none to show."""
    return value is None or (type(value) in _CONTAINERS and not value)


def _access_words(entry: AccessEntry, colour: bool) -> str:
    app = entry.app if entry.version is None else f"{entry.app}@{entry.version}"
    words = (
        escape(entry.method),
        escape(entry.path.partition("?")[0]),
        _paint(str(entry.status), _STATUS_COLOURS.get(entry.status // 100, ""), colour),
        f"{entry.ms:.1f}ms",
        f"{entry.bytes}B",
        *[escape(word) for word in (app, entry.worker, entry.client) if word is not None],
        _paint(escape(entry.request_id), _DIM, colour),
    )
    return " ".join(words)


def escape(text: str) -> str:
    """The text with all unprintable characters (controls, ESC, bidi marks, newlines) as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _pretty_head(time: float, level: Level, colour: bool) -> str:
    second, milli = divmod(int(time * 1000), 1000)
    clock = _paint(f"{_local_second(second)}{_MILLIS[milli]}", _DIM, colour)
    return f"{clock} {_paint(f'{level.name:5}', _LEVEL_COLOURS[level], colour)} "


def _paint(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{_RESET}" if colour and code else text


def _pretty_value(value: object) -> str:
    if isinstance(value, BaseException):
        value = _exception_text(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    elif isinstance(value, (list, tuple, set, frozenset)) and value:
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        if all(type(item) is str and _is_plain(item, _PLAIN_ITEM) for item in items):
            return ",".join(items)
    if not isinstance(value, str):
        return escape(_json(value))
    if _is_plain(value, _PLAIN):
        return value
    return '"' + escape(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _is_plain(text: str, plain: re.Pattern[str]) -> bool:
    return text.isprintable() and plain.fullmatch(text) is not None


def _exception_text(exc: BaseException) -> str:
    """`OSError: [Errno 2] No such file`, where JSON has the repr."""
    try:
        return f"{type(exc).__name__}: {exc}"
    except Exception:  # noqa: BLE001  # an object's own code may raise anything; the log goes on
        return _repr(exc)


def _block(key: str, value: str, colour: bool) -> str:
    lines = value.expandtabs(4).removesuffix("\n").split("\n")
    body = "".join(f"\n        {escape(line)}" for line in lines)
    return f"\n    {_paint(escape(key) + ':', _DIM, colour)}{body}"


@lru_cache(maxsize=8)
def _local_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).astimezone().strftime("%H:%M:%S")
