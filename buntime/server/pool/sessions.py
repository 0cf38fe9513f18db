"""Sends a client's requests to the worker that answered its first one, if its app has
`affinity`."""

import os
from collections.abc import Sequence

from buntime.core.apps.app import App
from buntime.core.http1 import sessioncookie
from buntime.core.http1.answer import FIELDS_MAX
from buntime.core.pool.decisions import Decision
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState
from buntime.core.values.protocols import Protocol
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.deployments import Deployments
from buntime.server.pool.responders import Queued, Queues
from buntime.server.pool.stats import PoolStats

# Not kept across a restart: workers are numbered anew.
_KEY = os.urandom(sessioncookie.KEY_BYTES)


class Acts(Queues, Protocol):
    """The pool."""

    deployments: Deployments
    stats: PoolStats

    def enqueue(self, exchange: Exchange, deployment: Deployment) -> None: ...
    def carry_out(self, decisions: list[Decision]) -> None: ...


class Sessions:
    """Hands requests to the workers that their cookies name."""

    def __init__(self, loop: Loop, scheduler: Scheduler, acts: Acts) -> None:
        self._loop = loop
        self._scheduler = scheduler
        self._acts = acts

    def submit(self, exchange: Exchange, app: App) -> bool:
        """Let its client's worker answer the request; False if it has none."""
        number = _named(exchange, app)
        state = None if number is None else self._state_of(number, app)
        if number is None or state is None:
            return False
        self._acts.stats.on_request(app.key)
        exchange.hand_over(Queued(exchange, self._acts, state), app.manifest.timeout_s)
        self._acts.carry_out(self._scheduler.submit_to(number, exchange, self._loop.now))
        return True

    def lose(self, exchange: Exchange) -> None:
        """The worker it waited for leaves, and may have had code that no longer serves: any worker
        that serves what the request asks for may have it."""
        serving = self._acts.deployments.serving(exchange.app)
        if serving is None:
            exchange.fail(faults.overloaded("the worker of this session is gone", 1.0))
        else:
            self._acts.enqueue(exchange, serving)

    def _state_of(self, number: int, app: App) -> AppState | None:
        # Called for each request, because this notices changes of the code.
        deployment = self._acts.deployments.current(app)
        state = deployment.state if deployment is not None else None
        return self._scheduler.keeps_session(number, state, self._loop.now)


def with_cookie(
    fields: Sequence[list[str]], exchange: Exchange, number: int
) -> Sequence[list[str]]:
    """The fields of an answer of this worker, with a cookie if the client has another or none.

    They come from a worker, and may be malformed: the answer refuses them then.
    """
    app, base = exchange.app, exchange.base
    if (
        app is None
        or not app.has_affinity
        or not isinstance(fields, list)
        or len(fields) >= FIELDS_MAX
    ):
        return fields
    if _named(exchange, app) == number:
        return fields
    value = sessioncookie.make(_KEY, app.name, base, number)
    is_secure = exchange.sender.scheme == "https"
    value = sessioncookie.field_value(value, base, is_secure=is_secure)
    return [*fields, ["set-cookie", value]]


def _named(exchange: Exchange, app: App) -> int | None:
    return sessioncookie.find(_KEY, app.name, exchange.base, exchange.head.headers)
