"""Reads the keys in RUNTIME_KEYS_FILE, and reads them again when the file changes.

Whoever can write the file decides what it says, so it must belong to root or the runtime's user,
and nobody else may write it. Who may read it does not matter: it holds no keys, only what
identifies them. Links are followed, because Kubernetes volumes consist of them: NAME -> ..data/NAME
and ..data -> ..2026_11_27_..., which is replaced as a whole.

A faulty file changes nothing: the keys read before stay valid, and the log says so.
"""

import os
import stat
from collections.abc import Callable
from time import time

from buntime.core.access.keyring import KeyRecord
from buntime.core.errors import ConfigError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.server.defence.regularfile import read_regular
from buntime.server.loop.loop import Loop
from buntime.server.telemetry.logs import Log

LOOK_S = 10.0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_keys(path: str | None) -> tuple[KeyRecord, ...]:
    """The keys in the file; none if no file is set. Waits for the disk. Raises ConfigError."""
    if path is None:
        return ()
    # Starts without such a file do not import it.
    from buntime.core.config.keysfile import SIZE_MAX_BYTES, parse_keys

    try:
        data, state = read_regular(path, SIZE_MAX_BYTES)
    except OSError as exc:
        why = f"cannot be read: {exc.strerror or exc}; name another file in RUNTIME_KEYS_FILE"
        raise ConfigError([f"{path}: {why}"]) from exc
    why = distrust_file(state)
    if why:
        raise ConfigError([f"{path}: {why}"])
    return parse_keys(data, path, now=min(state.st_mtime, time()))


def distrust_file(state: os.stat_result) -> str:
    """Why another user could have written the file, and what to do; "" if none could."""
    if state.st_uid not in (0, os.geteuid()):
        return f"it belongs to the user {state.st_uid}; give it to root, or to the runtime's user"
    if state.st_mode & _OTHERS_WRITE:
        mode = stat.S_IMODE(state.st_mode)
        return f"others can write it (mode {mode:04o}); take that right away: chmod go-w"
    return ""


class KeysFile:
    """Tells others the keys in the file as they change. Used on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        live: LiveSettings,
        log: Log,
        take: Callable[[tuple[KeyRecord, ...]], None],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        """`take` gets all keys in the file, at once and whenever they change. Waits for the disk.
        Raises ConfigError."""
        self._loop = loop
        self._live = live
        self._log = log
        self._take = take
        self._look_s = look_s
        self._trouble = ""  # already reported in the log
        self._is_reading = False
        self._keys = read_keys(live.now.keys_file)
        take(self._keys)
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"KeysFile({self._live.now.keys_file}, {len(self._keys)} keys)"

    def start(self) -> None:
        """Look again and again."""
        self._loop.call_later(self._look_s, self._look)

    def reread(self) -> None:
        """Look now."""
        path = self._live.now.keys_file
        if self._is_reading or (path is None and not self._keys):
            return
        self._is_reading = True
        self._loop.run_blocking(lambda: read_keys(path), lambda found: self._done(path, found))

    def _look(self) -> None:
        self.reread()
        self._loop.call_later(self._look_s, self._look)

    def _adopt(self, _: Settings) -> None:
        self.reread()

    def _done(self, path: str | None, found: tuple[KeyRecord, ...] | BaseException) -> None:
        self._is_reading = False
        if path != self._live.now.keys_file:
            self.reread()
            return
        if isinstance(found, ConfigError):
            self._tell(found)
            return
        if isinstance(found, BaseException):
            raise found
        if self._trouble:
            self._trouble = ""
            self._log.info("keys.file_valid", "keys file can be used again", file=path)
        before, self._keys = self._keys, found
        if _content(before) != _content(found):
            self._take(found)
            self._log.info("keys.changed", "keys changed", file=path, keys=len(found))

    def _tell(self, fault: ConfigError) -> None:
        text = str(fault)
        if text != self._trouble:
            self._trouble = text
            self._log.error(
                "keys.file_invalid",
                "keys file cannot be used; the keys read from it before stay in effect",
                error=text,
                faults=list(fault.faults[:20]),
            )


def _content(keys: tuple[KeyRecord, ...]) -> list[tuple[object, ...]]:
    """What the file says of the keys, without when it was written."""
    return [(each.name, each.digest, each.roles, each.globs, each.expires_at) for each in keys]
