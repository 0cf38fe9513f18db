"""Writes the folder of a bundle, which most starts need not do.

Separate from bundle.py, since tempfile takes a thirtieth of the runtime's start.
"""

import atexit
import os
import py_compile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from buntime.server.bundle.cachefolder import NAME, remove


def user_folder() -> Path:
    """This user's own in the temporary folder. Raises OSError if there is no temporary folder."""
    return Path(tempfile.gettempdir(), f"{NAME}-{os.geteuid()}")


def passing_folder() -> Path:
    """A new one there, deleted when the runtime ends. Raises OSError like `user_folder`."""
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
    atexit.register(remove, str(folder))
    return folder


def unpack(target: Path, files: Mapping[str, bytes], *, is_shared: bool) -> None:
    """Write all files beside `target`, then rename; another runtime may have been faster."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name, data in files.items():
            path = fresh / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
            if is_shared:
                py_compile.compile(str(path), dfile=str(target / name), doraise=True)
        if is_shared:
            _open_to_all(fresh)
        fresh.rename(target)
    except OSError:
        remove(str(fresh))
        if not target.is_dir():
            raise


def _open_to_all(folder: Path) -> None:
    """Let everybody read what is in `folder`, whatever the umask."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
