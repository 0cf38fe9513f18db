"""Reads JSON that YAML reads the same way: the few forms that both share, and no others.

Not supported are escapes, exponents, whitespace other than spaces and line ends, and anything that
either format refuses. Callers use YAML's own reader for these.
"""

import re
from collections.abc import Iterator
from typing import Any

from buntime.core.apps.entry import Entry
from buntime.core.values.regex import regex

_DEPTH_MAX = 8
_KEY_MAX_CHARS = 500  # YAML accepts no key that is much longer
_TOKEN = regex(
    r'[ \n]*(?:"([^"\\\n]*)"|([{}\[\],:])|(-?[0-9]+(?:\.[0-9]+)?|true|false|null)(?![\w.+-]))'
)
_DIGITS_MAX = 17  # numbers up to this length are the same in both
_WORDS = {"true": True, "false": False, "null": None}


class NotPlain(Exception):
    """The text uses another form, or is wrong."""


def read_json(text: str, levels: int) -> dict[str, Any]:
    """`'{"a": 1}'` -> `{"a": Entry(1, 1)}`: in the first `levels` of mappings each value is an
    entry, with the line of its key. Raises NotPlain.
    """
    if not text.replace("\n", "").isprintable():
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
        """The next punctuation mark; "" for a string or a word, which is then in `_found`."""
        self._found = _TOKEN.match(self._text, self.at)
        if self._found is None:
            raise NotPlain
        self.at = self._found.end()
        return self._found[2] or ""

    def mapping(self, levels: int, *, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for mark in self._items("}", depth):
            key = self._found[1] if self._found is not None else None
            if mark or key is None or key in made or len(key) > _KEY_MAX_CHARS:
                raise NotPlain
            line = self._text.count("\n", 0, self.at) + 1
            if self.take() != ":":
                raise NotPlain
            value = self._value(self.take(), levels - 1, depth)
            made[key] = Entry(value, line) if levels > 0 else value
        return made

    def _items(self, end: str, depth: int) -> Iterator[str]:
        """The first mark of each item, up to the mark that ends them all."""
        if depth > _DEPTH_MAX:
            raise NotPlain
        mark = self.take()
        while mark != end:
            yield mark
            mark = self.take()
            if mark == ",":
                mark = self.take()
                if mark == end:
                    raise NotPlain
            elif mark != end:
                raise NotPlain

    def _value(self, mark: str, levels: int, depth: int) -> Any:
        if mark == "{":
            return self.mapping(levels, depth=depth + 1)
        if mark == "[":
            return [self._value(each, 0, depth + 1) for each in self._items("]", depth + 1)]
        if mark or self._found is None:
            raise NotPlain
        text, _, word = self._found.groups()
        return text if text is not None else _scalar(word)


def _scalar(word: str) -> object:
    if word in _WORDS:
        return _WORDS[word]
    whole, _, part = word.removeprefix("-").partition(".")
    if (whole != "0" and whole.startswith("0")) or len(whole + part) > _DIGITS_MAX:
        raise NotPlain
    return float(word) if part else int(word)
