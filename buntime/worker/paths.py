"""Checks of paths without `os.path`: see main.py."""

from __future__ import annotations

import posix
from _stat import S_ISDIR, S_ISREG


def is_file(path: str) -> bool:
    """Return whether this path leads to a file."""
    return S_ISREG(_mode(path))


def is_folder(path: str) -> bool:
    """Return whether this path leads to a folder."""
    return S_ISDIR(_mode(path))


def _mode(path: str) -> int:
    try:
        return posix.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in it
        return 0
