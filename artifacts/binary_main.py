"""What PyInstaller's bootloader runs in dist/buntime: it unpacks the Python it carries, and becomes
it.

    bootloader                  unpacks to /tmp/_MEI…, starts a child, passes signals on, waits
      +- child: this file       unpacks the Python to the cache, empties /tmp/_MEI…, then execs
         = python binary_start.py ARGS        the runtime; its workers are started with that Python

So an ordinary Python runs, nothing depends on the temporary folder for more than a moment, and no
variable of the bootloader is left.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

import cachefolder  # type: ignore[import-not-found]  # found by PyInstaller, as the next
import unpack  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX = "buntime.index"
PAYLOAD = "buntime.payload"
LOCK = "buntime.lock"  # holds the runtime's pid and is locked by it, even after the exec
_START_S = 60  # from unpacking to the lock; seconds on a slow disk
_EXIT_USAGE = 2


def main() -> None:
    """Never returns."""
    temporary: str = sys._MEIPASS  # type: ignore[attr-defined]  # set by the bootloader
    with open(f"{temporary}/{INDEX}", encoding="utf-8") as file:
        index = unpack.Index(file.read())
    folders = unpack.cache_folders(os.environ, is_root=os.geteuid() == 0)
    try:
        python = unpack.unpacked(
            index, lambda: payload(temporary, index), folders, has_programs=True
        )
    except unpack.Unusable as exc:
        sys.stderr.write(
            "buntime: error: there is no folder to unpack to from which programs can be run; "
            f"set XDG_CACHE_HOME or TMPDIR to one ({exc})\n"
        )
        sys.exit(_EXIT_USAGE)
    keep_mark(temporary)
    remove_dead(temporary)
    become(python)


def payload(temporary: str, index: unpack.Index) -> Iterator[bytes]:
    """The contents of the carried files, in the order of the index."""
    import lzma  # 3 ms that only a first start has to pay

    with lzma.open(f"{temporary}/{PAYLOAD}") as file:
        for _, size, _ in index.files:
            yield file.read(size)


def keep_mark(temporary: str) -> None:
    """Empty the bootloader's folder, which it removes at the end, except for a locked mark."""
    for entry in list(os.scandir(temporary)):
        cachefolder.remove(entry.path)
    mark = os.open(f"{temporary}/{LOCK}", os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(mark, fcntl.LOCK_EX)
    os.write(mark, b"%d\n" % os.getpid())
    unpack.keep_open(mark)


def remove_dead(temporary: str) -> None:
    """Remove what killed programs have left beside this one's folder."""
    for entry in list(os.scandir(os.path.dirname(temporary))):
        if entry.name.startswith("_MEI") and entry.path != temporary and is_dead(entry.path):
            cachefolder.remove(entry.path)


def is_dead(folder: str) -> bool:
    """Whether the folder belongs to this program and to no living process."""
    try:
        state = os.lstat(folder)
        if state.st_uid != os.geteuid() or {INDEX, LOCK}.isdisjoint(os.listdir(folder)):
            return False
        if LOCK not in os.listdir(folder):
            return time.time() - state.st_mtime > _START_S
        with open(f"{folder}/{LOCK}", "rb") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return mark.read() != b"" or time.time() - state.st_mtime > _START_S
    except OSError:  # it is locked, or has just been removed
        return False


def become(folder: str) -> None:
    """Exec the carried Python, with the environment that this program was started with."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("_PYI_") and not name.startswith("LD_LIBRARY_PATH")
    }
    if "LD_LIBRARY_PATH_ORIG" in os.environ:
        environ["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH_ORIG"]
    python = "{}/bin/python{}.{}".format(folder, *sys.version_info)
    start = [f"{folder}/runtime/binary_start.py", str(os.getppid()), sys.executable]
    os.execve(python, [python, "-I", "-S", *start, *sys.argv[1:]], environ)


main()
