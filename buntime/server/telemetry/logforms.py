"""The forms in which a batch of the log is written."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from buntime.core.telemetry.records import (
    AccessEntry,
    Level,
    Record,
    format_access_journal,
    format_access_json,
    format_access_pretty,
    format_journal,
    format_json,
    format_pretty,
)
from buntime.core.values.enums import Enum

*_, ERROR = Level

Entry = Record | AccessEntry


class Form(Enum):
    """The format of log lines."""

    JSON = "json"
    PRETTY = "pretty"
    COLOURED = "coloured"
    JOURNAL = "journal"


_FORMATTERS: Mapping[Form, tuple[Callable[[Record], str], Callable[[AccessEntry], str]]] = {
    Form.JSON: (format_json, format_access_json),
    Form.PRETTY: (
        partial(format_pretty, colour=False),
        partial(format_access_pretty, colour=False),
    ),
    Form.COLOURED: (
        partial(format_pretty, colour=True),
        partial(format_access_pretty, colour=True),
    ),
    Form.JOURNAL: (format_journal, format_access_journal),
}


def format_lines(batch: Sequence[Entry], form: Form, clock: Callable[[], float]) -> list[str]:
    """Each record without its last newline; `clock` is used if one is malformed."""
    format_record, format_access = _FORMATTERS[form]
    lines = []
    for entry in batch:
        try:
            if isinstance(entry, AccessEntry):
                lines.append(format_access(entry))
            else:
                lines.append(format_record(entry))
        except Exception as exc:  # noqa: BLE001  # one wrong record must not end the thread
            lines.append(_malformed(entry, exc, clock()))
    return lines


def joined(lines: Sequence[str]) -> bytes:
    """The lines as they are written."""
    return ("\n".join(lines) + "\n").encode()


def _malformed(entry: Entry, exc: Exception, now: float) -> str:
    fields = {"error": exc, "record": entry}
    return format_json(Record(now, ERROR, "log.malformed", "log record is malformed", fields))
