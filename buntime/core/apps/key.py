"""One row in the table of a manifest's keys."""

from collections.abc import Callable
from typing import Any

from buntime.core.values.kinds import Parser
from buntime.core.values.tuples import NamedTuple


class Key(NamedTuple):
    """One row. `default` is what one would write in the file, None for nothing."""

    name: str
    field: str
    kind: str  # in words
    parse: Parser
    default: object
    meaning: str
    default_words: str = ""  # where the value itself says little
    dump: Callable[[Any], object] = lambda value: value  # to JSON, for the worker
    is_verbatim: bool = False  # scalars stay as written: 3.10 is not 3.1

    @property
    def default_text(self) -> str:
        return self.default_words or str(self.default)
