"""npm packages that a test needs, pinned by a lock file and installed once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.harness import ROOT

needs_npm = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="there is no node with npm"
)


def node_modules(source: Path) -> Path:
    """The folder with what `source/package-lock.json` pins. Skips if npm cannot get it."""
    lock = (source / "package-lock.json").read_bytes()
    folder = ROOT / ".cache" / f"node-{hashlib.sha256(lock).hexdigest()[:10]}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install {source.name}'s packages: {done.stderr[-500:]}")
        (folder / "complete").touch()
    return folder / "node_modules"
