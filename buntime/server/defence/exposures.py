"""Finds where apps can still read the master key: files, and processes beside the runtime.

A runtime that is not root shares its user with its workers, so they can read all files it can read.
"""

import os
import stat
import sys
from collections.abc import Iterator

from buntime.core.errors import UsageError
from buntime.core.settings.dotenv import parse_dotenv
from buntime.core.settings.load import Settings
from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.protection import is_closed
from buntime.server.defence.regularfile import read_regular

MASTER_KEY = "RUNTIME_MASTER_KEY"
_ADVICE = "docs/security.md explains how to keep it from them"
_FILE_MAX_BYTES = 1 << 20
_ANCESTORS_MAX = 64  # a chain that changes while it is followed may have no end


class Exposure(NamedTuple):
    """A place where apps can find the key, as a message and the fields of a log record."""

    message: str
    fields: dict[str, object]


def exposures(settings: Settings, uid: int) -> Iterator[Exposure]:
    """Where apps can find `settings.master_key`, in a runtime that runs as the user `uid`."""
    key = settings.master_key
    if key is None:
        return
    if sys.platform == "linux" and not is_closed():
        yield Exposure(f"apps can read the master key in the runtime's memory; {_ADVICE}", {})
    for path in dict.fromkeys(filter(None, (settings.master_key_file, settings.env_file))):
        if _holds(path, key) and _is_open_to_apps(path, uid):
            message = f"apps can read the file with the master key; {_ADVICE}"
            yield Exposure(message, {"file": path})
    if uid == 0:
        return  # apps run as another user, and see nothing of root's processes
    for pid, name in _ancestors():
        if _was_started_with(pid, key):
            message = f"apps can read the master key of the process that started this; {_ADVICE}"
            yield Exposure(message, {"pid": pid, "name": name})


def _holds(path: str, key: str) -> bool:
    """Whether a file is the key, or sets it."""
    try:
        data = read_regular(path, _FILE_MAX_BYTES).data
        if data.strip() == key.encode("utf-8", "surrogateescape"):
            return True
        return parse_dotenv(data, path=path).get(MASTER_KEY) == key
    except (OSError, UsageError):
        return False


def _is_open_to_apps(path: str, uid: int) -> bool:
    """Whether workers can read what the runtime could read.

    Workers that become another user cannot, unless that user has rights of its own.
    """
    if uid != 0:
        return True
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


def _ancestors() -> Iterator[tuple[int, str]]:
    """Pid and name of the processes that started this one, the nearest first."""
    pid = os.getppid()
    for _ in range(_ANCESTORS_MAX):
        if pid <= 0:
            return
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                head, _, rest = file.read().rpartition(")")
        except OSError:  # no /proc, or one that hides other users' processes
            return
        yield pid, head.partition("(")[2]
        pid = int(rest.split()[1])


def _was_started_with(pid: int, key: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:  # another user's process, or a closed one
        return False
    return f"{MASTER_KEY}={key}".encode("utf-8", "surrogateescape") in entries
