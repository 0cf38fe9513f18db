"""What a mapping in a file has, and what is wrong with such a file; `document` reads it."""

from buntime.core.values.tuples import NamedTuple


class DocumentError(Exception):
    """The file cannot be read; `line` counts from 1, and is 0 where no line is at fault."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line


class Entry(NamedTuple):
    """What stands behind a key: plain Python values, lists and dicts.

    A mapping above the last of `levels` is a dict of entries, and a list under a key of `lists` is
    one of entries, see `document.read_document`.
    """

    value: object
    line: int
