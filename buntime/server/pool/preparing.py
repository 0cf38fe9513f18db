"""Requests that wait while the interpreter of their app is looked at for the first time.

That may run a program, or install packages, so it is done off the loop.
"""

from collections.abc import Callable

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.server.http1.exchange import Exchange
from buntime.server.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.responders import InPreparation
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.telemetry.logs import Log


class Preparing:
    """Looks at interpreters, each once, and holds the requests that need them."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        interpreters: Interpreters,
        *,
        submit: Callable[[Exchange, App], None],
    ) -> None:
        """`submit` gets each request again once the interpreter of its app is known."""
        self._loop = loop
        self._log = log
        self._interpreters = interpreters
        self._submit = submit
        self._waiting: dict[App, list[Exchange]] = {}

    def __repr__(self) -> str:
        return f"Preparing({[app.key for app in self._waiting]})"

    def add(self, exchange: Exchange, app: App) -> None:
        """Hold the request until the app's interpreter is known, or its deadline passes."""
        exchange.hand_over(InPreparation(exchange), app.manifest.timeout_s)
        waiting = self._waiting.get(app)
        if waiting is not None:
            waiting.append(exchange)
            return
        self._waiting[app] = [exchange]
        self._loop.run_blocking(
            lambda: self._interpreters.find(app), lambda found: self._found(app, found)
        )

    def _found(self, app: App, found: Interpreter | BaseException) -> None:
        waiting = [each for each in self._waiting.pop(app) if not each.is_ended]
        for exchange in waiting:
            exchange.take_back()
        error = None if isinstance(found, Interpreter) else found
        while waiting and error is None:
            try:
                self._submit(waiting[0], app)
                del waiting[0]
            except ManifestError as exc:  # it has changed since it was looked at
                error = exc
        if error is None:
            return
        self._log.error("app.start_failed", "app cannot be started", app=app.key, error=str(error))
        for exchange in waiting:
            exchange.fail(faults.misconfigured(str(error)))
        if not isinstance(error, ManifestError):
            raise error
