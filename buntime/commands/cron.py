"""`buntime cron list` and `buntime cron run APP JOB`: the jobs of apps."""

from typing import Any

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import connect, name_in_path
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_PAGE = 1000
_HEAD = ("APP", "JOB", "SCHEDULE", "NEXT", "LAST", "TOOK")


def parser() -> Parser:
    made = Parser(
        "buntime cron list [APP] | run APP JOB [--to WHERE]",
        "List the jobs of apps, when each is due next and how its last run went; or run one "
        "now, and wait for it. Exit code 1 if it failed.",
        examples=(
            "buntime cron list",
            "buntime cron list shop --json",
            "buntime cron run shop clean",
        ),
    )
    made.add_words("WORD", "list, or run, an app, and a job of it")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    match command.words:
        case ("list",) | ("list", _):
            return _list(command, mode)
        case ("run", app, job):
            return _run(command, mode, app, job)
    raise UsageError("cron needs list, or run with an app and a job (see buntime cron --help)")


def _list(command: Command, mode: Mode) -> int:
    api = connect(command, mode)
    answer = page = api.get("/api/cron", limit=_PAGE)
    while page["next"] is not None:
        page = api.get("/api/cron", limit=_PAGE, cursor=page["next"])
        answer["jobs"] += page["jobs"]
    answer["next"] = None
    if command.words[1:]:
        app = command.words[1]
        answer["jobs"] = [job for job in answer["jobs"] if job["app"] == app]
        if not answer["jobs"]:
            api.get(f"/api/apps/{name_in_path(app)}")  # 404 if it is misspelt
    if command.args["json"]:
        print_json(answer)
        return 0
    if answer["unavailable"]:
        say(f"no jobs run here: {answer['unavailable']}")
    if not answer["jobs"]:
        say("no jobs")
        return 0
    print_rows(_HEAD, [_row(job) for job in answer["jobs"]])
    return 0


def _row(job: dict[str, Any]) -> list[object]:
    zone = "" if job["timezone"] == "UTC" else f" {job['timezone']}"
    last = job["runs"][0] if job["runs"] else None
    how = "running" if job["running"] else _outcome(last) if last else None
    took = f"{last['seconds']:.1f} s" if last else None
    return [job["app"], job["name"], job["schedule"] + zone, job["next"], how, took]


def _outcome(run: dict[str, Any]) -> str:
    return f"{run['result']} ({run['detail']})" if run["detail"] else str(run["result"])


def _run(command: Command, mode: Mode, app: str, job: str) -> int:
    path = f"/api/apps/{name_in_path(app)}/cron/{name_in_path(job)}/run"
    last: dict[str, Any] = {}
    for line in connect(command, mode).lines("POST", path):
        last = line
        if command.args["json"]:
            print_json(line)
    run = last.get("run")
    if not command.args["json"]:
        say(f"{app}: {job}: {_outcome(run) if run else 'the runtime did not say how it ended'}")
    return 0 if run and run["result"] == "ok" else 1
