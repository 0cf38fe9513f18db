"""`buntime list`: the apps of a runtime."""

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_HEAD = ("APP", "VERSION", "STATUS", "WORKERS", "QUEUED", "ERROR")


def parser() -> Parser:
    made = Parser(
        "buntime list [--to WHERE]",
        "List the apps of a runtime.",
        examples=("buntime list", "buntime list --to prod --json"),
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if command.words:
        raise UsageError("list takes no words; `buntime show NAME` tells of one app")
    told = connect(command, mode).get("/api/workers")
    if command.args["json"]:
        print_json(told)
        return 0
    apps = told["apps"]
    if not apps:
        say("no apps")
        return 0
    fields = ("app", "version", "status", "workers", "queued", "bootError")
    print_rows(_HEAD, [[app.get(field) for field in fields] for app in apps])
    return 0
