"""`buntime plugins options NAME [KEY=VALUE...]`: the options of a plugin of a runtime.

A value is written as in a variable: `mode=fast`, `size=10`, `hosts=a,b`, `limits={"a": 1}`. `KEY=-`
reads it from stdin, or asks for it; this is the only way for passwords, because every process of
the machine can see the words of a command.
"""

import getpass
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from buntime.commands.arguments import Command
from buntime.commands.client import Api, name_in_path
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.plugins.schema import OptionKind
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, unknown_key

_FROM_STDIN = "-"
_VALUE_MAX_CHARS = 256 * 1024

_Json = dict[str, Any]


def path_of(name: str, rest: str = "") -> str:
    """`"audit", "/reload"` -> "/api/plugins/audit/reload"."""
    return f"/api/plugins/{name_in_path(name)}{rest}"


def run_options(command: Command, api: Api, name: str, words: Sequence[str]) -> int:
    """Show them, or set those that are named. Raises UsageError, ApiError."""
    answer = api.get(path_of(name))
    taken_back = (command.args["unset"] or "").split()
    if words or taken_back:
        known = {each["name"]: each for each in answer["options"]}
        changes = {**_changes(name, known, words), **dict.fromkeys(taken_back)}
        is_dry = bool(command.args["dry_run"]) or None
        answer = api.put(path_of(name, "/options"), changes, dryRun=is_dry)
    if command.args["json"]:
        print_json({"name": name, "options": answer["options"]})
    elif not answer["options"]:
        say(f"{name} has no options")
    else:
        print_options(answer["options"])
        if answer["why"]:
            say(f"{name} is {answer['state']}: {answer['why']}")
    return 0


def print_options(options: Sequence[_Json]) -> None:
    """Each with its value and where that comes from."""
    rows = [(each["name"], _value_of(each), each["origin"]) for each in options]
    print_rows(("OPTION", "VALUE", "FROM"), rows)


def _value_of(option: _Json) -> object:
    value = option["value"]
    return str(value).lower() if isinstance(value, bool) else value


def _changes(name: str, known: Mapping[str, _Json], words: Sequence[str]) -> dict[str, object]:
    given = dict(_split(word) for word in words)
    if sum(text == _FROM_STDIN for text in given.values()) > 1:
        raise UsageError("one KEY=- at a time: stdin has one value")
    return {key: _read(name, known, key, text) for key, text in given.items()}


def _split(word: str) -> tuple[str, str]:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise UsageError(f"{shown(key)} is not a KEY=VALUE (see buntime plugins --help)")
    return key, text


def _read(name: str, known: Mapping[str, _Json], key: str, text: str) -> object:
    """The value, converted to the type of the option."""
    option = known.get(key)
    if option is None:
        raise UsageError(f"{name}: {unknown_key(key, known, 'option')}")
    if text == _FROM_STDIN:
        text = _ask(name, key)
    elif option["isSecret"]:
        raise UsageError(
            f"{key} is a password, and every process on this machine can see the arguments of a "
            f"command: write {key}=- and type it or pipe it in; change it where it comes from, "
            "because it may have been seen"
        )
    schema = option["schema"]
    kind = OptionKind(key, str(schema.get("type")), options=tuple(schema.get("options", ())))
    try:
        return kind.read(text)
    except (BadValue, KeyError) as exc:
        problem = exc if isinstance(exc, BadValue) else "this Buntime does not know its type"
        raise UsageError(f"{key}: {problem}") from None


def _ask(name: str, key: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{key} of {name}: ")
    text = sys.stdin.read(_VALUE_MAX_CHARS + 1)
    if len(text) > _VALUE_MAX_CHARS:
        raise UsageError(f"stdin: the value of {key} is too long")
    return text.removesuffix("\n").removesuffix("\r")
