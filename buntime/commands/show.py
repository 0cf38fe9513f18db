"""`buntime show APP`: one app: its versions, their state, and the last failure.

With a flag: its errors by kind, why its workers ended, or its settings with their origins.
"""

import time
from collections.abc import Iterator
from typing import Any

from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.client import connect, name_in_path
from buntime.commands.tables import print_json, say
from buntime.commands.valuetexts import key_in_words
from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import counted

_SHOWN = (
    "ttl timeout idleTimeout concurrency workers prewarm maxMemory memoryMax maxRequests "
    "visibility sandbox user hosts secrets uses"
).split()  # of a manifest; `--json` has all of it
_SECONDS = ("ttl", "timeout", "idleTimeout")


def parser() -> Parser:
    made = Parser(
        "buntime show APP [--to WHERE]",
        "Show one app: each version with its folder, its manifest, the state of its workers, "
        "and the last error with its stack.",
        examples=(
            "buntime show shop",
            "buntime show @acme/shop --json",
            "buntime show shop --errors",
            "buntime show shop --autopsies",
            "buntime show shop --settings",
        ),
    )
    made.add_words("APP", "the name of an app")
    made.add_argument("--errors", action="store_true", help="its last errors, with their stacks")
    made.add_argument(
        "--autopsies", action="store_true", help="why its workers have ended, with stacks"
    )
    made.add_argument(
        "--settings", action="store_true", help="each key of its manifest, and where it comes from"
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    name = _app_in(one_word(command, "the name of an app"))
    views = [what for what in _VIEWS if command.args[what]]
    if len(views) > 1:
        raise UsageError(f"--{views[0]} and --{views[1]} cannot be combined")
    page = f"/{views[0]}" if views else ""
    answer = connect(command, mode).get(f"/api/apps/{name_in_path(name)}{page}")
    if command.args["json"]:
        print_json(answer)
        return 0
    for line in (_VIEWS[views[0]] if views else _lines)(answer):
        say(line)
    return 0


def _app_in(name: str) -> str:
    """The name, if it is one of an app: `logs` takes plugins and versions, too."""
    if name.startswith(PLUGIN_PREFIX):
        plugin = name.removeprefix(PLUGIN_PREFIX)
        raise UsageError(f"{name} is a plugin; see it with: buntime plugins show {plugin}")
    app, mark, _ = name[1:].partition("@")
    if mark:
        raise UsageError(f"{name} is a version; see all of the app: buntime show {name[:1]}{app}")
    return name


def _errors(answer: dict[str, Any]) -> Iterator[str]:
    if not answer["errors"]:
        app = answer["app"]
        yield f"{app} has raised no exception to the runtime since its start"
        yield f"what its framework answered by itself is in: buntime logs {app} --level warn"
        yield f"why workers died or were ended is in: buntime show {app} --autopsies"
    for each in answer["errors"]:
        version = f" of {each['version']}" if each["version"] else ""
        yield f"{each['count']} x at a {each['kind']}{version}: {each['message']}"
        request = f", request {each['requestId']}" if each["requestId"] else ""
        yield f"  first {moment(each['firstAt'])}, last {moment(each['lastAt'])}{request}"
        yield from _stack(each["stack"])


def _autopsies(answer: dict[str, Any]) -> Iterator[str]:
    if not answer["autopsies"]:
        yield f"no worker of {answer['app']} has ended since the runtime's start"
    for each in answer["autopsies"]:
        version = f" of {each['version']}" if each["version"] else ""
        yield f"{moment(each['at'])}  {each['worker']}{version}  {each['cause']}: {each['why']}"
        lost = f", {each['requestsLost']} lost with it" if each["requestsLost"] else ""
        requests = counted(each["requestCount"], "request")
        yield f"  after {each['ageSeconds']:g} s and {requests}{lost}"
        yield from _stack(each["stack"])


def _settings(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['app']}{f' {version}' if (version := answer['version']) else ''}"
    for each in answer["settings"]:
        where = each["place"] or each["origin"]
        yield f"  {each['key']:16} {key_in_words(each['key'], each['value']):24} {where}"


def _stack(stack: str | None) -> Iterator[str]:
    yield from (f"    {line}" for line in (stack or "").splitlines())


_VIEWS = {"errors": _errors, "autopsies": _autopsies, "settings": _settings}


def _lines(app: dict[str, Any]) -> Iterator[str]:
    active = app["active"]
    yield f"{app['app']}{f' {active} is active' if active else ''}"
    if closed := app["maintenance"]:
        yield f"closed for maintenance since {moment(closed['since'])}: {closed['message']}"
    for version in app["versions"]:
        yield ""
        yield from _lines_of(version)


def _lines_of(version: dict[str, Any]) -> Iterator[str]:
    mark = ", active" if version["active"] else ""
    name = version["version"] or "without a version"
    is_static = version["status"] == "static"
    workers = "" if is_static else f", {counted(version['workers'], 'worker')}"
    yield f"{name}{mark}: {version['status']}{workers}"
    yield f"  folder      {version['folder']}"
    if version["error"]:
        yield f"  FAULT       {version['error']}"
    manifest = version.get("manifest") or {}
    for key in _SHOWN:
        if (value := manifest.get(key)) not in (None, [], {}, "", False, 0):
            yield f"  {key:11} {_of_manifest(key, value)}"
    for each in version.get("changedByOperator") or ():
        yield f"  by operator {each['key']}: {each['place']}"
    if cold := version.get("coldStart"):
        yield f"  cold start  {cold['bootMs']:.0f} ms, of which imports of"
        for each in cold["imports"]:
            yield f"    {each['ms']:8.1f} ms  {each['name']} ({each['modules']} modules)"
    if version.get("bootFailures"):
        yield f"  failed to load {counted(version['bootFailures'], 'time')} in a row"
    if error := version["lastError"]:
        request = f", request {error['requestId']}" if error["requestId"] else ""
        when = f"{moment(error['at'])} at a {error['kind']}{request}"
        yield f"  last error  {when}: {error['message']}"
        yield from (f"    {line}" for line in (error["stack"] or "").splitlines())


def _of_manifest(key: str, value: object) -> str:
    """`("timeout", 30.0)` -> "30 s"."""
    if key in _SECONDS and isinstance(value, int | float):
        return f"{value:g} s"
    return ", ".join(value) if isinstance(value, list | dict) else str(value)


def moment(at_s: float) -> str:
    """Seconds since 1970 in the time of this machine: "2026-11-27 14:03:12"."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
    except (OverflowError, OSError, ValueError):
        return "an unknown time"
