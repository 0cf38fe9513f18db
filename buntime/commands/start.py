"""The settings of a start: from a command's flags, the environment, and a file such as `.env`."""

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import replace

from buntime.commands.arguments import Command
from buntime.core.errors import UsageError
from buntime.core.settings.dotenv import parse_dotenv
from buntime.core.settings.load import Settings, load_settings
from buntime.core.settings.setting import Mode
from buntime.core.settings.strangers import strangers
from buntime.server.pool.cores import cores

_DOTENV = ".env"


def read_settings(
    command: Command, mode: Mode, environ: Mapping[str, str], *, needs_apps: bool = True
) -> Settings:
    """The settings for a command. Raises UsageError if one is wrong, or a folder of apps is."""
    folders = ":".join(command.words) if needs_apps else ""
    args = {**command.args, "worker_dirs": folders or None}
    dotenv = _read_dotenv(command, environ)
    name = _named_dotenv(command, environ) or _DOTENV
    settings = load_settings(
        args=args,
        environ=environ,
        dotenv=dotenv,
        mode=mode,
        cores=cores(),
        cwd=_cwd(),
        is_root=os.geteuid() == 0,
        needs_apps=needs_apps,
        dotenv_name=name,
    )
    if needs_apps:
        # Imports pathlib, which the command line itself does not need.
        from buntime.commands.appfolders import check_folders

        check_folders(settings.worker_dirs, command.name)
    unknown = tuple(strangers(environ, dotenv, name))
    return replace(settings, strangers=unknown)


def _named_dotenv(command: Command, environ: Mapping[str, str]) -> str:
    return command.args.get("env_file") or environ.get("RUNTIME_ENV_FILE", "").strip()


def _read_dotenv(command: Command, environ: Mapping[str, str]) -> dict[str, str]:
    """A file that was named must exist; `.env` need not."""
    named = _named_dotenv(command, environ)
    path = named or _DOTENV
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, IsADirectoryError) as exc:  # some call their environment .env
        if not named:
            return {}
        raise UsageError(
            f"RUNTIME_ENV_FILE: {path} cannot be read: {exc.strerror}; name another file"
        ) from exc
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    return parse_dotenv(data, path=path)


def check_readable_again(command: Command, environ: Mapping[str, str]) -> None:
    """Raise UsageError if the file of settings is one that a runtime could wait for, such as the
    pipe of `--env-file <(decrypt)`. A start may wait for it, but not all apps at a SIGHUP."""
    path = _named_dotenv(command, environ) or _DOTENV
    with contextlib.suppress(OSError):  # reported by who reads it
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or path == os.devnull):
            raise UsageError(f"{path} is not a regular file, so it is read at a start alone")


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as exc:
        raise UsageError(f"the working folder cannot be found: {exc.strerror}") from exc
