"""The errors of apps, each kind once with its count, for people who ask after they were logged.

Errors are of the same kind if the same exception comes from the same line of code; without a stack,
if their messages are the same except for numbers.
"""

from buntime.core.telemetry.recent import Recent
from buntime.core.values.digests import sha256
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

APPS_MAX = 1000
EACH_MAX = 20  # kinds of errors per version of an app
CHARS_MAX = 8_000_000  # for all stacks together
STACK_MAX_CHARS = 20_000  # the end is kept: what was called last
MESSAGE_MAX_CHARS = 2000

_NUMBERS = regex(r"\d+")
_FRAME = '  File "'
_FRAME_AT = regex(r'  File "([^"\n]{1,1000})", line (\d+)(?:, in ([^\n]{1,200}))?')


class ErrorGroup(NamedTuple):
    """`kind` is "boot" or "request"; message, stack and request are those of the latest error."""

    id: str
    kind: str
    message: str
    where: str  # "app.py:12 in buy"; "" if unknown
    times: int
    first_at: float  # seconds since 1970
    last_at: float
    request_id: str
    stack: str

    def to_json(self, version: str | None) -> dict[str, object]:
        """The form in which the API returns it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "version": version,
            "message": self.message,
            "where": self.where or None,
            "count": self.times,
            "firstAt": round(self.first_at, 3),
            "lastAt": round(self.last_at, 3),
            "requestId": self.request_id or None,
            "stack": self.stack or None,
        }


class ErrorGroups:
    """By `App.key`."""

    def __init__(self) -> None:
        self._recent = Recent[ErrorGroup](each_max=EACH_MAX, apps_max=APPS_MAX, chars_max=CHARS_MAX)

    def __repr__(self) -> str:
        return f"ErrorGroups({self._recent!r})"

    def note(
        self, key: str, kind: str, message: str, stack: str, request_id: str, now: float
    ) -> None:
        """Note an error that happened at `now`, in seconds since 1970."""
        stack, message = stack[-STACK_MAX_CHARS:], message[:MESSAGE_MAX_CHARS]
        where = place_of(stack)
        number = _fingerprint(kind, message, where)
        known = self._recent.get(key, number)
        times, first_at = (known.times, known.first_at) if known is not None else (0, now)
        group = ErrorGroup(
            number, kind, message, where, times + 1, first_at, now, request_id, stack
        )
        self._recent.put(key, number, group, len(stack) + len(message))

    def of_app(self, name: str) -> list[tuple[str | None, ErrorGroup]]:
        """The errors of all versions of an app, each with its version, the newest first."""
        found = [
            (key[len(name) + 1 :] or None, group)
            for key in self._recent.keys_of(name)
            for group in self._recent.of([key])
        ]
        return sorted(found, key=lambda each: -each[1].last_at)


def place_of(stack: str) -> str:
    """The place of a traceback's innermost frame: "/apps/shop/app.py:12 in buy"."""
    begin = stack.rfind(_FRAME)
    found = _FRAME_AT.match(stack, begin) if begin >= 0 else None
    if found is None:
        return ""
    file, line, function = found.groups()
    return f"{file}:{line} in {function}" if function else f"{file}:{line}"


def _fingerprint(kind: str, message: str, where: str) -> str:
    text = message.partition(":")[0] if where else _NUMBERS.sub("0", message)
    return sha256(f"{kind}\n{text}\n{where}".encode("utf-8", "replace")).hex()[:12]
