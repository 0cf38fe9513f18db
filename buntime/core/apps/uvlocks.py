"""Lock files that uv installs from, where there is none in pip's format.

    pylock.toml     PEP 751, from any tool; checked here only for being a lock
    uv.lock         of the project in the app's folder
    app.py.lock     of the script that is the entrypoint, with `# /// script` (PEP 723)

uv exports the last two as a pylock.toml and installs from that.
"""

import re
import tomllib
from typing import Any

from buntime.core.apps.lockfile import BadLock
from buntime.core.values.enums import Enum
from buntime.core.values.regex import regex
from buntime.core.values.wording import shown

PYLOCK = "pylock.toml"
UV_LOCK = "uv.lock"
_SCRIPT = regex(r"^# /// script\s*$", re.MULTILINE)
_SOURCES = ("vcs", "directory", "archive", "sdist", "wheels")


class UvLock(Enum):
    """The kind of a lock file, and how to write it in pip's format instead."""

    PYLOCK = "uv pip compile pyproject.toml --generate-hashes -o requirements.lock"
    PROJECT = "uv export --no-dev --no-emit-project -o requirements.lock"
    SCRIPT = "uv export --script {script} -o requirements.lock"


def uv_lock_of(name: str) -> UvLock | None:
    """The kind of a lock file by its name; None for pip's."""
    if name == PYLOCK:
        return UvLock.PYLOCK
    if name == UV_LOCK:
        return UvLock.PROJECT
    return UvLock.SCRIPT if name.endswith(".py.lock") else None


def is_script(text: bytes) -> bool:
    """Whether a Python file itself names its packages, by PEP 723."""
    return _SCRIPT.search(text.decode("utf-8", "replace")) is not None


def check_pylock(text: bytes) -> None:
    """Raises BadLock unless each package has one source, and each file has hashes."""
    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
        raise BadLock(f"is not TOML: {exc}; generate it again") from exc
    version = document.get("lock-version")
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise BadLock(f"lock-version {shown(version)} is not supported; write 1.0")
    packages = document.get("packages")
    if not isinstance(packages, list):
        raise BadLock("has no packages; generate it again")
    for package in packages:
        _check_package(package)


def lacks_uv(name: str, kind: UvLock) -> str:
    """The message where uv is not found."""
    command = kind.value.format(script=name.removesuffix(".lock"))
    return (
        f"{name} needs uv, which was not found: install it (pip install uv) on the PATH of the "
        f"runtime, or write the file in pip's format: {command}"
    )


def lacks_script_lock(script: str) -> str:
    """The message for a script without a lock beside it."""
    return (
        f"{script} names its packages in `# /// script`, but there is no {script}.lock with "
        f"their versions; make one: uv lock --script {script}"
    )


def _check_package(package: Any) -> None:
    name = package.get("name") if isinstance(package, dict) else None
    if not isinstance(name, str):
        raise BadLock("has a package without a name; generate it again")
    if not any(package.get(source) for source in _SOURCES):
        raise BadLock(f"package {shown(name)} has no file to install; generate it again")
    wheels = package.get("wheels", [])
    files = [*(wheels if isinstance(wheels, list) else [wheels])]
    files += [package[kind] for kind in ("archive", "sdist") if kind in package]
    for file in files:
        if not isinstance(file, dict) or not file.get("hashes"):
            raise BadLock(f"package {shown(name)} has a file without hashes; generate it again")
