"""`GET /api/history`: the last hour in numbers, for the apps that a caller's globs cover.

A thread puts it together: a hundred apps in 360 points make a megabyte of JSON.
"""

import json
import time
from collections.abc import Callable, Mapping

from buntime.core.errors import ServerFault
from buntime.core.telemetry.history import STEP_S, Hour
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.chronicle import Chronicle
from buntime.server.admin.events import sight_of
from buntime.server.loop.loop import Loop


class HistoryPages:
    """Serves this page."""

    def __init__(
        self, loop: Loop, chronicle: Chronicle, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._loop = loop
        self._chronicle = chronicle
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"history.show": self._show}

    def _show(self, call: Call) -> None:
        hour = self._hour(call)
        step_points, has_apps = call.query["step"] // int(STEP_S), call.query["apps"]
        ended = self._clock() - self._chronicle.age_s(call.now)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ended))
        head = {"stepSeconds": call.query["step"], "end": end}

        def write() -> bytes:
            return (
                json.dumps(head | hour.to_json(step_points, has_apps=has_apps)).encode("ascii")
                + b"\n"
            )

        def answer(written: bytes | BaseException) -> None:
            if isinstance(written, BaseException):
                call.fail(ServerFault(500, "internal", "the history could not be written"))
                raise written  # a bug, for the log
            fields = [("content-type", "application/json"), ("cache-control", "no-store")]
            call.respond(200, fields, written)

        self._loop.run_blocking(write, answer)

    def _hour(self, call: Call) -> Hour:
        """Its total covers all apps if the caller sees all, otherwise only the apps included."""
        history, app = self._chronicle.history, call.query["app"]
        if app is not None:
            return history.hour([app])
        sees = sight_of(call.caller, call.route.verb)
        return history.hour() if sees is None else history.hour(filter(sees, history.names))
