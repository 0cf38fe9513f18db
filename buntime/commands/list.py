"""`buntime list`: the apps of a runtime."""

from collections.abc import Iterator
from typing import Any

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_HEAD = ("APP", "ACTIVE", "VERSIONS", "STATUS", "WORKERS", "QUEUED", "NOTE")
_PAGE = 500  # apps per request
_PAGES_MAX = 200
_NOTE_CHARS = 80


def parser() -> Parser:
    made = Parser(
        "buntime list [--to WHERE]",
        "List the apps of a runtime: the active version, the number of versions, and the "
        "state of the workers.",
        examples=("buntime list", "buntime list --to prod --json"),
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if command.words:
        raise UsageError("list takes no arguments; `buntime show APP` shows one app")
    apps = list(all_apps(connect(command, mode)))
    if command.args["json"]:
        print_json({"apps": apps})
    elif apps:
        print_rows(_HEAD, [_row(app) for app in apps])
    else:
        say("no apps")
    return 0


def all_apps(api: Api) -> Iterator[dict[str, Any]]:
    """What the API says about each app, page by page."""
    cursor = None
    for _ in range(_PAGES_MAX):
        page = api.get("/api/apps", limit=_PAGE, cursor=cursor)
        yield from page["apps"]
        cursor = page["next"]
        if cursor is None:
            return


def _row(app: dict[str, Any]) -> tuple[object, ...]:
    fault = app.get("error") or app["bootError"] or ""  # an older runtime has no `error`
    note = "maintenance" if app["maintenance"] else fault.partition("\n")[0]
    if len(note) > _NOTE_CHARS:
        note = note[: _NOTE_CHARS - 1] + "…"
    counts = (app["status"], app["workers"], app["queued"])
    return (app["app"], app["active"], len(app["versions"]), *counts, note)
