"""`buntime demo`: serve the example apps, from a checkout, the .pyz and the binary alike.

They come with the runtime's own package. If they cannot be served from there (the .pyz could not
unpack itself, or we may not write to the folder, as some examples do, for example one that pip
installed), they are copied to a temporary folder, which is removed at the end.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from buntime.commands.arguments import Command, Parser
from buntime.commands.masterkey import read_all_settings, take_environ
from buntime.commands.serve import Serve, runtime_serve
from buntime.commands.start import read_settings
from buntime.core.errors import UsageError
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.server.bundle.archive import copy_out
from buntime.server.bundle.carried import carried_apps

_WRITTEN = shutil.ignore_patterns("data", "__pycache__")  # by examples that ran there


def parser() -> Parser:
    made = Parser(
        "buntime demo [--FLAG VALUE...]",
        "Serve the example apps that Buntime comes with, for development unless --env says "
        "otherwise.",
        examples=("buntime demo --port 8080",),
    )
    made.add_settings()
    return made


def run(
    command: Command, mode: Mode, serve: Serve | None = None, examples: Path | None = None
) -> int:
    if command.words:
        raise UsageError(f"demo takes no folders; `buntime {command.words[0]}` serves that one")
    environ = take_environ()
    args = {
        "env": _environment(environ),
        **{key: value for key, value in command.args.items() if value},
    }
    examples = examples or carried_apps()
    # Wrong settings are reported before anything is copied.
    read_settings(Command("demo", args), mode, environ, needs_apps=False)
    is_ours = mode != "wheel"  # there they belong to pip
    if is_ours and examples.is_dir() and os.access(examples, os.W_OK):
        return _serve(examples, args, mode, environ, serve)
    with tempfile.TemporaryDirectory(prefix="buntime-demo-") as folder:
        copy = Path(folder) / "apps"
        copy_examples(examples, copy)
        return _serve(copy, args, mode, environ, serve)


def _serve(
    folder: Path,
    args: Mapping[str, str | None],
    mode: Mode,
    environ: Mapping[str, str],
    serve: Serve | None,
) -> int:
    read = partial(read_all_settings, Command("demo", args, (str(folder),)), mode, environ)
    settings: Settings = read()
    sys.stderr.write(f"buntime: the example apps are in {folder}\n")
    return (serve or runtime_serve())(settings, read)


def _environment(environ: Mapping[str, str]) -> str | None:
    """Examples are for one's own machine: by default they are not served to the network."""
    is_set = environ.get("RUNTIME_ENV") or environ.get("NODE_ENV")
    return None if is_set else "development"


def copy_examples(source: Path, target: Path) -> None:
    """Copy the examples' folder, which may be in an archive: `/x/buntime.pyz/content/apps`."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=_WRITTEN)
        return
    if not copy_out(source, target):
        raise UsageError(f"the example apps are missing: there is no {source}")
