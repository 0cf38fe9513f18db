"""Requests that wait while the interpreter of their app is looked at for the first time.

That may run a program, or install packages, so it is done off the loop. Also requests that wait
while no version of their app runs, because a deploy ends one before it starts the next (`replace:
after`).
"""

from collections.abc import Callable

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.core.pool.rollout import is_meant
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.responders import InPreparation
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter


class Preparing:
    """Examines interpreters, each once, and holds the requests that need them."""

    def __init__(
        self,
        loop: Loop,
        interpreters: Interpreters,
        *,
        submit: Callable[[Exchange, App], None],
        tell_of_fault: Callable[[App, BaseException], None],
    ) -> None:
        """`submit` gets each request again once the interpreter of its app is known, and
        `tell_of_fault` an app that has none."""
        self._loop = loop
        self._interpreters = interpreters
        self._submit = submit
        self._tell_of_fault = tell_of_fault
        self._waiting: dict[App, list[Exchange]] = {}
        self.held: dict[str, list[tuple[Exchange, App]]] = {}  # by the names of their apps

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

    def hold(self, name: str) -> None:
        """Make requests for all versions of this app wait from now on."""
        self.held.setdefault(name, [])

    def keep(self, exchange: Exchange, app: App) -> None:
        """Hold the request until `let_go`, or until its deadline passes."""
        exchange.hand_over(InPreparation(exchange), app.manifest.timeout_s)
        self.held[app.name].append((exchange, app))

    def let_go(self, name: str, old: App | None = None, new: App | None = None) -> None:
        """They continue; those for `old` that `new` may answer go there."""
        for exchange, app in self.held.pop(name, []):
            if exchange.is_ended:
                continue
            exchange.take_back()
            target = app
            if new is not None and app is old and is_meant(new, exchange.spec):
                target = new
                exchange.route_to(new, base=exchange.base, spec=exchange.spec)
            try:
                self._submit(exchange, target)
            except ManifestError as exc:
                exchange.fail(faults.misconfigured(str(exc)))

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
        self._tell_of_fault(app, error)
        for exchange in waiting:
            exchange.fail(faults.misconfigured(str(error)))
        if not isinstance(error, ManifestError):
            raise error
