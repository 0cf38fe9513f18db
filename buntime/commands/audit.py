"""`buntime audit`: who has changed what, and whether the trail is complete."""

from collections.abc import Iterator, Mapping
from typing import Any

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.admin.audittrail import Broken, Walk
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import counted

_HEAD = ("NUMBER", "TIME", "ACTOR", "FROM", "ACTION", "SUBJECT", "RESULT")
_PAGE = 1000
_SHOWN = 50


def parser() -> Parser:
    made = Parser(
        "buntime audit [--app APP] [--actor NAME] [--action A] [--verify] [--to WHERE]",
        "Show who changed what, newest first. --verify checks the whole trail, says whether "
        "an entry was changed, removed or inserted, and prints the hash of the newest one: "
        "note it elsewhere, because anybody who can write to the state folder can compute all "
        "hashes again.",
        examples=(
            "buntime audit --app shop",
            "buntime audit --action 'plugins.*' --json",
            "buntime audit --verify",
        ),
    )
    made.add_argument("--app", metavar="APP", help="only entries about this app")
    made.add_argument("--actor", metavar="NAME", help="only entries of this key")
    made.add_argument(
        "--action", metavar="ACTION", help="only this action; plugins.* for all of plugins"
    )
    made.add_argument("--limit", metavar="COUNT", help=f"the number of entries ({_SHOWN})")
    made.add_argument("--cursor", metavar="CURSOR", help="`next` of an earlier page")
    made.add_argument("--verify", action="store_true", help="check that the trail is complete")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if command.words:
        raise UsageError(
            "audit takes no arguments; choose entries with --app, --actor and --action"
        )
    api = connect(command, mode)
    if command.args["verify"]:
        return _verify(command, api)
    args = {name: command.args[name] for name in ("app", "actor", "action", "cursor")}
    page = api.get("/api/audit", limit=_limit(command.args["limit"]), **args)
    if command.args["json"]:
        print_json(page)
        return 0
    if not page["entries"]:
        say("no entries")
        return 0
    ended = {entry.get("begun") for entry in page["entries"]}
    rows = [_row(entry) for entry in page["entries"] if entry["number"] not in ended]
    print_rows(_HEAD, rows)
    if page["next"]:
        say(f"older ones: --cursor {page['next']}")
    return 0


def _limit(text: str | None) -> int:
    if text is None:
        return _SHOWN
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _PAGE):
        raise UsageError(f"--limit must be a number from 1 to {_PAGE}")
    return int(text)


def _row(entry: Mapping[str, Any]) -> list[object]:
    came = entry.get("address") or entry.get("source")
    return [
        entry["number"],
        entry["time"],
        entry["actor"],
        came,
        entry["action"],
        entry["subject"],
        entry["result"],
    ]


def _verify(command: Command, api: Api) -> int:
    for name in ("app", "actor", "action", "limit", "cursor"):
        if command.args[name] is not None:
            raise UsageError(f"--verify checks all entries; leave out --{name}")
    walk, removed, fault = Walk(), None, ""
    try:
        for page in _pages(api):
            removed = page["removed"]
            for entry in page["entries"]:
                walk.take(entry)
        walk.end(removed)
    except Broken as exc:
        fault = str(exc)
    number, newest = walk.newest or (0, "")
    if command.args["json"]:
        summary = {"entries": walk.count, "number": number, "hash": newest, "removed": removed}
        print_json({"ok": not fault, "fault": fault or None, **summary})
    elif fault:
        say(f"the audit trail is not intact: {fault}")
    else:
        whole = counted(walk.count, "entry is", "entries are")
        say(f"{whole} intact; the newest is {number}, with the hash {newest}")
    return 1 if fault else 0


def _pages(api: Api) -> Iterator[Mapping[str, Any]]:
    cursor = None
    while True:
        page = api.get("/api/audit", limit=_PAGE, cursor=cursor)
        yield page
        cursor = page["next"]
        if cursor is None:
            return
