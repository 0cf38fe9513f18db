"""npm packages that a test needs, pinned by a lock file and installed once."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

needs_npm = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="there is no node with npm"
)


def node_modules(source: Path) -> Path:
    """The folder with what `source/package-lock.json` pins. Skips if npm cannot get it.

    It is in the environment of the tests, which clean clones share: an installation takes longer
    than the tests that need it.
    """
    lock = (source / "package-lock.json").read_bytes()
    folder = Path(sys.prefix, f"node-{hashlib.sha256(lock).hexdigest()[:10]}")
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=sys.prefix) as name:
            _install(source, Path(name, "complete"))
            with contextlib.suppress(OSError):  # another process has been faster
                Path(name, "complete").rename(folder)
    return folder / "node_modules"


def _install(source: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install {source.name}'s packages: {done.stderr[-500:]}")
