"""The actions of `buntime plugins` that talk to a runtime."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from buntime.commands.arguments import Command
from buntime.commands.client import Api, connect
from buntime.commands.confirming import confirm
from buntime.commands.pluginfolders import reset_here
from buntime.commands.plugininstall import run_install, run_remove
from buntime.commands.pluginoptions import path_of, run_options, tell_options
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode

ACTIONS = ("show", "enable", "disable", "reload", "reset", "options", "install", "remove")
_PAGE = 1000
_WAIT_S = 30.0  # for a plugin that starts
_LOOK_S = 0.1
_UNDER_WAY = ("starting", "waiting")
_UP = ("serving", "asleep")

_Told = dict[str, Any]


def run_by_api(command: Command, mode: Mode, action: str, words: Sequence[str]) -> int:
    """Do it; raises UsageError, CommandError."""
    if action == "list":
        if words:
            raise UsageError("plugins list --to WHERE takes no folders: it lists those that run")
        return _list(command, connect(command, mode))
    if not words:
        raise UsageError(f"plugins {action}: say which, by name (see buntime plugins --help)")
    if action == "reset":
        return _reset(command, mode, words)
    api = connect(command, mode)
    if action == "show":
        return _show(command, api, words)
    if action == "options":
        return run_options(command, api, words[0], words[1:])
    if action == "install":
        return run_install(command, api, words)
    if action == "remove":
        return run_remove(command, api, words)
    codes = [_switch(command, api, action, name) for name in words]
    return max(codes)


# Showing


def _list(command: Command, api: Api) -> int:
    told = page = api.get("/api/plugins", limit=_PAGE)
    while page["next"] is not None:
        page = api.get("/api/plugins", limit=_PAGE, cursor=page["next"])
        told["plugins"] += page["plugins"]
    told["next"] = None
    if command.args["json"]:
        print_json(told)
    elif not told["plugins"]:
        say("no plugins")
    else:
        rows = [
            (each["name"], each["version"], each["state"], each["base"], each["why"] or "")
            for each in told["plugins"]
        ]
        print_rows(("NAME", "VERSION", "STATE", "BASE", ""), rows)
    return 0


def _show(command: Command, api: Api, names: Sequence[str]) -> int:
    for name in names:
        told = api.get(path_of(name))
        if command.args["json"]:
            print_json(told)
        else:
            _tell(told)
    return 0


def _tell(told: _Told) -> None:
    say(f"{told['name']} {told['version'] or ''}".rstrip())
    why = f" ({told['why']})" if told["why"] else ""
    rows = [
        ("state", f"{told['state']}{why}"),
        ("enabled", f"{'yes' if told['enabled'] else 'no'}, by {told['enabledBy']}"),
        ("folder", told.get("folder")),
        ("base", told["base"]),
        ("frame", _frame(told.get("frame"))),
        ("stage", f"{told['stage']}{', a guard' if told.get('guards') else ''}"),
        ("generation", told["generation"]),
        ("services", ", ".join(told["services"]) or None),
        ("uses", ", ".join(told.get("uses", ())) or None),
    ]
    for label, value in rows:
        if value is not None:
            say(f"  {label + ':':12}{value}")
    if told["hookCounts"]:
        print_rows(
            ("HOOK", "ASKED", "FAILED", "MEAN MS"),
            [_hook_row(name, each) for name, each in told["hookCounts"].items()],
        )
    if told["options"]:
        tell_options(told["options"])


def _frame(told: _Told | None) -> str | None:
    """Whether its pages are trusted, if somebody has decided that."""
    if told is None or not (told["asked"] or told["origin"]):
        return None
    asks = ", asks to be trusted" if told["asked"] and not told["trusted"] else ""
    said = f", by {told['origin']}" if told["origin"] else ""
    return f"{'trusted' if told['trusted'] else 'sandboxed'}{said}{asks}"


def _hook_row(name: str, counts: _Told) -> tuple[object, ...]:
    asked, failed = counts["asked"], sum(counts["failures"].values())
    mean = f"{1000 * counts['seconds'] / asked:.2f}" if asked else None
    return name, asked, failed, mean


# Changing


def _switch(command: Command, api: Api, action: str, name: str) -> int:
    before = api.get(path_of(name))
    if action == "disable" and before["enabled"] and before.get("guards"):
        confirm(command, f"what {name} guards will be open to all")
    is_dry = bool(command.args["dry_run"])
    told = api.post(path_of(name, f"/{action}"), dryRun=is_dry or None)
    is_up = True
    if action != "disable" and not is_dry:
        told, is_up = wait_for(api, name, before, is_reload=action == "reload")
    if command.args["json"]:
        print_json({key: told.get(key) for key in ("name", "state", "why")})
    else:
        why = f": {told['why']}" if told["why"] else ""
        say(f"{name}: {'would be changed; it is ' if is_dry else ''}{told['state']}{why}")
    return 0 if is_up else 1


def wait_for(
    api: Api,
    name: str,
    before: _Told,
    *,
    is_reload: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[_Told, bool]:
    """Wait until it serves, or fails; returns what the API then says, and whether all is well.

    `before` is what the API said before: after a reload the new start must have a result.
    """
    until_s = clock() + _WAIT_S
    while True:
        told = api.get(path_of(name))
        failed = told["counts"]["startsFailed"] - before["counts"]["startsFailed"]
        is_new = not is_reload or failed or told["counts"]["starts"] > before["counts"]["starts"]
        is_settled = told["state"] not in _UNDER_WAY and (is_new or told["state"] != "serving")
        if is_settled or clock() > until_s:
            return told, told["state"] in _UP and not (is_reload and failed)
        sleep(_LOOK_S)


def _reset(command: Command, mode: Mode, names: Sequence[str]) -> int:
    """By the runtime; or here, if that would be one on this machine and none is running."""
    is_dry = bool(command.args["dry_run"])
    api = _reached(command, mode)
    if api is not None:
        told = [_reset_there(api, name, is_dry=is_dry) for name in names]
    elif is_dry:
        raise UsageError(
            "plugins reset --dry-run needs a runtime, and none on this machine answers"
        )
    else:
        switched = reset_here(command, mode, names)
        told = [_taken_back(name, is_switched=name in switched) for name in names]
    if command.args["json"]:
        print_json({"plugins": told})
    else:
        for each in told:
            said = "taken back" if each["wasSwitched"] else "not switched by an operator"
            say(f"{each['name']}: {said}")
    return 0


def _reached(command: Command, mode: Mode) -> Api | None:
    """The runtime; None if it would be one on this machine, and none is running."""
    api: Api | None = None
    try:
        api = connect(command, mode)
        api.url_of("/api")  # asks it
    except CommandError as exc:
        if exc.code != "unreachable" or (api is not None and not api.target.is_local):
            raise
        return None
    return api


def _reset_there(api: Api, name: str, *, is_dry: bool) -> _Told:
    before = api.get(path_of(name))
    api.post(path_of(name, "/reset"), dryRun=is_dry or None)
    return _taken_back(name, is_switched=before["switched"] is not None)


def _taken_back(name: str, *, is_switched: bool) -> _Told:
    return {"name": name, "wasSwitched": is_switched}
