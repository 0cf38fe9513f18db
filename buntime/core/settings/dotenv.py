r"""Reads a `.env` file: NAME=VALUE lines, strictly, and without any expansion.

    # a comment                     export NAME=value    as shells write it
    NAME=value  # and another       NAME='as it is'      nothing is special but the closing quote
    NAME=                           NAME="a\n\"b\""      \n \r \t \" \\ \$ stand for characters

A faulty line is an error, not a guess: half a file of settings is worse than none. Messages never
show a value, which may be a secret.
"""

import re

from buntime.core.errors import UsageError
from buntime.core.values.regex import regex

_ASSIGNMENT = regex(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
# A "#" begins a comment at the start or after a blank; elsewhere it is part of the value.
_BARE_END = regex(r"(?:^|[ \t]+)(?:#|$)")
_SINGLE = regex(r"'([^']*)'")
_DOUBLE = regex(r'"((?:[^"\\]|\\.)*)"')
_AFTER_QUOTE = regex(r"[ \t]*(?:#.*)?")
_ESCAPE = regex(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse_dotenv(data: bytes, *, path: str) -> dict[str, str]:
    """`b"PORT=9000"` -> `{"PORT": "9000"}`. Raises UsageError that names `path` and the line."""
    values: dict[str, str] = {}
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}"
        assignment = _parse_line(line.removesuffix(b"\r"), place)
        if assignment is None:
            continue
        name, value = assignment
        if name in values:
            raise UsageError(f"{place}: {name} is given twice; keep one of the lines")
        values[name] = value
    return values


def _parse_line(line: bytes, place: str) -> tuple[str, str] | None:
    """The name and the value; None for an empty line or a comment."""
    try:
        text = line.decode("utf-8").strip(" \t")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{place}: not UTF-8; save the file in this encoding") from exc
    if not text or text.startswith("#"):
        return None
    match = _ASSIGNMENT.fullmatch(text)
    if not match or "\0" in text:
        raise UsageError(f"{place}: not NAME=VALUE, nor a comment that begins with #")
    name, rest = match.groups()
    return name, _parse_value(rest, f"{place}: {name}")


def _parse_value(text: str, place: str) -> str:
    if text.startswith("'"):
        return _quoted(_SINGLE, text, place)
    if text.startswith('"'):
        value = _quoted(_DOUBLE, text, place)
        return _ESCAPE.sub(lambda escape: _unescape(escape[1], place), value)
    return _BARE_END.split(text, maxsplit=1)[0]


def _quoted(form: re.Pattern[str], text: str, place: str) -> str:
    match = form.match(text)
    if not match:
        raise UsageError(f"{place}: the quote is not closed on this line")
    if not _AFTER_QUOTE.fullmatch(text, match.end()):
        raise UsageError(f"{place}: text after the closing quote; a comment begins with #")
    return match[1]


def _unescape(letter: str, place: str) -> str:
    if letter not in _ESCAPES:
        raise UsageError(
            rf"{place}: unknown escape \{letter}; there are \n \r \t \" \\ \$, or use single quotes"
        )
    return _ESCAPES[letter]
