"""The actions of `buntime plugins` that talk to a runtime."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from buntime.commands.arguments import Command
from buntime.commands.client import Api, connect
from buntime.commands.confirming import confirm
from buntime.commands.pluginfolders import reset_here
from buntime.commands.plugininstall import run_install, run_remove
from buntime.commands.pluginoptions import path_of, print_options, run_options
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode

ACTIONS = ("show", "enable", "disable", "reload", "reset", "options", "install", "remove")
_PAGE = 1000
_WAIT_S = 30.0  # for a plugin that starts
_LOOK_S = 0.1
_UNDER_WAY = ("starting", "waiting")
_UP = ("serving", "asleep")
_LEFT = "left out"

_Json = dict[str, Any]


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


def _all(api: Api) -> _Json:
    answer: _Json
    answer = page = api.get("/api/plugins", limit=_PAGE)
    while page["next"] is not None:
        page = api.get("/api/plugins", limit=_PAGE, cursor=page["next"])
        answer["plugins"] += page["plugins"]
    answer["next"] = None
    return answer


def _left_out(api: Api) -> dict[str, str]:
    """Why each of those that lack something is left out."""
    return {each["name"]: each["why"] for each in _all(api)["plugins"] if each["state"] == _LEFT}


def _list(command: Command, api: Api) -> int:
    answer = _all(api)
    if command.args["json"]:
        print_json(answer)
    elif not answer["plugins"]:
        say("no plugins")
    else:
        rows = [
            (each["name"], each["version"], each["state"], each["base"], each["why"] or "")
            for each in answer["plugins"]
        ]
        print_rows(("NAME", "VERSION", "STATE", "BASE", ""), rows)
    return 0


def _show(command: Command, api: Api, names: Sequence[str]) -> int:
    for name in names:
        plugin = api.get(path_of(name))
        if command.args["json"]:
            print_json(plugin)
        else:
            _print_plugin(plugin)
    return 0


def _print_plugin(plugin: _Json) -> None:
    say(f"{plugin['name']} {plugin['version'] or ''}".rstrip())
    why = f" ({plugin['why']})" if plugin["why"] else ""
    rows = [
        ("state", f"{plugin['state']}{why}"),
        ("enabled", f"{'yes' if plugin['enabled'] else 'no'}, by {plugin['enabledBy']}"),
        ("folder", plugin.get("folder")),
        ("base", plugin["base"]),
        ("frame", _frame(plugin.get("frame"))),
        ("stage", f"{plugin['stage']}{', a guard' if plugin.get('guards') else ''}"),
        ("generation", plugin["generation"]),
        ("services", ", ".join(plugin["services"]) or None),
        ("uses", ", ".join(plugin.get("uses", ())) or None),
    ]
    for label, value in rows:
        if value is not None:
            say(f"  {label + ':':12}{value}")
    if plugin["hookCounts"]:
        print_rows(
            ("HOOK", "ASKED", "FAILED", "MEAN MS"),
            [_hook_row(name, each) for name, each in plugin["hookCounts"].items()],
        )
    if plugin["options"]:
        print_options(plugin["options"])


def _frame(frame: _Json | None) -> str | None:
    """Whether its pages are trusted, if somebody has decided that."""
    if frame is None or not (frame["asked"] or frame["origin"]):
        return None
    asks = ", asks to be trusted" if frame["asked"] and not frame["trusted"] else ""
    decided_by = f", by {frame['origin']}" if frame["origin"] else ""
    return f"{'trusted' if frame['trusted'] else 'sandboxed'}{decided_by}{asks}"


def _hook_row(name: str, counts: _Json) -> tuple[object, ...]:
    calls, failed = counts["asked"], sum(counts["failures"].values())
    mean = f"{1000 * counts['seconds'] / calls:.2f}" if calls else None
    return name, calls, failed, mean


# Changing


def _switch(command: Command, api: Api, action: str, name: str) -> int:
    if action == "disable":
        _confirm_disabling(command, api.get(path_of(name)))
    is_dry, others = bool(command.args["dry_run"]), _left_out(api)
    plugin = api.post(path_of(name, f"/{action}"), dryRun=is_dry or None)
    is_up = True
    if action != "disable" and not is_dry:
        plugin, is_up = wait_for(api, name, is_reload=action == "reload")
    if command.args["json"]:
        print_json({key: plugin.get(key) for key in ("name", "state", "why")})
    else:
        why = f": {plugin['why']}" if plugin["why"] else ""
        as_before = "" if is_up or plugin["state"] not in _UP else " as before"
        would = "would be changed; it is " if is_dry else ""
        say(f"{name}: {would}{plugin['state']}{as_before}{why}")
        for other, lack in _left_out(api).items():
            if other not in (name, *others):
                say(f"{other}: {_LEFT}: {lack}")
    return 0 if is_up else 1


def _confirm_disabling(command: Command, plugin: _Json) -> None:
    if plugin["enabled"] and plugin.get("guards"):
        confirm(command, f"what {plugin['name']} guards will be open to all")


def wait_for(
    api: Api,
    name: str,
    *,
    is_reload: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[_Json, bool]:
    """Wait until no start of it is under way; returns what the API then says, and whether all is
    well: after a reload a reason says that what serves is not what was to be loaded.

    When the API has answered a reload, the start has begun, or has been refused. An older runtime
    does not say that a start is under way beside what serves: then it is not waited for.
    """
    until_s = clock() + _WAIT_S
    while True:
        plugin = api.get(path_of(name))
        is_under_way = plugin["state"] in _UNDER_WAY or plugin.get("isStarting", False)
        if not is_under_way or clock() > until_s:
            return plugin, plugin["state"] in _UP and not (is_reload and plugin["why"])
        sleep(_LOOK_S)


def _reset(command: Command, mode: Mode, names: Sequence[str]) -> int:
    """By the runtime; or here, if that would be one on this machine and none is running."""
    is_dry = bool(command.args["dry_run"])
    api = _reached(command, mode)
    if api is not None:
        results = [_reset_there(api, name, is_dry=is_dry) for name in names]
    elif is_dry:
        raise UsageError(
            "plugins reset --dry-run needs a runtime, and none on this machine answers"
        )
    else:
        switched = reset_here(command, mode, names)
        results = [_taken_back(name, is_switched=name in switched) for name in names]
    if command.args["json"]:
        print_json({"plugins": results})
    else:
        for each in results:
            outcome = "taken back" if each["wasSwitched"] else "not switched by an operator"
            say(f"{each['name']}: {outcome}")
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


def _reset_there(api: Api, name: str, *, is_dry: bool) -> _Json:
    before = api.get(path_of(name))
    api.post(path_of(name, "/reset"), dryRun=is_dry or None)
    return _taken_back(name, is_switched=before["switched"] is not None)


def _taken_back(name: str, *, is_switched: bool) -> _Json:
    return {"name": name, "wasSwitched": is_switched}
