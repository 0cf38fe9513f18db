"""Unpacks what a worker's interpreter loads, once, into a folder that nobody else can write to.

    worker-3f2a…/             named by its contents: another runtime, another folder
      __main__.py             buntime/worker/launch.py
      buntime/*.py            what apps import by name, and the channel's messages
      buntime/sdk/*.py        the code behind that
      buntime/worker/*.py

Workers cannot run from where the runtime is: its folder or .pyz on their `sys.path` would shadow an
app's own modules, and a binary holds no files at all.

Guarantees:
- A folder that is used is complete, byte for byte, at the time of the call. One rename makes it
  appear, so any number of runtimes may start at once.
- It is where no other user can write to it or replace it, see cachefolder.py. If it cannot be,
  another place is used, and the log says why.
- It stays as long as a runtime uses it; making a new one deletes those that none uses.
"""

import contextlib
import errno
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from buntime.core.errors import UsageError
from buntime.core.telemetry.records import Tell
from buntime.server.bundle.cachefolder import NAME, SHARED, cache_folder, ensure, prepare_cache
from buntime.server.defence.regularfile import read_open

_PACKAGE = "buntime"
_NOT_FOR_WORKERS = frozenset(("__main__.py",))  # of the package itself, see the layers
_LAUNCHER = "launch.py"
_FRESH_S = 6 * 3600.0  # cleaners delete what nobody has used for days


def default_cache_dir(environ: Mapping[str, str]) -> Path | None:
    """Where a user's programs keep what they can make again; None if that is unknown."""
    folder = cache_folder(environ)
    return None if folder is None else Path(folder)


def ensure_bundle(cache_dir: str | Path | None = None, *, warn: Tell) -> Path:
    """The folder with the worker's code, unpacked if needed (2 ms if not).

    It tries `cache_dir`, or the user's cache if that is None; then this user's folder in the
    temporary folder; then a new one there, deleted when the runtime ends. Raises UsageError if
    it can write to none.
    """
    found = _first_usable(_candidates(cache_dir or default_cache_dir(os.environ)), warn)
    if found is None:
        raise UsageError(
            "no folder can hold the worker's code; set TMPDIR to a writable one, or mount a tmpfs "
            "at /tmp"
        )
    return found


def ensure_shared_bundle(cache_dir: str | Path = SHARED, *, warn: Tell) -> Path:
    """The same for workers that will become another user: every user can read it.

    It includes bytecode, which such a worker could not write. It tries `cache_dir`, then a folder
    of this user's in the temporary folder. Raises UsageError like `ensure_bundle`.
    """
    found = _first_usable(_shared_candidates(cache_dir), warn, is_shared=True)
    if found is None:
        raise UsageError(
            "no folder can hold the worker's code so that other users can read it; "
            f"create {cache_dir}"
        )
    return found


def _first_usable(folders: Iterator[Path], warn: Tell, *, is_shared: bool = False) -> Path | None:
    """The bundle in the first folder that can be written to and trusted.

    It warns of the others, except those on a file system that is read-only on purpose.
    """
    files = read_bundle()
    name = f"worker-{_checksum(files)}"
    for folder in folders:
        try:
            reason = prepare_cache(str(folder), is_shared=is_shared)
            if not reason:
                return _ensure_in(folder / name, files, is_shared=is_shared)
        except OSError as exc:
            if exc.errno == errno.EROFS:  # somebody decided that, as for the root of a container
                continue
            reason = f"{exc.filename or folder}: {exc.strerror or exc}"
        warn(
            "cache.unusable",
            "cannot use a folder for the worker's code",
            folder=str(folder),
            reason=reason,
        )
    return None


def keep_fresh(*folders: Path, every_s: float = _FRESH_S) -> None:
    """Show those who clean up temporary files that ours are in use, however old they are.

    This is for our folder in the temporary folder; nobody cleans up caches. The modification time
    stays as it is, since bytecode is checked against it.
    """
    ours = f"{NAME}-{os.geteuid()}"
    used = [folder for folder in folders if ours in folder.parts]

    def touch() -> None:
        while True:
            for path in (path for folder in used for path in _all_in(folder)):
                with contextlib.suppress(OSError):  # it may be gone by now
                    os.utime(path, ns=(time.time_ns(), os.stat(path).st_mtime_ns))
            time.sleep(every_s)

    if used:
        threading.Thread(target=touch, name="keep-fresh", daemon=True).start()


def _all_in(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield parent
        yield from (os.path.join(parent, name) for name in names)


def read_bundle() -> dict[str, bytes]:
    """The bundle's files by their path in it, read from wherever the runtime's code is."""
    package = str(Path(__file__).parents[2])
    files = {
        f"{_PACKAGE}/{name}": data
        for name, data in _read_modules(package)
        if name not in _NOT_FOR_WORKERS
    }
    files |= {f"{_PACKAGE}/sdk/{name}": data for name, data in _read_modules(f"{package}/sdk")}
    worker = dict(_read_modules(f"{package}/worker"))
    try:
        files["__main__.py"] = worker.pop(_LAUNCHER)
    except KeyError as exc:
        raise RuntimeError("this build of buntime lacks the source of its workers") from exc
    return files | {f"{_PACKAGE}/worker/{name}": data for name, data in worker.items()}


def _read_modules(folder: str) -> Iterator[tuple[str, bytes]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py") and entry.is_file():
                yield entry.name, _read(entry.path)


def _read(path: str) -> bytes:
    """A whole file. Each start reads a hundred twice: `open` would take twice as long."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_open(fd, sys.maxsize)
    finally:
        os.close(fd)


def _checksum(files: Mapping[str, bytes]) -> str:
    """16 hexadecimal digits. Nobody relies on it: a folder is compared before it is used, so one of
    the same name that differs is replaced. `hashlib` would cost each start 3 ms."""
    crc, adler = 0, 1
    for name, data in sorted(files.items()):
        for part in (f"{name}\0{len(data)}\0".encode(), data):
            crc, adler = zlib.crc32(part, crc), zlib.adler32(part, adler)
    return f"{crc:08x}{adler:08x}"


def _candidates(cache_dir: str | Path | None) -> Iterator[Path]:
    if cache_dir is not None:
        yield Path(cache_dir).absolute()
    # Loads tempfile; few starts come here.
    from buntime.server.bundle.unpacking import passing_folder, user_folder

    try:
        yield user_folder()
        yield passing_folder()
    except OSError:  # no temporary folder at all; the caller reports it
        return


def _shared_candidates(cache_dir: str | Path) -> Iterator[Path]:
    yield Path(cache_dir)
    # Loads tempfile; few starts come here.
    from buntime.server.bundle.unpacking import user_folder

    try:
        ours = user_folder()
        yield ours.with_name(f"{ours.name}-shared")
    except OSError:  # no temporary folder at all; the caller reports it
        return


# The bundle's own folder


def _ensure_in(target: Path, files: Mapping[str, bytes], *, is_shared: bool = False) -> Path:
    def make() -> None:
        # Loads tempfile; only the first start comes here.
        from buntime.server.bundle.unpacking import unpack

        unpack(target, files, is_shared=is_shared)

    def is_there() -> bool:
        return _is_whole(target, files) and (not is_shared or _is_open(target))

    ensure(str(target), make, is_there)  # locked until this process ends
    return target


def _is_open(target: Path) -> bool:
    """Whether every user can read it; one made for a runtime with another user is closed."""
    return target.stat().st_mode & 0o555 == 0o555


def _is_whole(target: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return all(_read(f"{target}/{name}") == data for name, data in files.items())
    except OSError:
        return False
