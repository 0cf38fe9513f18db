"""What commands print: rows for people in columns, or the API's JSON as it came.

In text from another machine everything that could move the terminal's cursor is escaped.
"""

import json
import sys
from collections.abc import Sequence

from buntime.core.telemetry.records import escape

_WIDTH_MAX = 60  # for all columns but the last: one long word must not push the others away


def print_json(value: object) -> None:
    """One value, with its lines indented."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def print_line(value: object) -> None:
    """One value in one line, flushed at once: NDJSON."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people, flushed at once."""
    sys.stdout.write(escape(text) + "\n")
    sys.stdout.flush()


def print_rows(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns below their names. None is shown as "-"."""
    texts = [[escape("-" if each is None else str(each)) for each in row] for row in rows]
    lines = [[*head], *texts]
    widths = [
        min(max(len(line[column]) for line in lines), _WIDTH_MAX) for column in range(len(head))
    ]
    for line in lines:
        cells = (f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
