"""Sends requests through the hooks of plugins; holds what all of them share."""

from collections.abc import Callable, Sequence

from buntime.core.plugins.hooktext import Facts
from buntime.core.plugins.plan import Hook, Plan
from buntime.core.plugins.verdictcache import VerdictCache
from buntime.core.pool.gathering import Gathering
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.core.values.tally import Tally
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.plugins.bodies import Bodies
from buntime.server.plugins.changing import Changing
from buntime.server.plugins.failing import Outages
from buntime.server.plugins.footings import Footings
from buntime.server.plugins.parts import Parts
from buntime.server.plugins.way import Plugins, Way
from buntime.server.telemetry.logs import Log

_REFUSALS_EVERY_S = 60.0


class Hooking:
    """Sends requests through hooks."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        plugins: Plugins,
        *,
        meters: PluginMeters,
        api_prefix: str,
        gathering: Gathering,
    ) -> None:
        """`gathering` has the memory of bodies that are kept."""
        self.loop = loop
        self.log = log
        self.meters = meters
        self.plugins = plugins
        self.api_prefix = api_prefix
        self.parts = Parts(loop, plugins, meters)
        self.changing = Changing(loop, plugins)
        self.outages = Outages(loop, log, plugins)
        self.bodies = Bodies(gathering)
        self.kept = VerdictCache()
        self.footings = Footings(loop, self.kept)
        # Requests that were refused for one reason: anybody can send as many as they like.
        self._closed = ""
        self._refusals = Tally(every_s=_REFUSALS_EVERY_S)

    def begin(
        self, exchange: Exchange, hooks: Sequence[Hook], facts: Facts, then: Callable[[], None]
    ) -> bool:
        """Ask these hooks about a request that has no responder.

        True if it is answered, or will be: `then` goes on with it once all hooks have let it pass.
        Raises HttpError if it may not pass.
        """
        return Way(self, exchange, hooks, facts, then).advance()

    def forget(self, plugin: str, tag: str) -> None:
        """Forget this plugin's verdicts with this tag."""
        self.kept.forget(plugin, tag, self.loop.now)
        self.footings.forget(plugin, tag)

    def is_closed(self, plan: Plan, exchange: Exchange) -> bool:
        """Whether nothing may pass, because a guard's manifest cannot be read; this is logged, for
        each reason once and then once a minute."""
        if not plan.closed:
            return False
        if plan.closed != self._closed:
            self._closed, self._refusals = plan.closed, Tally(every_s=_REFUSALS_EVERY_S)
        requests = self._refusals.add(exchange.now)
        if requests:
            self.log.warn(
                "plugin.closed",
                "a plugin cannot be read, so requests are refused",
                error=plan.closed,
                requests=requests,
                request_id=exchange.id,
            )
        return True
