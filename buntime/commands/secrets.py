"""`buntime secrets set|list|remove`: what apps get through `secrets` in their manifests.

A value comes from stdin, or from a prompt that does not show it; never from the command line, which
every process of the machine can read, and shells record. If no runtime on this machine holds the
state folder, its files are written and read here.
"""

import getpass
import os
import sys
from collections.abc import Callable
from typing import Any

from buntime.commands.arguments import Command, Parser, check_action
from buntime.commands.client import Api, connect, name_in_path
from buntime.commands.noting import noted
from buntime.commands.start import read_settings
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.apps.grants import (
    PREVIEW,
    VALUE_MAX_BYTES,
    parse_holder,
    parse_name,
    parse_value,
)
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.server.state.secretfiles import SecretFiles, secret_json
from buntime.server.state.statefolder import StateFolder

_ACTIONS = ("set", "list", "remove")
_PLUGIN = "plugin:"
_Told = dict[str, Any]


def parser() -> Parser:
    made = Parser(
        "buntime secrets set|list|remove APP [NAME] [--to WHERE]",
        "Set, list or remove the secrets of an app. The app's manifest names them in "
        "`secrets`. A value is typed at a prompt, or piped in; it is never shown. A change "
        "reloads the app. On the host this works without a runtime too.",
        examples=(
            "buntime secrets set shop DATABASE_URL",
            "buntime secrets set shop STRIPE_KEY < key.txt",
            "buntime secrets set shop@preview DATABASE_URL",
            "buntime secrets set plugin:login CLIENT_SECRET",
            "buntime secrets list shop",
            "buntime secrets remove shop STRIPE_KEY",
        ),
    )
    made.add_words("WORD", "set, list or remove; an app, and the name of a secret")
    made.add_json()
    made.add_target()
    return made


class _Asked(NamedTuple):
    action: str
    holder: str
    name: str = ""

    @property
    def kind(self) -> str:
        return "plugins" if self.holder.startswith(_PLUGIN) else "apps"

    @property
    def app(self) -> str | None:
        return self.holder.removesuffix(PREVIEW) if self.kind == "apps" else None

    @property
    def path(self) -> str:
        holder = self.holder.removesuffix(PREVIEW).removeprefix(_PLUGIN)
        whose = f"/api/{self.kind}/{name_in_path(holder)}/secrets"
        return whose + (f"/{self.name}" * bool(self.name))

    @property
    def query(self) -> dict[str, bool]:
        return {"preview": True} if self.holder.endswith(PREVIEW) else {}


def run(command: Command, mode: Mode) -> int:
    asked = _read(command)
    value = _read_value(asked) if asked.action == "set" else ""
    told = _anywhere(
        command,
        mode,
        lambda api: _ask(api, asked, value),
        lambda folder: _do_here(folder, asked, value),
    )
    if command.args["json"]:
        print_json(told)
    elif asked.action == "list":
        _show(asked.holder, told)
    else:
        _say_done(asked, told)
    return 0


def _read(command: Command) -> _Asked:
    """Parse the line. Raises UsageError, which reveals no value."""
    action, *rest = command.words or ("",)
    check_action(command, action, _ACTIONS)
    wanted = 1 if action == "list" else 2
    if action == "set" and (len(rest) > wanted or any("=" in each for each in rest)):
        raise UsageError(
            "every process on this machine can see a value on the command line, and the shell "
            "keeps it; pipe it in or type it at the prompt: buntime secrets set APP NAME. This "
            "value may have been seen: change it where it comes from"
        )
    if len(rest) != wanted:
        name = "" if action == "list" else " and the NAME of a secret"
        raise UsageError(f"secrets {action} needs an APP{name} (see buntime secrets --help)")
    try:
        return _Asked(action, parse_holder(rest[0]), *map(parse_name, rest[1:]))
    except BadValue as exc:
        raise UsageError(f"secrets {action}: {exc}") from None


def _read_value(asked: _Asked) -> str:
    if sys.stdin.isatty():
        data = getpass.getpass(f"{asked.name} of {asked.holder}: ").encode("utf-8", "replace")
    else:
        data = sys.stdin.buffer.read(VALUE_MAX_BYTES + 1)
    try:
        return parse_value(data)
    except BadValue as exc:
        raise UsageError(f"stdin: {exc}") from None


# By a runtime, or here


def _anywhere(
    command: Command,
    mode: Mode,
    by_api: Callable[[Api], _Told],
    here: Callable[[StateFolder], _Told],
) -> _Told:
    """Ask the runtime; if that would be one on this machine, and none is running, do it here."""
    try:
        api = connect(command, mode)
    except CommandError as exc:
        return _here(command, mode, here, exc)
    try:
        return by_api(api)
    except CommandError as exc:
        if exc.code != "unreachable" or not api.target.is_local:
            raise
        return _here(command, mode, here, exc)


def _here(
    command: Command, mode: Mode, act: Callable[[StateFolder], _Told], why: CommandError
) -> _Told:
    if why.code != "unreachable":
        raise why
    settings = read_settings(command, mode, os.environ, needs_apps=False)
    folder = StateFolder.of(settings)
    folder.take()
    if folder.trouble:
        code = folder.fault("").code
        raise CommandError(code, f"{why.message}; {folder.trouble}") from why
    try:
        return act(folder)
    except OSError as exc:
        said = f"{exc.filename or settings.state_dir}: {exc.strerror or exc}"
        raise CommandError("state_unavailable", said) from exc
    finally:
        folder.let_go()


def _ask(api: Api, asked: _Asked, value: str) -> _Told:
    told: _Told
    if asked.action == "set":
        told = api.put(asked.path, {"value": value}, **asked.query)
    elif asked.action == "remove":
        told = api.delete(asked.path, **asked.query)
    else:
        told = api.get(asked.path, **asked.query)
    return told


def _do_here(folder: StateFolder, asked: _Asked, value: str) -> _Told:
    """The same on the files; here it is not known whether the app exists."""
    files, told = SecretFiles(folder.path), {"holder": asked.holder}
    there = files.read(None).get(asked.holder, {})
    if asked.action == "list":
        return {**told, "secrets": [secret_json(name, there[name]) for name in sorted(there)]}
    sets = asked.action == "set"
    if not sets and asked.name not in there:
        raise CommandError("secret_not_found", f"{asked.holder} has no secret {asked.name}")
    with noted(
        folder,
        f"{asked.kind}.secrets.{asked.action}",
        f"{asked.holder} {asked.name}",
        app=asked.app,
        before={"isSet": asked.name in there},
        after={"isSet": sets},
    ):
        if sets:
            files.set(asked.holder, asked.name, value)
            return {**told, "name": asked.name, "replaced": asked.name in there}
        files.remove(asked.holder, asked.name)
    return {**told, "name": asked.name}


# Showing


def _show(holder: str, told: _Told) -> None:
    rows = [
        (each["name"], each["origin"], each["setAt"], each.get("fault", ""))
        for each in told["secrets"]
    ]
    if rows:
        print_rows(("NAME", "FROM", "SET", ""), rows)
    else:
        say(f"{holder} has no secrets")
    for name in told.get("missing", ()):
        say(f"{name} is missing: buntime secrets set {holder} {name}")


def _say_done(asked: _Asked, told: _Told) -> None:
    done = "removed" if asked.action == "remove" else "set"
    again = ", in place of the previous value" if told.get("replaced") else ""
    say(f"{asked.name} of {asked.holder} is {done}{again}")
    if asked.action == "remove":
        if told.get("isUsed"):
            say("its manifest names it: workers that have it keep it until they end, and new ones "
                "do not load")  # fmt: skip
    elif told.get("isKnown") is False:
        say(f"there is no {asked.holder} yet; it gets this once it is there and names it")
    elif told.get("isUsed") is False:
        say(f"no manifest of it names this: write `secrets: [{asked.name}]` to have it passed on")
