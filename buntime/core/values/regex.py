"""Regular expressions that are compiled when they are first used.

Compiling one takes 0.2 ms; a start-up declares 140 and uses twenty.
"""

import re
from typing import Any, AnyStr, cast


def regex(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, but it compiles later; so an error in the pattern shows late."""
    return cast("re.Pattern[AnyStr]", _Late(text, flags))


class _Late:
    """Gets each attribute from the compiled pattern, on first use."""

    def __init__(self, text: Any, flags: int) -> None:
        self.pattern = text
        self._flags = flags

    def __repr__(self) -> str:
        return f"regex({self.pattern!r})"

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self.pattern, self._flags), name)  # `re` caches the pattern
        setattr(self, name, found)
        return found
