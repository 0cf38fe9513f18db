"""The runtime's master key: where a start takes it from, and how apps are kept from finding it."""

import os
from collections.abc import Mapping
from dataclasses import replace

from buntime.commands.arguments import Command
from buntime.commands.start import read_settings
from buntime.core.errors import UsageError
from buntime.core.settings.load import SETTINGS, Settings
from buntime.core.settings.setting import Mode, parse_secret
from buntime.core.values.units import BadValue
from buntime.server.defence.protection import close_process, withdraw
from buntime.server.defence.regularfile import read_regular

_KEY_MAX_BYTES = 4096
_KEY = "RUNTIME_MASTER_KEY"
_SECRETS = tuple(setting.variable for setting in SETTINGS if setting.secret)


def take_environ() -> dict[str, str]:
    """The environment of this start. From now on no app can find a secret in it, see protection.py.

    For commands that run apps' code; they call this before they read their settings.
    """
    close_process()
    return withdraw(_SECRETS)


def read_all_settings(command: Command, mode: Mode, environ: Mapping[str, str]) -> Settings:
    """The settings for serving apps, with the master key from a file. Raises UsageError.

    `environ` is what `take_environ` gave.
    """
    return with_master_key(read_settings(command, mode, environ), environ)


def with_master_key(settings: Settings, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings, with the key in RUNTIME_MASTER_KEY_FILE, or in the systemd credential
    RUNTIME_MASTER_KEY. Raises UsageError.

    A file without a key is an error: nobody means "no key" by it.
    """
    path = settings.master_key_file
    if path is None and settings.master_key is None:
        path = _credential(environ or {})
        settings = replace(settings, master_key_file=path)
    if path is None:
        return settings
    if settings.master_key is not None:
        raise UsageError("RUNTIME_MASTER_KEY and RUNTIME_MASTER_KEY_FILE are both set; keep one")
    try:
        data = read_regular(path, _KEY_MAX_BYTES).data
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as exc:
        raise _bad_key_file(path, f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise _bad_key_file(path, "is not UTF-8") from exc
    if len(data) > _KEY_MAX_BYTES:
        raise _bad_key_file(path, f"is longer than {_KEY_MAX_BYTES} bytes")
    if not text:
        raise _bad_key_file(path, "is empty; write the key into it, or leave the setting out")
    try:
        key, origin = parse_secret(text), {"master_key": f"the file {path}"}
        return replace(settings, master_key=key, origins={**settings.origins, **origin})
    except BadValue as exc:
        raise _bad_key_file(path, str(exc)) from exc


def _credential(environ: Mapping[str, str]) -> str | None:
    """What `LoadCredential=RUNTIME_MASTER_KEY:FILE` in a unit has put there, if anything."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = os.path.join(folder, _KEY) if folder else ""
    return path if path and os.path.lexists(path) else None


def _bad_key_file(path: str, reason: str) -> UsageError:
    return UsageError(f"RUNTIME_MASTER_KEY_FILE: {path}: {reason}")
