"""The step of a request's way at which the hooks of some stages are asked."""

from collections.abc import Callable, Collection, Sequence

from buntime.core.apps.app import App
from buntime.core.apps.router import Target
from buntime.core.plugins.plan import Plan
from buntime.server.http1.exchange import Exchange
from buntime.server.plugins.asked import Facts
from buntime.server.plugins.hooking import Hooking

Step = Callable[[Exchange, App, Target], bool]


def host_of(exchange: Exchange) -> str:
    """The host that the client has asked for."""
    return exchange.sender.host or exchange.head.host


class HookStep:
    """Asks the hooks of one app's plan; afterwards `take` goes on with `rest`, the steps behind."""

    def __init__(
        self,
        hooking: Hooking,
        plan: Plan,
        owner: str,
        stages: Collection[str],
        take: Callable[[Exchange, App, Target, Sequence[Step]], None],
    ) -> None:
        self.rest: Sequence[Step] = ()
        self._hooking = hooking
        self._plan = plan
        self._owner = owner
        self._stages = stages
        self._take = take

    def __call__(self, exchange: Exchange, app: App, target: Target) -> bool:
        method, path = exchange.head.method, target.rest or "/"
        is_public = app.public_routes.cover(method, target.rest)
        found = self._plan.hooks_for(
            self._owner, method=method, path=path, host=host_of(exchange), is_public=is_public
        )
        hooks = [hook for hook in found if hook.stage in self._stages]
        if not hooks:
            return False
        facts = Facts(app.name, app.version, path, is_public)
        return self._hooking.begin(
            exchange, hooks, facts, lambda: self._take(exchange, app, target, self.rest)
        )
