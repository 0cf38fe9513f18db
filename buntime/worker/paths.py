"""What a path leads to, without `os.path`: see main.py."""

from __future__ import annotations

import posix
from _stat import S_ISDIR, S_ISREG


def is_file(path: str) -> bool:
    """Tell whether a file can be reached by this path."""
    return S_ISREG(_mode(path))


def is_folder(path: str) -> bool:
    """Tell whether a folder can be reached by this path."""
    return S_ISDIR(_mode(path))


def _mode(path: str) -> int:
    try:
        return posix.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in it
        return 0
