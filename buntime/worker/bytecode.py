"""Keeps the .pyc of a file from being taken for that of its next version.

Python trusts a .pyc if its source still has the size and the second of change that it was made
from. If a file is imported and then changed within the same second without changing its size, the
old version would be used until the next change. So no .pyc is written for a file that has just
changed; the next process that imports it writes one.
"""

from __future__ import annotations

import time
from _frozen_importlib_external import SourceFileLoader  # importlib would take 1 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# From the second of a change until no other change can have the same time; FAT counts in pairs of
# seconds.
SETTLED_S = 2.0


def distrust_young_files() -> None:
    """Write no .pyc for a file that may still be changed within the same second."""
    write: Any = SourceFileLoader.set_data

    def set_data(loader: SourceFileLoader, path: str, data: Any, *, _mode: int = 0o666) -> None:
        if not _is_young(data):
            write(loader, path, data, _mode=_mode)

    # importlib passes the arguments by position, so their names do not matter.
    SourceFileLoader.set_data = set_data  # type: ignore[method-assign,assignment]


def _is_young(data: bytes) -> bool:
    """Decide by a .pyc's head (PEP 552): flags, then the second of its source's last change."""
    is_timed = data[4:8] == b"\0\0\0\0"
    changed_s = int.from_bytes(data[8:12], "little")
    return is_timed and 0 <= time.time() - changed_s < SETTLED_S
