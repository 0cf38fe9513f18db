"""A line of an app's log: the JSON line of the log with a number in front.

    {"seq":1772368496789000,"time":"2026-03-01T12:34:56.789Z","level":"info","event":"app.output",...

`seq` rises from line to line, over all apps and over restarts, so it is a place to go on from. A
runtime begins with the microseconds since the epoch and counts by one: it would have to write more
than a million lines a second to overtake the clock.

What stands in front has the same width in each line. So level, time and number are read at their
place, from the raw bytes; of an app's own text nothing can stand there. Likewise a field's name
with its quotes and its colon is in a line only where it is a field: a quote inside of a text is
written `\\"`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from buntime.core.telemetry.records import Level
from buntime.core.values.tuples import NamedTuple

_SEQ = slice(len('{"seq":'), len('{"seq":') + 16)
_TIME = slice(_SEQ.stop + len(',"time":"'), _SEQ.stop + len(',"time":"') + 24)
_LEVEL_AT = _TIME.stop + len('","level":"')
HEAD_BYTES = _LEVEL_AT + 1
_FIRST_LETTERS = {level.word[:1].encode(): level for level in Level}

# The log of what is of no app: the runtime's own.
RUNTIME = ""


def app_of(fields: Mapping[str, object]) -> str:
    """Whose log a record with these fields belongs into: "shop", "plugin:audit", `RUNTIME`."""
    app = fields.get("app")
    if isinstance(app, str):
        return name_of(app)
    plugin = fields.get("plugin")
    return f"plugin:{plugin}" if isinstance(plugin, str) else RUNTIME


def name_of(key: str) -> str:
    """`"@acme/shop@1.2.0"` -> `"@acme/shop"`."""
    at = key.find("@", 1)
    return key if at < 0 else key[:at]


def numbered(line: str, seq: int) -> bytes:
    """A line of the log, which is an object of JSON in ASCII, with its number and its newline."""
    return b'{"seq":%d,%b\n' % (seq, line[1:].encode("ascii"))


def seq_of(line: bytes) -> int:
    """The number of a line; 0 for what is no such line, such as one that was torn."""
    digits = line[_SEQ]
    return int(digits) if len(digits) == 16 and digits.isdigit() else 0


def time_of(line: bytes) -> bytes:
    """`b"2026-03-01T12:34:56.789Z"`: such texts have the order of the times."""
    return line[_TIME]


def time_text(seconds: float) -> bytes:
    """Seconds since the epoch as `time_of` gives them."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".encode()


class LineFilter(NamedTuple):
    """Which lines somebody wants; each of them has to be fulfilled."""

    level: Level = Level.DEBUG  # at least
    request: str = ""  # the id of a request
    since: bytes = b""  # as `time_of` has it
    version: str = ""

    def compiled(self) -> Callable[[bytes], bool]:
        """What tells of a line whether it is wanted."""
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
