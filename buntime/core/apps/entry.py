"""The values of a mapping in a file, and errors in such a file; `document` reads it."""

from buntime.core.values.tuples import NamedTuple


class DocumentError(Exception):
    """The file cannot be read. `line` counts from 1, and is 0 where no line is at fault."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line


class Entry(NamedTuple):
    """A key's value: plain Python values, lists and dicts.

    A mapping within the first `levels` is a dict of entries, and a list under one of the keys in
    `lists` is a list of entries, see `document.read_document`.
    """

    value: object
    line: int
