"""`buntime logs`: what apps print, their requests, and what the runtime logs about them.

With `-f` it goes on until it is interrupted. If the connection ends, for example because the
runtime restarts, it reconnects, and requests the lines after the last one shown.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from buntime.commands.apierrors import ApiError
from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, Query, connect, name_in_path
from buntime.commands.tables import print_line
from buntime.commands.targets import EXIT_UNREACHABLE
from buntime.core.admin.logroutes import LINES_DEFAULT, LINES_MAX
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.prettylines import pretty_line

_QUIET_S = 60.0  # the runtime sends something each 15 s
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between attempts to reconnect; the last one repeats
_OWN = "+runtime"
_LEVELS = ("debug", "info", "warn", "error")


def parser() -> Parser:
    made = Parser(
        "buntime logs [-f] [APP] [--level LEVEL] [--request ID] [--since WHEN]",
        "Show the log of an app, APP or APP@VERSION, or of all: what it prints, its requests, "
        "and what the runtime logs about it. Write plugin:NAME for a plugin, +runtime for the "
        "runtime itself.",
        examples=(
            "buntime logs -f shop",
            "buntime logs shop --level warn --since 2h",
            "buntime logs --request 5f0c1d2e8a --json",
        ),
    )
    made.add_words("APP", "the app, with its version or without; all where none is named")
    made.add_argument(
        "-f", "--follow", action="store_true", help="follow: print new lines as they come"
    )
    made.add_argument(
        "--level", metavar="LEVEL", help="this level and above: " + ", ".join(_LEVELS)
    )
    made.add_argument("--request", metavar="ID", help="only lines of the request with this id")
    made.add_argument(
        "--since", metavar="WHEN", help="from then on: 15m (ago), 2026-03-01T12:00:00Z"
    )
    made.add_argument(
        "-n",
        "--lines",
        metavar="COUNT",
        help=f"the number of lines [{LINES_DEFAULT}; all with --since but without --follow]",
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    query = _query(command)
    show = print_line if command.args["json"] else _printer(sys.stdout.isatty())
    api = connect(command, mode)
    if command.args["follow"]:
        _tell_if_missing(api, query)
        for line in _follow(api, query):
            show(line)
        return 0
    is_empty = True
    for line in _lines(api, query):
        show(line)
        is_empty = False
    if is_empty:
        _check_name(api, query)
    return 0


def _tell_if_missing(api: Api, query: dict[str, Query]) -> None:
    """Whoever follows waits for lines, of an app that may be deployed later too."""
    try:
        _check_name(api, query)
    except CommandError as exc:
        if not exc.code.endswith("_not_found"):
            raise
        sys.stderr.write(f"buntime: {exc}; its lines are shown once there are any\n")


def _check_name(api: Api, query: dict[str, Query]) -> None:
    """An app with an empty log may not exist. Then raises CommandError, which says so."""
    name, version = str(query["app"] or ""), query["version"]
    if not name or name == _OWN:
        return
    plugin = name.removeprefix("plugin:")
    path = f"/api/apps/{name_in_path(name)}" if plugin == name else f"/api/plugins/{plugin}"
    try:
        found = api.get(path)
    except ApiError as exc:
        if exc.status == 404:
            raise
        return  # a key that may read logs may not have the right to see apps
    versions = [each["version"] for each in found.get("versions", ())]
    if version and plugin == name and version not in versions:
        text = f"{name} has no version {version}, nor lines of one; see buntime show {name}"
        raise CommandError("version_not_found", text)


def _query(command: Command) -> dict[str, Query]:
    if len(command.words) > 1:
        raise UsageError("logs takes one app at most (see buntime logs --help)")
    app, at, version = _split(command.words[0]) if command.words else ("", "", "")
    if at and not version:
        raise UsageError(f"{command.words[0]} has no version after its @")
    if app.startswith("+") and app != _OWN:
        raise UsageError(f"{app} is no log; that of the runtime itself is {_OWN}")
    level, count = command.args["level"], command.args["lines"]
    if level is not None and level.lower() not in _LEVELS:
        raise UsageError(f"--level is one of {', '.join(_LEVELS)}")
    if count is not None and not (
        re.fullmatch("[0-9]{1,6}", count) and 0 < int(count) <= LINES_MAX
    ):
        raise UsageError(f"--lines must be a number from 1 to {LINES_MAX}")
    return {
        "app": app or None,
        "version": version or None,
        "level": level and level.lower(),
        "request": command.args["request"],
        "since": command.args["since"],
        "limit": count,
    }


def _split(word: str) -> tuple[str, str, str]:
    """`"@acme/shop@1.2.0"` -> ("@acme/shop", "@", "1.2.0")."""
    name, at, version = word[1:].partition("@")
    return word[:1] + name, at, version


def _printer(is_terminal: bool) -> Callable[[dict[str, Any]], None]:
    has_colour = is_terminal and not os.environ.get("NO_COLOR")

    def show(line: dict[str, Any]) -> None:
        sys.stdout.write(pretty_line(line, has_colour) + "\n")
        sys.stdout.flush()

    return show


def _lines(api: Api, query: dict[str, Query]) -> Iterator[dict[str, Any]]:
    for line in api.lines("GET", "/api/logs", quiet_s=_QUIET_S, **query):
        if isinstance(line, dict):
            yield line


def _follow(api: Api, query: dict[str, Query]) -> Iterator[dict[str, Any]]:
    """All lines, over as many connections as needed."""
    query, tries = {**query, "follow": 1}, 0
    api.url_of("/api/logs")  # there was a runtime, so when it ends we go on
    while True:
        try:
            for line in _lines(api, query):
                yield line
                tries, seq = 0, line.get("seq")
                if isinstance(seq, int):
                    query |= {"cursor": str(seq), "limit": None, "since": None}
        except ApiError as exc:
            if exc.exit_code != EXIT_UNREACHABLE and exc.status != 503:
                raise
        if tries == 0:
            sys.stderr.write(f"buntime: {api.target.name} ended the stream; trying again\n")
        time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
        tries += 1
