"""The last error of each app, with its stack, for operators who ask when the log has scrolled
on."""

import time

from buntime.core.telemetry.errorgroups import ErrorGroups
from buntime.core.values.tuples import NamedTuple

APPS_MAX = 1000  # apps of which one is kept; beyond that the oldest is dropped
_STACK_MAX_CHARS = 20_000  # the end is kept, because it has the innermost calls


class LastError(NamedTuple):
    """`kind` is "boot", or "request" with the id of that. `at_s` is seconds since 1970."""

    kind: str
    at_s: float
    message: str
    stack: str
    request_id: str = ""

    def to_json(self) -> dict[str, object]:
        """As the API returns it."""
        return {
            "kind": self.kind,
            "at": round(self.at_s, 3),
            "message": self.message,
            "stack": self.stack or None,
            "requestId": self.request_id or None,
        }


class LastErrors:
    """By `App.key`."""

    def __init__(self) -> None:
        self.groups = ErrorGroups()
        self._known: dict[str, LastError] = {}

    def __repr__(self) -> str:
        return f"LastErrors({len(self._known)} apps)"

    def note(self, key: str, kind: str, message: str, stack: str, request_id: str = "") -> None:
        """It happened now."""
        known = self._known
        known.pop(key, None)
        if len(known) >= APPS_MAX:
            del known[next(iter(known))]
        stack = stack[-_STACK_MAX_CHARS:]
        now = time.time()
        known[key] = LastError(kind, now, message, stack, request_id)
        self.groups.note(key, kind, message, stack, request_id, now)

    def of(self, key: str) -> LastError | None:
        """The last one of an app, "shop@1.2.0"."""
        return self._known.get(key)
