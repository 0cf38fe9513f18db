"""A runtime without plugins, for tests of other parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from buntime.core.access.rules import Rule
from buntime.core.plugins.plan import NO_PLUGINS, Plan
from buntime.server.plugins.sites import PluginSite
from buntime.server.pool.worker import Worker


class WithoutPlugins:
    plan: Plan = NO_PLUGINS
    cookies: Mapping[str, frozenset[str]] = {}  # nothing ever changes
    rules: tuple[Rule, ...] = ()

    def worker_of(self, name: str) -> Worker | None:
        return None

    def is_changing(self, name: str) -> bool:
        return False

    def wake(self, name: str) -> bool:
        return False

    def at_base(self, segment: str) -> PluginSite | None:
        return None

    def follow(self, callback: Callable[[], None]) -> None:
        """Nothing ever changes."""
