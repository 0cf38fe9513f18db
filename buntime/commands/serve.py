"""`buntime [serve] DIR...`: serve the apps in these folders."""

import gc
from collections.abc import Callable
from importlib import import_module
from typing import cast

from buntime.commands.arguments import Command, Parser, folders_meaning
from buntime.commands.lightimports import import_h11, import_subprocess
from buntime.commands.masterkey import read_all_settings, take_environ
from buntime.commands.modulecode import import_together, keep_file
from buntime.commands.start import check_readable_again
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode

Serve = Callable[[Settings, Callable[[], Settings]], int]


def parser() -> Parser:
    made = Parser(
        "buntime [serve] [DIR...] [--FLAG VALUE...]",
        "Serve the apps in the folders DIR, each under its own name.",
        "A flag wins over its variable in the environment, and that over a file .env in "
        "the working folder. Durations: 500ms, 30s, 5m, 1h. Sizes: 64kb, 10mb, 1gb.",
        examples=(
            "buntime apps --port 8080",
            "RUNTIME_ENV=production buntime serve /srv/apps /srv/more",
        ),
    )
    made.add_words("DIR", folders_meaning())
    made.add_settings()
    return made


def run(command: Command, mode: Mode, serve: Serve | None = None) -> int:
    environ = take_environ()
    settings = read_all_settings(command, mode, environ)

    def read_again() -> Settings:
        check_readable_again(command, environ)
        return read_all_settings(command, mode, environ)

    return (serve or runtime_serve())(settings, read_again)


def runtime_serve() -> Serve:
    """The server, imported now (0.1 s), so that a wrong flag and `--help` do not wait for it.

    What exists then stays: the garbage collector skips it, now and later.
    """
    gc.disable()
    import_subprocess()
    import_h11()
    import_together()
    try:
        return cast(Serve, import_module("buntime.server.runtime").serve)
    finally:
        keep_file()
        gc.freeze()
        gc.enable()
