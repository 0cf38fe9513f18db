"""Shows a deploy's progress on a runtime, and how it ended.

{"step": "checked", "at": ...}            a step is done
{"step": "installing", "line": "..."}     a program has printed a line
{"step": "active", "url": ...}            the end; "tried" and "unchanged" are others
{"failed": "booted", "error": {...}, "stack": ..., "log": [...]}
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

from buntime.commands.apierrors import ApiError
from buntime.commands.client import Api, Streamed
from buntime.commands.tables import print_line, say
from buntime.core.telemetry.records import escape

_ENDS = frozenset(("active", "tried", "unchanged"))
_LOG_LINES = 20
_STACK_LINES = 60
_AGAIN_S = 1.0  # between checks of a deploy whose connection has ended
_LOOKS_MAX = 3600

Line = dict[str, Any]


def follow(api: Api, answer: Streamed, what: str, *, as_json: bool, app: str = "") -> int:
    """Show it to its end; returns the exit code. `what` is "deploy of shop@1.2.0", of this `app`.

    Raises ApiError if it was refused, or its result cannot be known.
    """
    started_s, end = time.monotonic(), Line()
    for line in _all_lines(api, answer):
        if as_json:
            print_line(line)
        else:
            _show(line, time.monotonic() - started_s)
        end = line
    if app and not as_json and end.get("step") == "unchanged":
        _tell_of_same(end, app)
    if "failed" in end:
        _tell_of_failure(end, what)
        return 1
    if end.get("step") not in _ENDS:
        raise ApiError("cut", f"{api.target.name} did not say how the {what} ended", exit_code=3)
    return 0


def _all_lines(api: Api, answer: Streamed) -> Iterator[Line]:
    """The steps in the answer; if that is cut, those that the runtime then reports about the
    deploy."""
    seen: set[str] = set()
    try:
        for line in answer.lines:
            seen.add(str(line.get("step")))
            yield line
            if _is_end(line):
                return
    except ApiError as exc:
        if exc.code != "cut" or not answer.location:
            raise
    if answer.location:
        yield from _polled_lines(api, answer.location, seen)


def _polled_lines(api: Api, location: str, seen: set[str]) -> Iterator[Line]:
    """A proxy ends connections that are silent for long; the deploy continues, and is queried."""
    path = "/api" + location.partition("/api")[2]
    for _ in range(_LOOKS_MAX):
        deploy = api.get(path)
        for line in deploy.get("steps", ()):
            if line.get("step") not in (*seen, "begun"):
                seen.add(line["step"])
                yield line
        if deploy.get("state") == "failed":
            yield {name: deploy.get(name) for name in ("failed", "error", "stack", "log")}
        if deploy.get("state") != "running":
            return
        time.sleep(_AGAIN_S)


def _is_end(line: Line) -> bool:
    return "failed" in line or ("line" not in line and line.get("step") in _ENDS)


def _show(line: Line, after_s: float) -> None:
    if "line" in line:
        say(f"           {line['line']}")
    elif "failed" not in line:
        url = f"  {line['url']}" if line.get("url") else ""
        say(f"{after_s:6.1f} s  {line.get('step')}{url}")


def _tell_of_same(end: Line, app: str) -> None:
    release = f"{app}@{end['version']}" if end.get("version") else app
    if end.get("active"):
        say(
            f"nothing was done: {release} has this content, and is active; --version VERSION makes "
            f"another version of it, and buntime recycle {app} starts its workers again"
        )
    else:
        say(
            f"nothing was done: {release} has this content, and is not active; to make it so: "
            f"buntime activate {release}"
        )


def _tell_of_failure(end: Line, what: str) -> None:
    error = end.get("error") or {}
    lines = [str(each) for each in (end.get("stack") or "").splitlines()[-_STACK_LINES:]]
    if log := end.get("log"):
        lines += ["", "The last lines that it printed:", *map(str, log[-_LOG_LINES:])]
    sys.stdout.flush()
    for line in lines:
        sys.stderr.write(f"{escape(line)}\n")
    message = f"{what} failed at {end['failed']}: {error.get('message', 'for an unknown reason')}"
    after = "what served before, if anything, goes on serving"
    sys.stderr.write(f"buntime: error: {escape(message)}; {after}\n")
