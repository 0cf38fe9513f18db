"""The key that opens the operators' pages in development if none is set: made here, for this
machine only.

Coming from this machine proves little: apps run on it, as the same user. So the client must have
read a file that is closed to other users and, by their sandbox, to apps. It is in the state folder
and stays the same, so a shell can read it each time:

    curl -H "X-API-Key: $(cat ~/.local/state/buntime/local.key)" localhost:8000/api/workers
"""

import os
import stat
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from buntime.core.settings.load import Settings
from buntime.server.defence.regularfile import read_regular
from buntime.server.state.statefolder import OFF, prepare_state

if TYPE_CHECKING:  # commands import this module for the file's name
    from buntime.core.settings.live import LiveSettings
    from buntime.server.telemetry.logs import Log

NAME = "local.key"
_BYTES = 24  # of randomness
_TEXT_MAX_BYTES = 100
_TEXT_MIN_CHARS = 32  # the length that _BYTES result in


class LocalKey:
    """The key of this run; None if one is set, or none may be made."""

    def __init__(self, live: "LiveSettings", log: "Log") -> None:
        self.value: str | None = None
        self._log = log
        self._adopt(live.now)
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"LocalKey({'there' if self.value else 'none'})"  # never the key itself

    def _adopt(self, settings: Settings) -> None:
        if not settings.is_development or settings.master_key:
            self.value = None
        elif self.value is None:
            folder = settings.state_dir
            if settings.has_state:
                self.value = self._find(folder)
            else:
                self._tell_closed(OFF)

    def _find(self, folder: str) -> str | None:
        path = os.path.join(folder, NAME)
        try:
            trouble = prepare_state(folder)
            if not trouble:
                key = _read(path) or _make(path)
                self._log.info(
                    "operators.local_key",
                    "the operator's pages need the key in this file",
                    file=path,
                )
                return key
        except OSError as exc:
            trouble = f"{exc.filename or path}: {exc.strerror or exc}"
        self._tell_closed(trouble)
        return None

    def _tell_closed(self, trouble: str) -> None:
        self._log.warn(
            "operators.closed",
            "the operator's pages are closed: there is no safe place for a key; set "
            "RUNTIME_MASTER_KEY, or RUNTIME_STATE_DIR to a folder of yours",
            error=trouble,
        )


def _read(path: str) -> str | None:
    """The key of an earlier run; None if there is none, or others could know it."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            return None
        data, state = read_regular(path, _TEXT_MAX_BYTES)
        key = data.decode("ascii").strip()
    except (OSError, ValueError):
        return None
    is_ours = state.st_uid == os.geteuid() and not state.st_mode & 0o077
    return key if is_ours and _TEXT_MIN_CHARS <= len(key) < _TEXT_MAX_BYTES else None


def _make(path: str) -> str:
    """Write a new key; if several runs do so at once, all use the same one."""
    key = urlsafe_b64encode(os.urandom(_BYTES)).decode("ascii")
    fresh = f"{path}.{os.getpid()}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(f"{key}\n")
        try:
            os.link(fresh, path)
        except FileExistsError:
            other = _read(path)
            if other is not None:
                return other
            os.replace(fresh, path)
    finally:
        try:
            os.unlink(fresh)
        except FileNotFoundError:
            pass
    return key
