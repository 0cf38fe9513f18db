"""Writes HTTP/1.1 answers: the head in one piece, then a body framed as the head says.

h11's sender is not used because it costs 35 us an answer. Its checks are made here: names are
tokens, values contain no control characters (so no field can be split into two), only the runtime
sets framing fields, and a body has the length that was announced.

    answer = Answer(head, status, fields, size, date=...)
    answer.head            bytes to send first
    answer.frame(data)     bytes to send for a piece of the body
    answer.finish()        bytes to send at its end; raises AnswerError if the body is too short
"""

from collections.abc import Collection, Iterable
from typing import Any

from buntime.core.http1.grammar import TOKEN, VALUE
from buntime.core.http1.head import Head
from buntime.core.http1.phrases import PHRASES
from buntime.core.http1.section import HOP_BY_HOP, nominations
from buntime.core.values.enums import Enum, auto
from buntime.core.values.regex import regex
from buntime.core.values.wording import shown

Pair = tuple[str, str] | list[str]  # a field's name and value

_NAME = regex(TOKEN)
_VALUE = regex(VALUE)
_STATUS_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\n" for status, phrase in PHRASES.items()}
_UPGRADE_REQUIRED = 426
BODILESS = frozenset({204, 205, 304})  # RFC 9110 6.4.1, 15.3.6
# Fields that say how a message is framed or when it was made: only the runtime writes them.
_OURS = HOP_BY_HOP | {"date", "x-request-id"}
FIELDS_MAX = 1000  # per answer; clients accept about 100, and 20,000 blocked the loop for 80 ms
# name as an app wrote it -> (lower-case name, "Name: "), for names found to be valid.
_known_names: dict[str, tuple[str, str]] = {}
_KNOWN_NAMES_MAX = 1024  # an app that invents names must not fill the memory
_KNOWN_NAME_MAX_CHARS = 64
# (name, value) -> (lower-case name, the line to send), for fields that an app repeats.
_known_lines: dict[tuple[str, str], tuple[str, str]] = {}
_KNOWN_LINES_MAX = 512  # 512 KiB including their keys
_KNOWN_LINE_MAX_CHARS = 256


class RepeatedFields(list[list[str]]):
    """An answer's fields that its worker sends again and again. Nothing may change them.

    They may be malformed, as all that workers send; then nothing is known about them.
    """

    __slots__ = ("are_harmless", "written")

    def __init__(self, fields: list[list[str]]) -> None:
        super().__init__(fields)
        self.are_harmless = False  # does none of them act on the whole host?
        self.written: tuple[str, int | None, bool] | None = None  # by `write_fields`


def repeat_fields(message: dict[str, Any]) -> dict[str, Any]:
    """The part of a RESPONSE that its worker will send again, to be kept."""
    fields = message.get("headers")
    return {**message, "headers": RepeatedFields(fields)} if type(fields) is list else message


class AnswerError(Exception):
    """An app's answer cannot be sent as it is; the message says why."""


class Framing(Enum):
    """How the end of an answer's body is marked (RFC 9112 6.3)."""

    NONE = auto()  # there is no body: HEAD, 204, 205, 304
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()  # by the end of the connection: HTTP/1.0 without a length


_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing  # looking up a member by name takes 0.1 us


class Answer:
    """The framing of one answer: its head as bytes, then each piece of its body."""

    __slots__ = ("framing", "head", "keep_alive", "left")

    def __init__(
        self,
        request: Head,
        status: int,
        fields: Collection[tuple[str, str] | list[str]],
        size: int | None,
        date: str,
        request_id: str,
        keep_alive: bool,
    ) -> None:
        """`size` is the length of the whole body in bytes where it is known; `date` is an
        IMF-fixdate.

        Raises AnswerError for a status, a field or a length that cannot be sent.
        """
        if type(status) is not int or not 200 <= status <= 999:
            raise _bad_status(status)
        lines: list[str] = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"]
        write = _write_repeated if type(fields) is RepeatedFields else write_fields
        declared, closes = write(lines, fields)  # type: ignore[arg-type]  # of the fields' type
        bodiless = request.method == "HEAD" or status in BODILESS
        if declared is None:
            length = size
        elif size is not None and size != declared and not bodiless:
            raise AnswerError(f"Content-Length is {declared}, but the body has {size} bytes")
        else:
            length = declared
        if status == _UPGRADE_REQUIRED:  # RFC 9110 15.5.22: it must name a protocol; we have one
            lines.append("upgrade: websocket\r\nconnection: upgrade\r\n")
        self.keep_alive = keep_alive and not closes
        self.left = 0
        if bodiless:
            self.framing = _NONE
            length_of_get = _length_of_get(request.method, status, declared, size)
            if length_of_get is not None:
                lines.append(f"content-length: {length_of_get}\r\n")
        elif length is not None:
            self.framing = _LENGTH
            self.left = length
            lines.append(f"content-length: {length}\r\n")
        elif request.version == "1.1":
            self.framing = _CHUNKED
            lines.append("transfer-encoding: chunked\r\n")
        else:
            self.framing = _CLOSE
            self.keep_alive = False
        if not self.keep_alive:
            lines.append("connection: close\r\n")
        elif request.version == "1.0":
            lines.append("connection: keep-alive\r\n")
        lines.append(f"x-request-id: {request_id}\r\ndate: {date}\r\n\r\n")
        self.head = "".join(lines).encode("latin-1")

    def __repr__(self) -> str:
        return f"Answer({self.framing.name}, {self.left} left)"

    def frame(self, data: bytes) -> tuple[bytes, ...]:
        """The buffers that carry a piece of the body; none where the answer has no body."""
        if not data:
            return ()
        if self.framing is _LENGTH:
            if len(data) > self.left:
                raise AnswerError("the body is longer than its Content-Length")
            self.left -= len(data)
            return (data,)
        if self.framing is _CHUNKED:
            return (b"%x\r\n" % len(data), data, b"\r\n")
        if self.framing is _CLOSE:
            return (data,)
        return ()

    def finish(self) -> bytes:
        """The bytes that end the body. Raises AnswerError where bytes of the body are missing."""
        if self.framing is _LENGTH and self.left:
            raise AnswerError(f"the body ended {self.left} bytes before its Content-Length")
        return b"0\r\n\r\n" if self.framing is _CHUNKED else b""


def check_head(status: int, fields: Collection[Pair]) -> None:
    """Raises AnswerError for a status or fields that cannot be sent, as `Answer` does.

    They may be anything: a worker says them, and nobody has looked at them.
    """
    if type(status) is not int or not 200 <= status <= 999:
        raise _bad_status(status)
    write_fields([], fields)


def _bad_status(status: int) -> AnswerError:
    return AnswerError(f"the status must be a number from 200 to 999, not {shown(status)}")


def phrase_of(status: int) -> str:
    """`404` -> "Not Found"; "" for a status without a name."""
    return PHRASES.get(status, "")


def is_event_stream(fields: Iterable[tuple[str, str] | list[str]]) -> bool:
    """Is this an answer that may stay silent for any length of time?"""
    return any(
        name.lower() == "content-type" and value.lower().startswith("text/event-stream")
        for name, value in fields
    )


def _length_of_get(method: str, status: int, declared: int | None, size: int | None) -> int | None:
    """The Content-Length of an answer without a body: that of the GET answer it replaces, if
    known."""
    if status == 204:
        return None
    if status == 205:
        return 0  # to clients it may have a body, and RFC 9110 15.3.6 forbids one
    if method == "HEAD" and status != 304:
        # The app may have left the body out by itself, so an empty one says nothing about the
        # length.
        return declared if declared is not None else size or None
    return declared


def without_nominated(fields: Iterable[Pair]) -> list[Pair]:
    """An answer's fields, to which others will add theirs.

    Connection ends fields of the answer that it is part of (RFC 9110 7.6.1). So those that it names
    are left out here, before there are any of others; of itself only "close" is left. Pairs come
    from workers: what is malformed stays, for `Answer` to refuse.
    """
    fields = list(fields)
    values = [pair[1] for pair in fields if _is_named(pair, ("connection",))]
    if not values:
        return fields
    nominated = nominations(", ".join(values))
    kept = [pair for pair in fields if not _is_named(pair, nominated | {"connection"})]
    return [*kept, ("connection", "close")] if "close" in nominated else kept


def _is_named(pair: object, names: Collection[str]) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], str)
        and pair[0].lower() in names
    )


def write_fields(
    lines: list[str], fields: Collection[tuple[str, str] | list[str]]
) -> tuple[int | None, bool]:
    """Append each field that may be sent.

    Returns the value of Content-Length, which is not appended, and whether Connection contains
    "close". Raises AnswerError for fields that cannot be sent, or for more than FIELDS_MAX.
    """
    declared: int | None = None
    nominated: set[str] | None = None
    try:
        if len(fields) > FIELDS_MAX:
            raise AnswerError(f"{len(fields)} headers are too many; {FIELDS_MAX} may be sent")
        for pair in fields:
            # A mapping with two keys can be unpacked too. It would be a field here, and none to
            # what asks for its first part, such as what keeps cookies to the app's path.
            if type(pair) is not list and type(pair) is not tuple:
                raise TypeError("a header that is not a pair")
            name, value = pair
            lower, line = _known_lines.get((name, value)) or _make_line(name, value)
            if line:
                lines.append(line)
            elif lower == "content-length":
                declared = _merge_length(declared, value)
            elif lower == "connection":
                nominated = (nominated or set()) | nominations(value)
    except (TypeError, ValueError) as exc:
        raise AnswerError("the headers must be pairs of a name and a value") from exc
    if nominated:
        lines[1:] = [line for line in lines[1:] if line.partition(":")[0].lower() not in nominated]
        return declared, "close" in nominated
    return declared, False


def _write_repeated(lines: list[str], fields: RepeatedFields) -> tuple[int | None, bool]:
    if fields.written is None:
        written = [""]
        declared, closes = write_fields(written, fields)
        fields.written = "".join(written), declared, closes
    text, declared, closes = fields.written
    lines.append(text)
    return declared, closes


def _make_line(name: str, value: str) -> tuple[str, str]:
    """A field's lower-case name and its line, which is "" for fields that are not passed on."""
    lower, start = _known_names.get(name) or _learn_name(name)
    if type(value) is not str or _VALUE.fullmatch(value) is None:
        raise AnswerError(f"the value of header {shown(name)} has characters that cannot be sent")
    if lower == "content-length" or lower in _OURS:
        return lower, ""
    made = lower, f"{start}{value}\r\n"
    # A cookie is usually for one client, and secret.
    if lower != "set-cookie" and len(made[1]) <= _KNOWN_LINE_MAX_CHARS:
        if len(_known_lines) >= _KNOWN_LINES_MAX:
            del _known_lines[next(iter(_known_lines))]
        _known_lines[name, value] = made
    return made


def _learn_name(name: str) -> tuple[str, str]:
    if type(name) is not str or _NAME.fullmatch(name) is None:
        raise AnswerError(f"{shown(name)} is not a header name")
    known = (name.lower(), f"{name}: ")
    if len(name) <= _KNOWN_NAME_MAX_CHARS:
        if len(_known_names) >= _KNOWN_NAMES_MAX:  # only the oldest goes: the others are of use
            del _known_names[next(iter(_known_names))]
        _known_names[name] = known
    return known


def _merge_length(declared: int | None, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise AnswerError(f"Content-Length must be one whole number, not {shown(value)}")
    if declared is not None and declared != int(value):
        raise AnswerError("Content-Length is given twice, with different values")
    return int(value)
