"""Keeps the options that operators have set, in a file of the state folder, 0600.

The file is read at the start, before any plugin starts. It is written in two steps: the new content
is written beside it first, and replaces it by one rename once it is in effect.

A file that cannot be read is logged, and counts as empty.
"""

import contextlib
import os

from buntime.core.errors import ServerFault
from buntime.core.plugins.keptoptions import (
    NONE,
    NOTHING,
    SIZE_MAX_BYTES,
    KeptOptions,
    OfPlugin,
    dump_kept,
    parse_kept,
)
from buntime.core.telemetry.records import Tell
from buntime.server.defence.regularfile import read_regular
from buntime.server.state.statefolder import StateFolder, prepare_state

NAME = "plugin-options.json"


class OptionStore:
    """The options of this runtime's state folder. `now` has the current ones, including those being
    tried."""

    def __init__(self, state: StateFolder, warn: Tell) -> None:
        self._state = state
        self._path = os.path.join(state.path, NAME)
        self._fresh = f"{self._path}.new"
        self._warn = warn
        self.now = self._read()

    def __repr__(self) -> str:
        return f"OptionStore({len(self.now)} plugins in {self._path})"

    def of(self, plugin: str) -> OfPlugin:
        return self.now.get(plugin, NONE)

    def reread(self) -> None:
        """Another runtime may have written the file."""
        self.now = self._read()

    def prepare(self, kept: KeptOptions) -> None:
        """Write it beside the kept file. For a thread; raises ServerFault if that fails."""
        try:
            trouble = self._state.trouble or prepare_state(self._state.path)
            if trouble:
                raise OSError(0, trouble, self._state.path)
            data = dump_kept(kept)
            if len(data) > SIZE_MAX_BYTES:
                raise OSError(0, "the options of all plugins together are too long", self._path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self._fresh, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            self.drop()
            raise self._fault(exc) from exc

    def commit(self) -> None:
        """Replace the kept file by the prepared one. Like `prepare`."""
        try:
            os.replace(self._fresh, self._path)
            folder = os.open(self._state.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            self.drop()
            raise self._fault(exc) from exc

    def drop(self) -> None:
        """Discard what was prepared. Like `prepare`, but never fails."""
        with contextlib.suppress(OSError):
            os.unlink(self._fresh)

    def _fault(self, exc: OSError) -> ServerFault:
        return ServerFault(
            500,
            "state_not_kept",
            "the options cannot be saved in the state folder; nothing was changed",
            detail=f"{exc.filename or self._path}: {exc.strerror or exc}",
        )

    def _read(self) -> KeptOptions:
        if self._state.is_off:
            return NOTHING
        try:
            data, _ = read_regular(self._path, SIZE_MAX_BYTES)
            return parse_kept(data)
        except FileNotFoundError:
            return NOTHING
        except (OSError, ValueError) as exc:
            self._warn(
                "plugins.options_unreadable",
                "cannot read the options that operators set; those in the config file apply",
                file=self._path,
                error=str(exc),
            )
            return NOTHING
