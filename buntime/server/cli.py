"""The command line: what was asked for, with which settings, and errors in one line.

    argv -> parse_command -> Command -> load_settings (flags, environment, .env) -> serve

The flags come from the table of settings. A further command is a row in COMMANDS and a case in
`_run`.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from buntime import __version__
from buntime.core.dotenv import parse_dotenv
from buntime.core.errors import UsageError
from buntime.core.setting import Mode, Setting
from buntime.core.settings import SETTINGS, Settings, load_settings
from buntime.core.settingtable import GROUPS
from buntime.core.wording import shown, suggestion

EXIT_USAGE = 2  # as argparse and most shells' own commands have it

_DOTENV = ".env"
_SEE_HELP = "see buntime --help"
_FLAGS_ALONE = ("-h", "--help", "-V", "--version")  # all others take a value
_FLAGS = (*(setting.flag for setting in SETTINGS if setting.flag), "--help", "--version")


@dataclass(frozen=True)
class Command:
    """What is to be done: "serve", "help" or "version". `args` has values by setting's field."""

    name: str
    args: Mapping[str, str | None] = field(default_factory=dict)


def main(argv: list[str], *, mode: Mode, serve: Callable[[Settings], int]) -> int:
    """Run one command and return its exit code; `argv` is without the program's name."""
    try:
        return _run(parse_command(argv), mode, serve)
    except UsageError as exc:
        sys.stderr.write(f"buntime: error: {_one_line(str(exc))}\n")
        return EXIT_USAGE


def parse_command(argv: Sequence[str]) -> Command:
    """`["serve", "apps", "--port", "80"]` -> a Command; raises UsageError.

    The command is the first word that is neither a flag nor its value, so that an app folder of
    that name is to be written `./serve`.
    """
    name, rest = _split_command(list(argv))
    return COMMANDS[name](rest)


def help_text() -> str:
    """What `--help` prints."""
    return _serve_parser().format_help()


def _run(command: Command, mode: Mode, serve: Callable[[Settings], int]) -> int:
    if command.name == "help":
        sys.stdout.write(help_text())
        return 0
    if command.name == "version":
        sys.stdout.write(f"buntime {__version__} ({mode}, Python {platform.python_version()})\n")
        return 0
    settings = load_settings(
        args=command.args,
        environ=os.environ,
        dotenv=_read_dotenv(),
        mode=mode,
        cores=_cores(),
        cwd=_cwd(),
        is_root=os.geteuid() == 0,
    )
    _check_folders(settings.worker_dirs)
    return serve(settings)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({_SEE_HELP})")


def _split_command(argv: list[str]) -> tuple[str, list[str]]:
    words = iter(enumerate(argv))
    for index, word in words:
        if word.startswith("-") and word != "--":
            if word not in _FLAGS_ALONE and "=" not in word:
                next(words, None)  # its value
        elif word in COMMANDS:
            return word, argv[:index] + argv[index + 1 :]
        else:
            break
    return "serve", argv


def _parse_serve(argv: list[str]) -> Command:
    # argparse leaves folders between flags among the unknown, and versions of Python differ in
    # what they make of "--": both are settled here.
    end = argv.index("--") if "--" in argv else len(argv)
    known, unknown = _serve_parser().parse_known_args(argv[:end])
    given = vars(known)
    for word in unknown:
        if word.startswith("-"):
            flag = word.partition("=")[0]
            raise UsageError(f"unknown flag {shown(flag)}{suggestion(flag, _FLAGS)} ({_SEE_HELP})")
    for name in ("help", "version"):
        if given.pop(name):
            return Command(name)
    for setting in SETTINGS:
        if setting.repeats and given[setting.field] is not None:
            given[setting.field] = " ".join(given[setting.field])
    folders = [*given.pop("worker_dirs"), *unknown, *argv[end + 1 :]]
    return Command("serve", given | {"worker_dirs": ":".join(folders) or None})


COMMANDS: Mapping[str, Callable[[list[str]], Command]] = {"serve": _parse_serve}


def _serve_parser() -> _Parser:
    parser = _Parser(
        prog="buntime",
        usage="buntime [serve] [DIR...] [--FLAG VALUE...]",
        description="Serve the apps in the folders DIR, each under its own name.",
        epilog="A flag wins over its variable in the environment, and that over a file .env in "
        "the working folder. Durations: 500ms, 30s, 5m, 1h. Sizes: 64kb, 10mb, 1gb.",
        # A width of its own, since argparse imports shutil (10 ms) to find out the terminal's.
        formatter_class=partial(argparse.HelpFormatter, max_help_position=30, width=88),
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="print this and end")
    parser.add_argument("-V", "--version", action="store_true", help="print the version and end")
    for title, settings in GROUPS:
        group = parser.add_argument_group(title)
        for setting in settings:
            _add_argument(group, setting)
    return parser


def _add_argument(group: argparse._ArgumentGroup, setting: Setting) -> None:
    meaning = setting.meaning.replace("`", "").replace("%", "%%")
    text = f"{meaning} [{setting.variable}; {setting.default}]"
    if setting.flag is None:
        group.description = f"{setting.variable}: {meaning}"
    elif setting.flag.startswith("--"):
        group.add_argument(
            setting.flag,
            dest=setting.field,
            metavar=setting.kind.word,
            action="append" if setting.repeats else "store",
            help=text,
        )
    else:
        group.add_argument(setting.field, nargs="*", metavar=setting.flag, help=text)


def _read_dotenv() -> dict[str, str]:
    try:
        with open(_DOTENV, "rb") as file:
            data = file.read()
    except (FileNotFoundError, IsADirectoryError):  # some call their virtual environment .env
        return {}
    except OSError as exc:
        raise UsageError(f"{_DOTENV} cannot be read: {exc.strerror}") from exc
    return parse_dotenv(data, path=_DOTENV)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as exc:
        raise UsageError(f"the working folder cannot be found: {exc.strerror}") from exc


def _cores() -> int:
    """Cores that this process may use, which are fewer than the machine's in some containers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_folders(folders: Sequence[str]) -> None:
    for folder in folders:
        try:
            os.scandir(folder).close()
        except OSError as exc:
            raise UsageError(
                f"the folder of apps {folder} cannot be read: {exc.strerror}; name another one as "
                "DIR or in RUNTIME_WORKER_DIRS"
            ) from exc


def _one_line(text: str) -> str:
    """What a value brought along cannot break the line or reach the terminal as a command."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
