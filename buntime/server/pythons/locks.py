"""Finds and reads the lock file that an app's packages are installed from."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buntime.core.apps.app import App
from buntime.core.apps.lockfile import LOCK_NAMES, BadLock, has_hashes, lacking_lock
from buntime.core.apps.uvlocks import (
    PYLOCK,
    UV_LOCK,
    UvLock,
    check_pylock,
    is_script,
    lacks_script_lock,
    lacks_uv,
    uv_lock_of,
)
from buntime.core.values.units import format_size
from buntime.server.defence.regularfile import read_regular
from buntime.server.pythons.packages import InstallFailed
from buntime.server.pythons.uv import UvSource
from buntime.server.pythons.uvprogram import find_uv

_MAX_BYTES = 4 << 20  # a thousand packages with forty hashes each take three megabytes
_SCRIPT_MAX_BYTES = 1 << 20  # of an entrypoint are read, for its head

# Path, device, inode, size and time of a lock file; if they differ, it may have changed.
Signature = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class Base:
    """The Python to make an environment with. `version` as in "3.11.7"."""

    executable: str
    version: str


@dataclass(frozen=True)
class Lock:
    """A lock file as it was read; `uv` installs from it if pip cannot."""

    path: Path
    signature: Signature
    text: bytes
    has_hashes: bool
    uv: UvSource | None


def find_lock(app: App) -> Signature | None:
    """The app's lock file, None if there is none. pip's format comes first."""
    for name in (*LOCK_NAMES, PYLOCK, UV_LOCK, f"{app.entrypoint}.lock"):
        path = app.dir / name
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        return str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    return None


def read_lock(app: App, base: Base, environ: Mapping[str, str]) -> Lock:
    """The lock file, checked, and who installs from it.

    Raises BadLock, InstallFailed if there is nothing to install with, OSError.
    """
    if getattr(sys, "frozen", False) and base.executable == sys.executable:
        raise InstallFailed(_lacks_python(environ))
    signature = find_lock(app)
    if signature is None:
        raise BadLock(_lacks_lock(app))
    path = Path(signature[0])
    text = read_regular(path, _MAX_BYTES).data
    if len(text) > _MAX_BYTES:
        raise BadLock(f"{path.name}: is larger than {format_size(_MAX_BYTES)}")
    kind = uv_lock_of(path.name)
    try:
        hashes = kind is not None or has_hashes(text)
        if kind is UvLock.PYLOCK:
            check_pylock(text)
    except BadLock as exc:
        raise BadLock(f"{path.name}: {exc}") from exc
    return Lock(path, signature, text, hashes, kind and _source(path, kind, environ))


def is_same(path: Path, text: bytes) -> bool:
    """Whether a lock file is still as it was read."""
    return read_regular(path, _MAX_BYTES).data == text


def _source(path: Path, kind: UvLock, environ: Mapping[str, str]) -> UvSource:
    program = find_uv(environ)
    if program is None:
        raise InstallFailed(lacks_uv(path.name, kind))
    return UvSource(program, kind, path)


def _lacks_lock(app: App) -> str:
    try:
        text = read_regular(app.dir / app.entrypoint, _SCRIPT_MAX_BYTES).data
    except OSError:  # does not matter here: the app will report it
        text = b""
    return (
        lacks_script_lock(app.entrypoint) if is_script(text) else lacking_lock(os.listdir(app.dir))
    )


def _lacks_python(environ: Mapping[str, str]) -> str:
    found = shutil.which("python3", path=environ.get("PATH", os.defpath))
    how = f"RUNTIME_PYTHON={found}" if found else "install Python 3.9 or newer, and name it"
    return (
        "this build of buntime has no Python to make an environment with; "
        f"name one as `python` in the manifest, or as RUNTIME_PYTHON: {how}"
    )
