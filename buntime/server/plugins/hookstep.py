"""The step of a request's way at which the hooks of some stages are asked."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from buntime.core.apps.app import App
from buntime.core.apps.router import Target
from buntime.core.plugins.hooktext import Facts
from buntime.core.plugins.plan import Plan
from buntime.server.http1.exchange import Exchange
from buntime.server.plugins.hooking import Hooking
from buntime.server.plugins.parts import Found, Request

Step = Callable[[Exchange, App, Target], bool]


def host_of(exchange: Exchange) -> str:
    """The host that the client has requested."""
    return exchange.sender.host or exchange.head.host


class HookStep:
    """Asks the hooks of one app's plan; afterwards `take` goes on with `rest`, the steps after it.

    `wants_identity`: it matters for the app who has signed in.
    """

    def __init__(
        self,
        hooking: Hooking,
        plan: Plan,
        owner: str,
        stages: Collection[str],
        wants_identity: bool,
        take: Callable[[Exchange, App, Target, Sequence[Step]], None],
    ) -> None:
        self.rest: Sequence[Step] = ()
        self._hooking = hooking
        self._found = hooking.parts.found
        self._plan = plan
        self._owner = owner
        self._stages = stages
        self._wants_identity = wants_identity
        self._take = take

    def __call__(self, exchange: Exchange, app: App, target: Target) -> bool:
        head, rest = exchange.head, target.rest
        request = (self, head.method, rest, exchange.sender.host or head.host)
        found = self._found.get(request) or self._find(app, request)
        if not found.hooks:
            return False
        then = partial(self._take, exchange, app, target, self.rest)
        return self._hooking.begin(exchange, found.hooks, found.facts, then)

    def _find(self, app: App, request: Request) -> Found:
        _, method, rest, host = request
        path, is_public = rest or "/", app.public_routes.cover(method, rest)
        hooks = self._plan.hooks_for(
            self._owner,
            method=method,
            path=path,
            host=host,
            is_public=is_public,
            wants_identity=self._wants_identity,
        )
        chosen = tuple(hook for hook in hooks if hook.stage in self._stages)
        found = Found(chosen, Facts(app.name, app.version, path, is_public))
        self._hooking.parts.remember(request, found)
        return found
