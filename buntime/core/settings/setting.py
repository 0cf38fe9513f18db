"""What a setting is, and how its values are read from text.

The parsers here take the text of a variable or a flag; see `core/values/kinds` for the errors.
"""

import os.path
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any, Literal

from buntime.core.access.paths import has_dots
from buntime.core.access.peers import UNIX_PEER
from buntime.core.values.kinds import Parser, duration, one_of, size, user_name, whole_number
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

_DIGITS_MAX = 15

Mode = Literal["checkout", "wheel", "pyz", "binary"]  # how this Buntime was installed


class Situation(NamedTuple):
    """What defaults and paths depend on. `env` is "" until that setting has been read."""

    mode: Mode
    cores: int
    cwd: str
    is_root: bool
    environ: Mapping[str, str]
    env: str = ""

    @property
    def home(self) -> str:
        return self.environ.get("HOME", "")


class Kind(NamedTuple):
    """A kind of value: its word in `--help`, how its text is read, the limits of a number."""

    word: str
    parse: Callable[[str, Situation], Any]
    least: int | None = None
    most: int | None = None


class Setting(NamedTuple):
    """One row of the table. `default` is read like any value, unless `derive` computes another one.

    A `live` setting may change while the runtime is running. The others would require replacing
    things that are in use: sockets, the log's files, workers' environments, what apps were given.
    """

    field: str
    variable: str
    flag: str | None
    kind: Kind
    default: str
    meaning: str
    derive: Callable[[Situation], str | None] | None = None
    secret: bool = False
    also: str | None = None  # a second variable, used if the first is not set
    live: bool = False
    repeats: bool = False  # the flag can be given several times, each time adding values


def number(minimum: int, maximum: int | None = None) -> Kind:
    """A whole number; no `maximum` means no limit."""
    check = whole_number(minimum, maximum)

    def parse(text: str, _: Situation) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
        return int(check(int(text) if is_number else text))

    return Kind("NUMBER", parse, minimum, maximum)


def plain(word: str, parse: Parser) -> Kind:
    """A kind that is parsed independently of other settings; `word` is for the help."""
    return Kind(word, lambda text, _: parse(text))


def choice(*words: str) -> Kind:
    """One of these words."""
    return plain("|".join(words), one_of(*words))


def parse_path(text: str, situation: Situation) -> str:
    """An absolute path. `~/` means the home folder, because no shell expands it in `.env`."""
    if text.startswith("~/") and situation.home:
        text = situation.home + text[1:]
    if not text or text.startswith("~"):
        raise BadValue(f"{shown(text)} is not a path; write it in full, like /srv/apps")
    return os.path.normpath(os.path.join(situation.cwd, text))


def parse_cgroup(text: str, situation: Situation) -> str:
    """`"auto"`, `"off"`, or a folder."""
    return text if text in ("auto", "off") else parse_path(text, situation)


def parse_folders(text: str, situation: Situation) -> tuple[str, ...]:
    """`apps:~/more`: folders, each once."""
    folders = [parse_path(folder, situation) for folder in text.split(":") if folder]
    return tuple(dict.fromkeys(folders))


def parse_program(text: str, situation: Situation) -> str:
    """A path, or a name to look up in PATH."""
    return parse_path(text, situation) if "/" in text or not text else text


def parse_prefix(text: str, _: Situation) -> str:
    """The beginning of a path, without a trailing slash."""
    prefix = text.rstrip("/")
    segments = prefix.split("/")[1:]
    if prefix and not (re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", prefix) and not has_dots(segments)):
        raise BadValue(f'{shown(text)} is not the beginning of a path; write it like "/_"')
    return prefix


def parse_app_users(text: str, _: Situation) -> Mapping[str, str]:
    """`"shop=www-data, *=nobody"` -> users by app name, "*" for all others."""
    users: dict[str, str] = {}
    for item in filter(None, re.split(r"[,\s]+", text)):
        app, equals, user = item.partition("=")
        if not app or not equals:
            raise BadValue(
                f'{shown(item)} is not APP=USER; write them like "shop=www-data, *=nobody"'
            )
        if app in users:
            raise BadValue(f"{shown(app)} has two users; keep one of them")
        users[app] = user_name(user)
    return MappingProxyType(users)


_APP = regex(r"(?:@[A-Za-z0-9_~-][\w.~-]*/)?[A-Za-z0-9_~-][\w.~-]*(?:@[\w.*^~<>=|+ -]+)?", re.ASCII)


def parse_app(text: str, _: Situation) -> str | None:
    """`"shop"`, `"@acme/shop@^1"`: an app as in a path; None for nothing."""
    if text and not _APP.fullmatch(text):
        raise BadValue(f"{shown(text)} is not the name of an app; write one like shop or shop@^1")
    return text or None


def parse_shell(text: str, _: Situation) -> str | None:
    """`"cpanel"`, the name of a plugin or an app; None for `none`."""
    if text and (not _APP.fullmatch(text) or "@" in text[1:]):
        raise BadValue(f"{shown(text)} is not a name of a plugin or an app; write one like cpanel")
    return None if text in ("", "none") else text


def parse_networks(text: str, _: Situation) -> tuple[str, ...]:
    """Networks in normalized form, and `UNIX_PEER` for peers on a unix socket."""
    networks = []
    for item in filter(None, re.split(r"[,\s]+", text)):
        if item == UNIX_PEER:
            networks.append(item)
            continue
        try:
            networks.append(str(ip_network(item, strict=False)))
        except ValueError as exc:
            raise BadValue(
                f"{shown(item)} is not an IP address or network; write them like "
                '"10.0.0.0/8, ::1", or "unix"'
            ) from exc
    return tuple(networks)


def parse_secret(text: str) -> str:
    """Errors do not show the value. A header's value has no blanks at its ends and no controls."""
    if not text.isprintable() or text != text.strip():
        raise BadValue(
            "the key begins or ends with a space, or has control characters; choose another one"
        )
    return text


def unset(_: Situation) -> None:
    """Derives a default of None: there is no value unless it is set."""


NUMBER_FROM_0 = number(0)
NUMBER_FROM_1 = number(1)
DURATION = plain("DURATION", duration())
DURATION_OR_0 = plain("DURATION", duration(may_be_zero=True))
SIZE = plain("SIZE", size(1))
PATH = Kind("PATH", parse_path)
FOLDERS = Kind("DIR:DIR", parse_folders)
