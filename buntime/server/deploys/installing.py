"""Tells what pip says while the packages of a release are installed.

It writes that to a file in the environment (server/pythons/installer.py), which is read meanwhile.
Where the app has a user of its own the environment lies elsewhere, and nothing is told before the
end.
"""

import os
from pathlib import Path

_LINE_MAX_CHARS = 500
_PIECE_MAX_BYTES = 65_536


class Tail:
    """Reads the log of the newest environment of a release. Waits for the disk: for a thread."""

    def __init__(self, release: Path) -> None:
        self._release = release
        self._path = ""
        self._place = 0
        self._rest = b""

    def __repr__(self) -> str:
        return f"Tail({self._path or self._release}, {self._place} bytes)"

    def read(self) -> list[str]:
        """The lines that are new."""
        found = sorted(self._release.glob(".venv-*/install.log"), key=os.path.getmtime)
        if not found:
            return []
        if str(found[-1]) != self._path:
            self._path, self._place, self._rest = str(found[-1]), 0, b""
        with open(self._path, "rb") as log:
            log.seek(self._place)
            data = log.read(_PIECE_MAX_BYTES)
        self._place += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        said = [line.decode("utf-8", "replace").strip()[:_LINE_MAX_CHARS] for line in lines]
        return [line for line in said if line]
