"""Other versions of Python on this machine, and environments made with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def search_path() -> str:
    """PATH, with pyenv's versions before its shims, which may lead nowhere."""
    versions = sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin"))
    return os.pathsep.join([*map(str, versions), os.environ["PATH"]])


def wanted(version: str) -> str:
    """The path of an interpreter of this version; without one the test is skipped."""
    path = shutil.which(f"python{version}", path=search_path())
    if path is None:
        pytest.skip(f"there is no python{version} on the PATH")
    return path


def make_venv(folder: Path, python: str = sys.executable) -> Path:
    """An app's own environment, without pip; returns its folder of packages."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    [packages] = (folder / ".venv/lib").glob("python3*/site-packages")
    return packages
