"""Reads the config file, and knows whether it may be missing.

Used by one thread at a time, which may wait for the disk.
"""

import os
import stat

from buntime.core.config.configfile import (
    CONFIG_NAME,
    NO_CONFIG,
    SIZE_MAX_BYTES,
    ConfigFile,
    parse_config,
)
from buntime.core.errors import ConfigError
from buntime.core.settings.load import Settings
from buntime.server.defence.regularfile import read_regular

ADVICE = "name another one in RUNTIME_CONFIG"


def config_path(settings: Settings) -> str:
    """Where the config file is, if there is one."""
    return settings.config or os.path.abspath(CONFIG_NAME)


def is_open_to_all(path: str) -> bool:
    """Whether any user of the machine can read a file, going by its mode."""
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


class ConfigReader:
    """Reads the file repeatedly, and makes a new value only when it has changed."""

    def __init__(self) -> None:
        self._last: tuple[str, bytes, ConfigFile] | None = None

    def __repr__(self) -> str:
        return f"ConfigReader({self._last and self._last[2]!r})"

    def read(self, settings: Settings) -> ConfigFile:
        """What the file says; NO_CONFIG if it was not named and is not there.

        A file that was there and is gone is an error: moving a file must not undo what it said.
        Raises ConfigError.
        """
        path, last = config_path(settings), self._last
        try:
            data = read_regular(path, SIZE_MAX_BYTES).data
        except FileNotFoundError:
            if settings.config is None and (last is None or last[0] != path):
                return NO_CONFIG
            raise ConfigError([f"{path}: there is no such file; {ADVICE}"]) from None
        except OSError as exc:
            why = f"cannot be read: {exc.strerror or exc}; {ADVICE}"
            raise ConfigError([f"{path}: {why}"]) from exc
        if last is None or last[:2] != (path, data):
            self._last = last = (path, data, parse_config(data, path))
        return last[2]
