"""`buntime status`: what needs attention at a runtime, and how busy it is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_HEAD = ("APP", "REQUESTS/S", "ERRORS", "P95 MS", "MEMORY", "WORKERS")
_STEP_S = 300
_APPS_MAX = 20
_MARKS = {"error": "ERROR", "warning": "warn", "info": "info"}


def parser() -> Parser:
    made = Parser(
        "buntime status [--to WHERE]",
        "Show what needs attention in a runtime, and how busy its apps were in the last five "
        "minutes. Exit code 1 if there is an error.",
        examples=("buntime status", "buntime status --to prod --json"),
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if command.words:
        raise UsageError("status takes no arguments; `buntime show APP` shows one app")
    api = connect(command, mode)
    items = api.get("/api/attention")["items"]
    history = api.get("/api/history", step=_STEP_S)
    if command.args["json"]:
        print_json({"attention": items, "history": history})
    else:
        for line in _attention(items):
            say(line)
        rows = _rows(history)
        if rows:
            say("")
            print_rows(_HEAD, rows)
    return 1 if any(each["level"] == "error" for each in items) else 0


def _attention(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not items:
        yield "nothing needs attention"
    for each in items:
        yield f"{_MARKS.get(each['level'], each['level']):5}  {each['text']}"
        for more in (each["hint"], each["command"]):
            if more:
                yield f"       {more}"


def _rows(history: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The totals, and the apps with most requests. A runtime that has just started has a shorter
    first point."""
    seconds = _STEP_S
    named = [("all", history["total"]), *history["apps"].items()]
    rows = [(name, series) for name, series in named if series["requests"]]
    first, *apps = rows or [("all", None)]
    if first[1] is None:
        return []
    apps.sort(key=lambda each: -each[1]["requests"][-1])
    return [_row(name, series, seconds) for name, series in (first, *apps[:_APPS_MAX])]


def _row(name: str, series: Mapping[str, Any], seconds: int) -> tuple[object, ...]:
    memory = f"{series['memoryBytes'][-1] / 1_000_000:.0f} MB"
    rate = f"{series['requests'][-1] / seconds:.2f}"
    return (name, rate, series["errors"][-1], series["p95Ms"][-1], memory, series["workers"][-1])
