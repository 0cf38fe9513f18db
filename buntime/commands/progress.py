"""A progress line on a terminal; nothing if stderr is not a terminal."""

import sys
import time

from buntime.core.values.wording import counted

_CELLS = 24
_EACH_S = 0.1  # a remote terminal takes no more


class Bar:
    """`sending 1.2mb of 4.5mb [#####     ] 27%`, redrawn in its place."""

    def __init__(self, what: str, total_bytes: int, *, is_quiet: bool = False) -> None:
        self._what = what
        self._total_bytes = max(1, total_bytes)
        self._is_shown = sys.stderr.isatty() and not is_quiet
        self._drawn_s = 0.0

    def update(self, done_bytes: int) -> None:
        """This much is done."""
        now = time.monotonic()
        is_due = now - self._drawn_s >= _EACH_S or done_bytes >= self._total_bytes
        if not self._is_shown or not is_due:
            return
        self._drawn_s = now
        share = min(1.0, done_bytes / self._total_bytes)
        cells = "#" * round(share * _CELLS)
        size = f"{rounded(done_bytes)} of {rounded(self._total_bytes)}"
        sys.stderr.write(f"\r{self._what} {size} [{cells:{_CELLS}}] {share:4.0%}\x1b[K")
        sys.stderr.flush()

    def done(self) -> None:
        """Erase it, so that what follows replaces it."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def rounded(size_bytes: int) -> str:
    """Three digits: "4.53mb"."""
    for unit, name in ((1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")):
        if size_bytes >= unit:
            amount = size_bytes / unit
            return f"{amount:.3g}{name}" if amount < 999.5 else f"{amount:.0f}{name}"
    return counted(size_bytes, "byte") if size_bytes else "0 bytes"
