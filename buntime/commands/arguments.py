"""Flags and words of a command: how a parser is made, and how it parses a line.

The flags of settings come from the table of settings; completions are made from the same parsers.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import Any, NoReturn

from buntime.core.errors import UsageError
from buntime.core.settings.load import SETTINGS
from buntime.core.settings.setting import Setting
from buntime.core.settings.settingtable import GROUPS
from buntime.core.values.frozen import frozen
from buntime.core.values.wording import shown, suggestion

_METAVAR_MAX_CHARS = 50  # argparse breaks no line within one
WORDS = "words"  # anything but flags: folders, a name
SEE_HELP = "see buntime --help"
# All flags of settings take a value. These, of any command, take none.
FLAGS_ALONE = (
    "-h",
    "--help",
    "-V",
    "--version",
    "--force",
    "--json",
    "--insecure",
    "--no-browser",
    "--sign-out",
    "--worker",
    "--verify",
    "--secrets",
    "--dry-run",
    "--replace",
    "--yes",
    "--all",
    "--disabled",
    "--no-keyring",
    "-f",
    "--follow",
    "--errors",
    "--autopsies",
    "--settings",
    "--disable",
    "--enable",
    "--no-second-factor",
)


@frozen()
class Command:
    """What to do. `args` has the flags by their names, None if not given."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()


class Parser(argparse.ArgumentParser):
    """A parser for the line of one command; raises UsageError for mistakes."""

    def __init__(
        self,
        usage: str,
        description: str,
        epilog: str | None = None,
        *,
        examples: Sequence[str] = (),
        has_version: bool = True,
    ) -> None:
        """`examples` are whole shell lines, which the help shows at its end.

        `has_version` is False if `--version` is the command's own flag, with a value.
        """
        self.see_help = SEE_HELP
        self._examples = examples
        self._is_waiting = False  # are the flags of settings still to be declared?
        super().__init__(
            prog="buntime",
            usage=usage,
            description=description,
            epilog=epilog,
            # A fixed width: argparse imports shutil (10 ms) to find out the terminal's.
            formatter_class=partial(argparse.HelpFormatter, max_help_position=30, width=88),
            add_help=False,
            allow_abbrev=False,
        )
        self.add_argument("-h", "--help", action="store_true", help="print this help and exit")
        names = ("-V", "--version") if has_version else ("-V",)
        self.add_argument(
            *names, dest="version", action="store_true", help="print the version and exit"
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.see_help})")

    def add_words(self, metavar: str, meaning: str) -> None:
        """The words between and after the flags; the command says how many there may be."""
        self.add_argument(WORDS, nargs="*", metavar=metavar, help=meaning)

    def add_target(self) -> None:
        """The flags that choose the runtime; see commands/targets.py for the rule."""
        group = self.add_argument_group(
            "which runtime",
            "--to, else --state-dir, else BUNTIME_TO, else the last login, else the runtime of "
            "this machine. The key comes from BUNTIME_KEY or the login.",
        )
        group.add_argument("--to", metavar="WHERE", help="a URL, a login's name, or local")
        group.add_argument(
            "--state-dir",
            metavar="DIR",
            help="the runtime of this machine that has this state folder",
        )
        group.add_argument(
            "--insecure", action="store_true", help="send the key over http:// unencrypted"
        )

    def add_json(self) -> None:
        """`--json`: what the API answers, as it is."""
        self.add_argument("--json", action="store_true", help="print the API's answer as JSON")

    def format_help(self) -> str:
        self._declare_settings()
        text = super().format_help()
        if not self._examples:
            return text
        title = "example:" if len(self._examples) == 1 else "examples:"
        return "\n".join([text.rstrip(), "", title, *(f"  {each}" for each in self._examples), ""])

    def add_settings(self) -> None:
        """All flags of settings, in groups, after whatever else there is.

        Declaring seventy takes as long as all else that is done with a line, so it is done when
        somebody asks for them; see `declare`.
        """
        self._is_waiting = True

    def declare(self, line: Sequence[str]) -> None:
        """Declare what parsing this line takes: of the flags of settings only those in it, if
        all its flags are known."""
        if not self._is_waiting:
            return
        flags = {word.partition("=")[0] for word in line if word.startswith("-")}
        others = flags - {flag for action in self._actions for flag in action.option_strings}
        named = [setting for setting in SETTINGS if setting.flag in others]
        if len(named) < len(others):
            self._declare_settings()
            return
        self._is_waiting = False
        self.set_defaults(**{each.field: None for each in SETTINGS if _is_flag(each)})
        group = self.add_argument_group()
        for setting in named:
            _add_setting(group, setting)

    def _declare_settings(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            for title, settings in GROUPS:
                group = self.add_argument_group(title)
                for setting in settings:
                    _add_setting(group, setting)

    def flags(self) -> list[str]:
        """All flags, in the order of the help."""
        return [flag for action in self.actions() for flag in action.option_strings]

    def actions(self) -> list[argparse.Action]:
        """The declared flags and words."""
        self._declare_settings()
        return list(self._actions)


def parse(name: str, parser: Parser, argv: Sequence[str]) -> Command:
    """The command `name` with the flags and words of `argv`; or "help" for it, or "version".

    The parser is of no use afterwards.
    """
    # argparse leaves words between flags among the unknown ones, and Python versions differ in how
    # they treat "--": both are handled here.
    if name != "serve":
        parser.see_help = f"see buntime {name} --help"
    argv = list(argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser.declare(argv[:end])
    known, unknown = parser.parse_known_args(argv[:end])
    for word in unknown:
        if word.startswith("-"):
            flag = word.partition("=")[0]
            meant = suggestion(flag, [each for each in parser.flags() if each.startswith("--")])
            raise UsageError(f"unknown flag {shown(flag)}{meant} ({parser.see_help})")
    given = vars(known)
    for other in ("help", "version"):
        if given.pop(other):
            return Command(other, words=() if name == "serve" or other == "version" else (name,))
    # Of a flag that repeats, the values are read like several in one.
    given = {
        name: " ".join(value) if isinstance(value, list) and name != WORDS else value
        for name, value in given.items()
    }
    words = (*(given.pop(WORDS, None) or ()), *unknown, *argv[end + 1 :])
    return Command(name, given, tuple(words))


def check_action(command: Command, action: str, actions: Iterable[str]) -> None:
    """Raises UsageError if the first word of a command, its action, is not one of these."""
    names = list(actions)
    if action in names:
        return
    meant = suggestion(action, names)
    wrong = f"there is no action {shown(action)}" if action else "an action is missing"
    raise UsageError(
        f"{command.name}: {wrong}{meant} (write {', '.join(names)}; "
        f"see buntime {command.name} --help)"
    )


def one_word(command: Command, what: str) -> str:
    """The only word of a command; raises UsageError if there is none, or more than one."""
    if len(command.words) != 1:
        raise UsageError(f"{command.name} needs {what} (see buntime {command.name} --help)")
    return command.words[0]


def _is_flag(setting: Setting) -> bool:
    return setting.flag is not None and setting.flag.startswith("--")


def _add_setting(group: argparse._ArgumentGroup, setting: Setting) -> None:
    meaning, word = setting.meaning.replace("`", "").replace("%", "%%"), setting.kind.word
    if setting.flag is None:
        group.description = f"{setting.variable}: {meaning}"
    elif _is_flag(setting):
        group.add_argument(
            setting.flag,
            dest=setting.field,
            metavar=word if len(word) <= _METAVAR_MAX_CHARS else "WORD",
            action="append" if setting.repeats else "store",
            help=f"{meaning} [{setting.variable}; {setting.default}]",
        )


def folders_meaning() -> str:
    """The help for DIR..., which is a setting without a flag."""
    [setting] = [each for each in SETTINGS if each.field == "worker_dirs"]
    return f"{setting.meaning} [{setting.variable}; {setting.default}]"
