"""Small file systems, for tests of full and of read-only disks."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(place: Path, *, size: str = "16k", inodes: int = 8) -> Iterator[Path]:
    """A file system of this size, mounted at `place`; skips the test where that cannot be had."""
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
    """Take all room that there is; the file that has taken it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler
