"""Reads JSON that YAML reads the same way: the few forms that both share, and no others.

Not supported are escapes, exponents, whitespace other than spaces and line ends or before a colon,
and anything that either format refuses. Callers use YAML's own reader for these.

The keys that come with a line are read here, and the values below them by the standard library.
"""

import re
from collections.abc import Iterator
from json import JSONDecoder
from typing import Any, NoReturn

from buntime.core.apps.entry import Entry
from buntime.core.values.regex import regex

_DEPTH_MAX = 8
_KEY_MAX_CHARS = 500  # YAML accepts no key that is much longer
_TOKEN = regex(r'[ \n]*(?:"([^"\n]*)"|([{},:]))')
_SPACE = regex(r"[ \n]*")
_DIGITS_MAX = 17  # numbers up to this length are the same in both


class NotPlain(Exception):
    """The text uses another form, or is wrong."""


def read_json(text: str, levels: int) -> dict[str, Any]:
    """`'{"a": 1}'` -> `{"a": Entry(1, 1)}`: in the first `levels` of mappings each value is an
    entry, with the line of its key. Raises NotPlain.
    """
    if "\\" in text or not text.replace("\n", "").isprintable():
        raise NotPlain
    if "\n:" in text or " :" in text:  # YAML wants it on the key's line, and not far away
        raise NotPlain
    reader = _Reader(text)
    if reader.take() != "{":
        raise NotPlain
    made = reader.mapping(levels, depth=1)
    if text[reader.at :].strip(" \n"):
        raise NotPlain
    return made


class _Reader:
    """Holds the position in the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: re.Match[str] | None = None
        self.at = 0

    def take(self) -> str:
        """The next punctuation mark; "" for a string, which is then in `_found`."""
        self._found = _TOKEN.match(self._text, self.at)
        if self._found is None:
            raise NotPlain
        self.at = self._found.end()
        return self._found[2] or ""

    def mapping(self, levels: int, *, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for mark in self._items(depth):
            key = self._found[1] if self._found is not None else None
            if mark or key is None or key in made or len(key) > _KEY_MAX_CHARS:
                raise NotPlain
            line = self._text.count("\n", 0, self.at) + 1
            if self.take() != ":":
                raise NotPlain
            value = self._value(levels - 1, depth)
            made[key] = Entry(value, line) if levels > 0 else value
        return made

    def _items(self, depth: int) -> Iterator[str]:
        """The first mark of each item, up to the brace that ends them all."""
        if depth > _DEPTH_MAX:
            raise NotPlain
        mark = self.take()
        while mark != "}":
            yield mark
            mark = self.take()
            if mark == ",":
                mark = self.take()
                if mark == "}":
                    raise NotPlain
            elif mark != "}":
                raise NotPlain

    def _value(self, levels: int, depth: int) -> Any:
        space = _SPACE.match(self._text, self.at)
        self.at = space.end() if space is not None else self.at
        if levels > 0 and self._text.startswith("{", self.at):
            self.take()
            return self.mapping(levels, depth=depth + 1)
        try:
            value, self.at = _DECODER.raw_decode(self._text, self.at)
        except (ValueError, RecursionError):
            raise NotPlain from None
        if not _is_shallow(value, _DEPTH_MAX - depth):
            raise NotPlain
        return value


def _is_shallow(value: object, most: int) -> bool:
    """Whether no more than so many mappings and lists are within each other."""
    if isinstance(value, dict):
        value = [*value.values()]
    return not isinstance(value, list) or (
        most > 0 and all(_is_shallow(each, most - 1) for each in value)
    )


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs) or any(len(key) > _KEY_MAX_CHARS for key in made):
        raise NotPlain
    return made


def _number(word: str) -> int | float:
    whole, _, part = word.removeprefix("-").partition(".")
    if len(whole + part) > _DIGITS_MAX or not (whole + part).isdecimal():
        raise NotPlain
    return float(word) if part else int(word)


def _refuse(_: str) -> NoReturn:
    raise NotPlain


_DECODER = JSONDecoder(
    object_pairs_hook=_mapping, parse_float=_number, parse_int=_number, parse_constant=_refuse
)
