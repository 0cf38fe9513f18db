"""Regular expressions that are compiled when they are first used.

To compile one takes 0.2 ms, and a start declares 140, of which it uses twenty.
"""

import re
from typing import Any, AnyStr, cast


def regex(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, but for the moment in which it is done; so a fault in it shows late."""
    return cast("re.Pattern[AnyStr]", _Late(text, flags))


class _Late:
    """What is asked of it is that of the compiled one, and asked for once."""

    def __init__(self, text: Any, flags: int) -> None:
        self.pattern = text
        self._flags = flags

    def __repr__(self) -> str:
        return f"regex({self.pattern!r})"

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self.pattern, self._flags), name)  # which keeps what it compiles
        setattr(self, name, found)
        return found
