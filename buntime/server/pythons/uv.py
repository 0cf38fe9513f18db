"""Says how uv is run to install what a lock file names; `uvprogram` finds it.

The content of its lock is first written as a pylock.toml, which keeps the locked indexes, files and
hashes, and then installed from that. Only wheels are installed; uv itself refuses a file with a
wrong hash.
"""

from collections.abc import Mapping
from pathlib import Path

from buntime.core.apps.uvlocks import PYLOCK, UvLock
from buntime.core.values.frozen import frozen

_COMMON = "--no-progress --color never --no-python-downloads".split()
# Those of uv's own variables that say where packages come from.
_PASSED = frozenset(
    "UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_OFFLINE "
    "UV_NATIVE_TLS UV_SYSTEM_CERTS UV_HTTP_TIMEOUT UV_INSECURE_HOST".split()
)


@frozen()
class UvSource:
    """What uv installs from: `lock` is the file in the app's folder."""

    program: str
    kind: UvLock
    lock: Path


def uv_commands(source: UvSource, folder: Path, python: str) -> list[tuple[str, ...]]:
    """The commands that install into the environment in `folder`, whose Python is `python`."""
    uv, lock = source.program, source.lock
    if source.kind is UvLock.PYLOCK:
        return [_sync(uv, python, lock)]
    what: tuple[str, ...] = ("--script", str(lock.with_suffix("")))
    if source.kind is UvLock.PROJECT:
        what = ("--project", str(lock.parent), "--no-default-groups", "--no-emit-project")
        what = (*what, "--no-emit-workspace")
    made = folder / PYLOCK
    output = ("--format", PYLOCK, "--output-file", str(made), "--quiet")
    export = (uv, "export", *_COMMON, "--frozen", "--offline", "--python", python, *what, *output)
    return [export, _sync(uv, python, made)]


def uv_variables(environ: Mapping[str, str], scratch: str | None) -> dict[str, str]:
    """The variables that uv gets in addition to those of pip; in a sandbox it uses the app's own
    cache."""
    passed = {name: value for name, value in environ.items() if name in _PASSED}
    passed |= {"UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    return passed | ({"UV_CACHE_DIR": f"{scratch}/uv"} if scratch is not None else {})


def _sync(uv: str, python: str, pylock: Path) -> tuple[str, ...]:
    # Without settings of the app's project, which could make it install elsewhere.
    options = ("--no-config", "--python", python, "--no-build", "--preview-features", "pylock")
    return (uv, "pip", "sync", *_COMMON, *options, str(pylock))
