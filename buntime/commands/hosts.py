"""`buntime hosts`, `buntime hosts move HOST APP`: which app has a host, and giving it to
another."""

from typing import Any
from urllib.parse import quote

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_PAGE = 1000


def parser() -> Parser:
    made = Parser(
        "buntime hosts [move HOST APP] [--to WHERE]",
        "List the hosts that apps name: which app has each, since when, and which other apps "
        "name it too. A host belongs to the app that had it first, even while that app is "
        "away; move gives it to another app whose manifest names it.",
        examples=(
            "buntime hosts",
            "buntime hosts move shop.example.com new-shop",
            "buntime hosts move '*.shops.example.com' new-shop --dry-run",
        ),
    )
    made.add_words("WORD", "move, a host, and the app that gets it")
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    match command.words:
        case []:
            return _list(command, connect(command, mode))
        case ["move", host, app]:
            return _move(command, connect(command, mode), host, app)
        case _:
            raise UsageError("write hosts, or hosts move HOST APP (see buntime hosts --help)")


def _list(command: Command, api: Api) -> int:
    if command.args["dry_run"]:
        raise UsageError("--dry-run is for hosts move")
    answer = page = api.get("/api/hosts", limit=_PAGE)
    while page["next"] is not None:
        page = api.get("/api/hosts", limit=_PAGE, cursor=page["next"])
        answer["hosts"] += page["hosts"]
    answer["next"] = None
    if command.args["json"]:
        print_json(answer)
    elif not answer["hosts"]:
        say("no app names a host")
    else:
        rows = [_row(each) for each in answer["hosts"]]
        print_rows(("HOST", "APP", "SINCE", "WANTED BY", ""), rows)
    return 0


def _row(host: dict[str, Any]) -> tuple[object, ...]:
    note = "" if host["isNamed"] else "kept for the app, which does not name it now"
    if host["isGiven"]:
        note = "by the config file"
    return host["host"], host["app"], host["since"] or "-", ", ".join(host["wantedBy"]), note


def _move(command: Command, api: Api, host: str, app: str) -> int:
    path = f"/api/hosts/{quote(host.lower(), safe='*')}"
    before, tag = api.tagged(path)
    is_dry = bool(command.args["dry_run"])
    answer = api.matching(tag).post(f"{path}/move", {"app": app}, dryRun=is_dry or None)
    if command.args["json"]:
        print_json(answer)
    else:
        done = "would be" if is_dry else "is"
        say(f"{answer['host']} {done} {app}'s; it was {before['app']}'s")
    return 0
