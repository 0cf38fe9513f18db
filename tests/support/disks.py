"""Odd disks: full ones, read-only ones, and folders that are nested deeply."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DEEP = 1100  # deeper than Python recurses


def nest(top: Path, depth: int = DEEP) -> None:
    """Make folders within folders, each with a file; the deepest path is still short enough to use.

    Remove them with `cachefolder.remove`, because pytest cannot.
    """
    inner = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT, dir_fd=inner))
        os.mkdir("d", dir_fd=inner)
        before, inner = inner, os.open("d", os.O_RDONLY, dir_fd=inner)
        os.close(before)
    os.close(inner)


@contextlib.contextmanager
def little_recursion(calls: int) -> Iterator[None]:
    """Python recurses no more than this many calls deeper than here."""
    before, frame, here = sys.getrecursionlimit(), sys._getframe(), 0
    while frame.f_back:
        frame, here = frame.f_back, here + 1
    sys.setrecursionlimit(here + calls)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextlib.contextmanager
def small_disk(place: Path, *, size: str = "16k", inodes: int = 8) -> Iterator[Path]:
    """A file system of this size, mounted at `place`; skips the test if it cannot be mounted."""
    place.mkdir()
    options = f"size={size},nr_inodes={inodes},mode=0711"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    if os.geteuid() != 0 or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, option: str) -> None:
    """`"ro"` or `"rw"`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill all free room; returns the file that fills it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler
