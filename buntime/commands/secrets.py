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
_Json = dict[str, Any]


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


class _Request(NamedTuple):
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
        base = f"/api/{self.kind}/{name_in_path(holder)}/secrets"
        return base + (f"/{self.name}" * bool(self.name))

    @property
    def query(self) -> dict[str, bool]:
        return {"preview": True} if self.holder.endswith(PREVIEW) else {}


def run(command: Command, mode: Mode) -> int:
    request = _read(command)
    value = _read_value(request) if request.action == "set" else ""
    answer = _anywhere(
        command,
        mode,
        lambda api: _ask(api, request, value),
        lambda folder: _do_here(folder, request, value),
    )
    if command.args["json"]:
        print_json(answer)
    elif request.action == "list":
        _show(request.holder, answer)
    else:
        _say_done(request, answer)
    return 0


def _read(command: Command) -> _Request:
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
        return _Request(action, parse_holder(rest[0]), *map(parse_name, rest[1:]))
    except BadValue as exc:
        raise UsageError(f"secrets {action}: {exc}") from None


def _read_value(request: _Request) -> str:
    if sys.stdin.isatty():
        data = getpass.getpass(f"{request.name} of {request.holder}: ").encode("utf-8", "replace")
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
    by_api: Callable[[Api], _Json],
    here: Callable[[StateFolder], _Json],
) -> _Json:
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
    command: Command, mode: Mode, act: Callable[[StateFolder], _Json], why: CommandError
) -> _Json:
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
        message = f"{exc.filename or settings.state_dir}: {exc.strerror or exc}"
        raise CommandError("state_unavailable", message) from exc
    finally:
        folder.let_go()


def _ask(api: Api, request: _Request, value: str) -> _Json:
    answer: _Json
    if request.action == "set":
        answer = api.put(request.path, {"value": value}, **request.query)
    elif request.action == "remove":
        answer = api.delete(request.path, **request.query)
    else:
        answer = api.get(request.path, **request.query)
    return answer


def _do_here(folder: StateFolder, request: _Request, value: str) -> _Json:
    """The same on the files; here it is not known whether the app exists."""
    files, answer = SecretFiles(folder.path), {"holder": request.holder}
    there = files.read(None).get(request.holder, {})
    if request.action == "list":
        return {**answer, "secrets": [secret_json(name, there[name]) for name in sorted(there)]}
    sets = request.action == "set"
    if not sets and request.name not in there:
        message = f"{request.holder} has no secret {request.name}"
        see = f"buntime secrets list {request.holder}"
        raise CommandError("secret_not_found", f"{message}; see {see}")
    with noted(
        folder,
        f"{request.kind}.secrets.{request.action}",
        f"{request.holder} {request.name}",
        app=request.app,
        before={"isSet": request.name in there},
        after={"isSet": sets},
    ):
        if sets:
            files.set(request.holder, request.name, value)
            return {**answer, "name": request.name, "replaced": request.name in there}
        files.remove(request.holder, request.name)
    return {**answer, "name": request.name}


# Showing


def _show(holder: str, answer: _Json) -> None:
    rows = [
        (each["name"], each["origin"], each["setAt"], each.get("fault", ""))
        for each in answer["secrets"]
    ]
    if rows:
        print_rows(("NAME", "FROM", "SET", ""), rows)
    else:
        say(f"{holder} has no secrets")
    for name in answer.get("missing", ()):
        say(f"{name} is missing: buntime secrets set {holder} {name}")


def _say_done(request: _Request, answer: _Json) -> None:
    done = "removed" if request.action == "remove" else "set"
    again = ", in place of the previous value" if answer.get("replaced") else ""
    say(f"{request.name} of {request.holder} is {done}{again}")
    if request.action == "remove":
        if answer.get("isUsed"):
            say("its manifest names it: workers that have it keep it until they end, and new ones "
                "do not load")  # fmt: skip
    elif answer.get("isKnown") is False:
        say(f"there is no {request.holder} yet; it gets this once it is there and names it")
    elif answer.get("isUsed") is False:
        say(f"no manifest of it names this: write `secrets: [{request.name}]` to have it passed on")
