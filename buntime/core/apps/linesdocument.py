"""Reads manifests that are lines such as `ttl: 1h`, where YAML's own reader sees nothing else.

Values are words, whole numbers and durations. Everything else, and all that is faulty, is left to
that reader, which takes 14 ms to import.
"""

from collections.abc import Collection

from buntime.core.apps.entry import Entry
from buntime.core.values.regex import regex

_NUMBER = "0|[1-9][0-9]{0,16}"
_DURATION = "[1-9][0-9]{0,8}(?:ms|[smhd])"
_KEY = "[A-Za-z][A-Za-z0-9_-]{0,99}"
_WORD = "[A-Za-z][A-Za-z0-9_./-]{0,199}(?::[A-Za-z][A-Za-z0-9_]{0,99})?"  # also app.py, app:make
_LINE = regex(rf"({_KEY}): (?:({_NUMBER})|({_DURATION}|{_WORD}))")
_SWITCHES = {"true": True, "false": False}
_NOT_TEXT = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))  # in any case


def read_lines(text: str, verbatim: Collection[str]) -> dict[str, Entry] | None:
    """`"ttl: 1h\\nworkers: 2\\n"` -> `{"ttl": Entry("1h", 1), "workers": Entry(2, 2)}`.

    The values of the keys in `verbatim` stay text. None if a line is anything but a comment at its
    beginning, `key: word`, `key: 12` or `key: 30s`, or a key comes twice.
    """
    if not text.isascii():
        return None
    made: dict[str, Entry] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#") and line.isprintable():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            if line:
                return None
            continue
        key, digits, word = found.groups()
        if key in made or key.lower() in _NOT_TEXT:
            return None
        if key in verbatim:
            value: object = digits or word
        else:
            value = int(digits) if digits else _SWITCHES.get(word, word)
        if isinstance(value, str) and value.lower() in _NOT_TEXT:
            return None
        made[key] = Entry(value, number)
    return made
