"""The command line: finds the command, runs it, and prints errors in one line.

    argv -> parse_command -> Command -> the `run` of its module -> exit code

To add a command, add a row to COMMANDS and a module with its name.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TextIO, cast

from buntime import __version__
from buntime.commands.arguments import FLAGS_ALONE, Command, Parser, parse
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.protocols import Protocol

EXIT_FAILED = 1
EXIT_USAGE = 2  # as in argparse and most shells' own commands
EXIT_INTERRUPTED = 130  # as in shells: 128 + SIGINT
EXIT_UNREAD = 141  # the same for SIGPIPE: the reader of the output has exited

# What a write to stdout ends with: a full disk, a quota, a limit of the size of files, a broken
# disk; a stdout that was closed.
_UNWRITABLE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF))

COMMANDS: Mapping[str, str] = {
    "serve": "serve the apps in DIR...; the default command",
    "demo": "serve the example apps that Buntime comes with",
    "new": "write a first app",
    "check": "load every app once and report what is wrong, for CI",
    "plugins": "list and check plugins, and operate those of a runtime",
    "config": "check the config file, or show settings and where each comes from",
    "doctor": "report what Buntime finds here, and what will cause trouble",
    "health": "ask a runtime whether it takes requests, for health checks",
    "import": "write manifests for apps of Unit, uWSGI, Heroku, Dokku and piku",
    "completions": "print completions for bash, zsh or fish",
    "install-service": "write units for systemd that start this Buntime",
    "login": "keep the address of a runtime and a key for it",
    "logout": "forget them",
    "open": "sign in to the panel, in a browser on this host",
    "access": "explain why a request is let in or refused",
    "users": "invite, list, change or remove the users who sign in to apps",
    "keys": "make, list or revoke the keys for operating a runtime",
    "deploy": "pack a folder and deploy it to a runtime",
    "rollback": "make the previous version active again",
    "activate": "make a version of an app the active one",
    "remove": "remove a version of an app",
    "status": "show what needs attention in a runtime, and how busy it is",
    "list": "list the apps of a runtime",
    "show": "show one app: versions, manifest, workers, the last error",
    "logs": "show what apps print, and their requests; -f follows",
    "audit": "show who changed what, or verify that the record itself is intact",
    "data": "back up apps, their data and the state, or restore them",
    "caches": "list the caches of a runtime, or purge them",
    "recycle": "replace the workers of an app with fresh ones",
    "cron": "list the jobs of apps, or run one now",
    "run": "run a program of an app in the environment of its workers",
    "secrets": "set, list or remove the secrets of an app",
    "sleep": "end the idle workers of an app",
    "hosts": "list the hosts of apps, or move one to another app",
    "maintenance": "close an app for a while, or open it again",
}
# Commands from before a word that is no command meant a folder. For the others, somebody may have
# been serving a folder of that name.
_FIRST = frozenset(
    "serve demo new check plugins config doctor health completions install-service".split()
)
_COMMAND = "command"  # says that the next word is a command

Run = Callable[[Command, Mode], int]


class CommandModule(Protocol):
    """The interface of a command's module."""

    def parser(self) -> Parser:
        """Declares the flags."""

    def run(self, command: Command, mode: Mode) -> int:
        """Does it; returns the exit code."""


def main(argv: list[str], *, mode: Mode, instead: Mapping[str, Run] | None = None) -> int:
    """Run one command and return its exit code; `argv` is without the program's name.

    `instead` replaces the way in which some commands run.
    """
    _have_streams()
    try:
        code = _run(argv, mode, instead or {})
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return EXIT_UNREAD
    except OSError as exc:
        if exc.errno not in _UNWRITABLE or exc.filename is not None:
            raise
        _drop_output()
        sys.stderr.write(f"buntime: error: the output cannot be written: {exc.strerror}\n")
        return EXIT_FAILED


def _run(argv: list[str], mode: Mode, instead: Mapping[str, Run]) -> int:
    command = None
    try:
        command = parse_command(argv)
        if command.name == "help":
            sys.stdout.write(help_text(*command.words))
            return 0
        if command.name == "version":
            sys.stdout.write(version_line(mode) + "\n")
            return 0
        return (instead.get(command.name) or module_of(command.name).run)(command, mode)
    except UsageError as exc:
        sys.stderr.write(f"buntime: error: {_one_line(str(exc))}\n")
        return EXIT_USAGE
    except CommandError as exc:
        request = f" (request {exc.request_id})" if exc.request_id else ""
        sys.stderr.write(f"buntime: error: {_one_line(exc.message + request)}\n")
        if command is not None and command.args.get("json"):
            sys.stdout.write(json.dumps(exc.to_json()) + "\n")
        return exc.exit_code


def _have_streams() -> None:
    """Let a stream that is closed (`>&-`) lead nowhere: another file may have got its number."""
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")


def _nowhere(mode: str) -> TextIO:
    return cast(TextIO, open(os.devnull, mode, encoding="utf-8"))  # till the end


def _drop_output() -> None:
    """What is left in the buffer is lost, and Python would complain about that at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse_command(argv: Sequence[str]) -> Command:
    """`["serve", "apps", "--port", "80"]` -> a Command; raises UsageError.

    The command is the first word that is neither a flag nor its value, so an app folder of that
    name must be written `./serve`. If such a folder exists, and the line could be one of `serve`,
    newer commands must be written `buntime command deploy`: before, the word meant that folder.
    """
    name, rest = _split_command(list(argv))
    return parse(name, module_of(name).parser(), rest)


def module_of(name: str) -> CommandModule:
    """The module of a command, imported now: most starts need none but that of `serve`."""
    file = "importing" if name == "import" else name.replace("-", "_")  # a keyword is no module
    return cast(CommandModule, import_module(f"buntime.commands.{file}"))


def help_text(name: str = "serve") -> str:
    """What `--help` prints, for a command or for all."""
    text = module_of(name).parser().format_help()
    if name != "serve":
        return text
    width = max(map(len, COMMANDS))
    lines = [f"  {each:{width}}  {meaning}" for each, meaning in COMMANDS.items()]
    more = "`buntime COMMAND --help` describes one."
    return "\n".join([text.rstrip(), "", "Commands:", *lines, "", more, ""])


def version_line(mode: Mode) -> str:
    """`buntime 0.1.0 (checkout, Python 3.11.7)`"""
    return f"buntime {__version__} ({mode}, Python {sys.version.partition(' ')[0]})"


def _split_command(argv: list[str]) -> tuple[str, list[str]]:
    words = iter(enumerate(argv))
    for index, word in words:
        if word.startswith("-") and word != "--":
            if word not in FLAGS_ALONE and "=" not in word:
                next(words, None)  # its value
        elif word in COMMANDS:
            _check_folder(word, argv)
            return word, argv[:index] + argv[index + 1 :]
        elif word == _COMMAND and argv[index + 1 : index + 2] and argv[index + 1] in COMMANDS:
            return argv[index + 1], argv[:index] + argv[index + 2 :]
        else:
            break
    return "serve", argv


def _check_folder(word: str, argv: Sequence[str]) -> None:
    if word not in _FIRST and os.path.isdir(word) and _may_be_serve(argv):
        raise UsageError(
            f"{word} is a command, and there is a folder of this name here: write ./{word} to "
            f"serve the folder, or buntime {_COMMAND} {word} ... for the command"
        )


def _may_be_serve(argv: Sequence[str]) -> bool:
    """Whether `serve` would accept the line: not `deploy --to prod`, because it has no such
    flag."""
    try:
        return parse("serve", module_of("serve").parser(), argv).name == "serve"
    except UsageError:
        return False


def _one_line(text: str) -> str:
    """Escapes values so that they cannot break the line or control the terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
