"""A runtime without plugins."""

from collections.abc import Callable

from buntime.core.plugins.plan import NO_PLUGINS, Plan
from buntime.server.plugins.sites import PluginSite
from buntime.server.pool.worker import Worker


class WithoutPlugins:
    """What a runtime has where there are none."""

    plan: Plan = NO_PLUGINS

    def worker_of(self, name: str) -> Worker | None:
        return None

    def at_base(self, segment: str) -> PluginSite | None:
        return None

    def follow(self, callback: Callable[[], None]) -> None:
        """Nothing ever changes."""
