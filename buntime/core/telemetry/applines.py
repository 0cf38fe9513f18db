"""A line of an app's log: the JSON line of the runtime's log with a number in front.

    {"seq":1772368496789000,"time":"2026-03-01T12:34:56.789Z","level":"info","event":"app.output",...

`seq` increases from line to line, over all apps and restarts, so readers can continue from it. A
runtime starts at the microseconds since the epoch and counts by one: it would have to write more
than a million lines a second to overtake the clock.

The part in front has the same width in each line, so level, time and number are read at fixed
positions of the raw bytes, where an app's own text can never be. Likewise, a field's name with its
quotes and its colon occurs in a line only as a field: a quote inside a text is written `\\"`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from buntime.core.telemetry.records import Level
from buntime.core.values.tuples import NamedTuple

_SEQ = slice(len('{"seq":'), len('{"seq":') + 16)
_TIME = slice(_SEQ.stop + len(',"time":"'), _SEQ.stop + len(',"time":"') + 24)
_LEVEL_AT = _TIME.stop + len('","level":"')
HEAD_BYTES = _LEVEL_AT + 1
_FIRST_LETTERS = {level.word[:1].encode(): level for level in Level}

# The log of what belongs to no app: the runtime's own.
RUNTIME = ""


def app_of(fields: Mapping[str, object]) -> str:
    """The log to which a record with these fields belongs: "shop", "plugin:audit", `RUNTIME`."""
    app = fields.get("app")
    if isinstance(app, str):
        return name_of(app)
    plugin = fields.get("plugin")
    return f"plugin:{plugin}" if isinstance(plugin, str) else RUNTIME


@lru_cache(maxsize=1024)  # each access line has one
def name_of(key: str) -> str:
    """`"@acme/shop@1.2.0"` -> `"@acme/shop"`."""
    at = key.find("@", 1)
    return key if at < 0 else key[:at]


def numbered(line: str, seq: int) -> bytes:
    """A line of the log, which is an ASCII JSON object, with its number and its newline."""
    return f'{{"seq":{seq},{line[1:]}\n'.encode("ascii")


def seq_of(line: bytes) -> int:
    """The number of a line; 0 for anything else, such as a torn line."""
    digits = line[_SEQ]
    return int(digits) if len(digits) == 16 and digits.isdigit() else 0


def time_of(line: bytes) -> bytes:
    """`b"2026-03-01T12:34:56.789Z"`: such texts sort by time."""
    return line[_TIME]


def time_text(seconds: float) -> bytes:
    """Seconds since the epoch in the form of `time_of`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".encode()


class LineFilter(NamedTuple):
    """Which lines somebody wants; all conditions must be met."""

    level: Level = Level.DEBUG  # at least this level
    request: str = ""  # the id of a request
    since: bytes = b""  # as `time_of` returns it
    version: str = ""

    def compiled(self) -> Callable[[bytes], bool]:
        """A function that says whether a line is wanted."""
        letters = b"".join(
            letter for letter, level in _FIRST_LETTERS.items() if level >= self.level
        )
        since = self.since
        texts = [
            b'"%b":"%b"' % (name, text.encode("ascii", "replace"))
            for name, text in ((b"request_id", self.request), (b"version", self.version))
            if text
        ]

        def wants(line: bytes) -> bool:
            return (
                line[_LEVEL_AT] in letters
                and line[_TIME] >= since
                and all(text in line for text in texts)
            )

        return wants
