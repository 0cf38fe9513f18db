"""Keeps the .pyc of a file from being taken for that of its next version.

Python trusts a .pyc whose source has the size and the second of change that it was made from. A
file that is imported and changed again within that second, its size unchanged, would be served in
its old version until it changes once more. So of a file that changed just now none is written;
the next process that imports it writes one.
"""

from __future__ import annotations

import time
from _frozen_importlib_external import SourceFileLoader  # importlib would take 1 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# From the second of a change until no other change can bear it; FAT counts in pairs of seconds.
SETTLED_S = 2.0


def distrust_young_files() -> None:
    """Have no .pyc written of a file that may still be changed within the same second."""
    write: Any = SourceFileLoader.set_data

    def set_data(loader: SourceFileLoader, path: str, data: Any, *, _mode: int = 0o666) -> None:
        if not _is_young(data):
            write(loader, path, data, _mode=_mode)

    # The names of the arguments are of no matter to importlib, which gives them by position.
    SourceFileLoader.set_data = set_data  # type: ignore[method-assign,assignment]


def _is_young(data: bytes) -> bool:
    """Tell by a .pyc's own head (PEP 552): flags, then the second of its source's last change."""
    is_timed = data[4:8] == b"\0\0\0\0"
    changed_s = int.from_bytes(data[8:12], "little")
    return is_timed and 0 <= time.time() - changed_s < SETTLED_S
