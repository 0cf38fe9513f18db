"""What is looked up once per plan: for each hook, and for the hooks of repeated requests.

A plan holds until a plugin or an app changes, see `core/plugins/plan`. So does everything here.
"""

from collections.abc import Hashable, Mapping

from buntime.core.http1.sessioncookie import NAME as AFFINITY_COOKIE
from buntime.core.plugins.hooktext import Facts, Seen, seen_by
from buntime.core.plugins.plan import ON_REQUEST, Hook, Plan
from buntime.core.telemetry.pluginmeters import HookMeter, PluginMeter, PluginMeters
from buntime.core.values.protocols import Protocol
from buntime.core.values.tuples import NamedTuple
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.server.plugins.asked import of_others

# How long a request waits for a plugin that is started for the first time. That takes 0.1 to 1 s;
# at each start of the runtime, clients would otherwise be refused for so long.
FIRST_START_S = 10.0
_FOUND_MAX = 1000  # requests whose hooks are remembered
_FOUND_MAX_CHARS = 512  # of the path and the host of each

Request = tuple[Hashable, str, str, str]  # the step that it is at, its method, path and host


class Found(NamedTuple):
    """The hooks of a request."""

    hooks: tuple[Hook, ...]
    facts: Facts


class Plugins(Protocol):
    """The plugins, as far as this needs them."""

    @property
    def plan(self) -> Plan: ...
    @property
    def cookies(self) -> Mapping[str, frozenset[str]]: ...


class Part:
    """One hook in the current plan, with everything needed to ask it."""

    __slots__ = (
        "_meter",
        "hidden",
        "hook",
        "kept",
        "patience",
        "sees_all",
        "timeout_ms",
        "timeouts",
    )

    def __init__(
        self,
        hook: Hook,
        *,
        hidden: frozenset[str],
        meter: PluginMeter,
        timeouts: TimeoutQueue,
        patience: TimeoutQueue,
    ) -> None:
        self.hook = hook
        self.hidden = hidden  # the cookies of other plugins
        self.kept = meter  # where its kept verdicts are counted
        self.sees_all = hook.stage == "identity"
        self.timeout_ms = round(hook.timeout_s * 1000)
        self.timeouts = timeouts  # for its answers
        self.patience = patience  # for requests that wait until it serves
        self._meter: HookMeter | None = None  # made when it is first asked

    def __repr__(self) -> str:
        return f"Part({self.hook!r})"

    @property
    def meter(self) -> HookMeter:
        if self._meter is None:
            self._meter = self.kept.hook(ON_REQUEST)
        return self._meter

    def see(self, exchange: Exchange) -> Seen:
        """What the hook sees of the request's fields."""
        return seen_by(
            exchange.head,
            exchange.headers,
            from_proxy=exchange.sender.is_forwarded,
            sees_all=self.sees_all,
            hidden=self.hidden,
        )


class Parts:
    """All parts of the current plan, and the requests that were looked up lately."""

    def __init__(self, loop: Loop, plugins: Plugins, meters: PluginMeters) -> None:
        self._loop = loop
        self._plugins = plugins
        self._meters = meters
        self._plan: Plan | None = None  # the plan that all of this belongs to
        self._parts: dict[str, Part] = {}  # by the plugin's name
        self.found: dict[Request, Found] = {}  # of this plan, as a step is made anew with it

    def __repr__(self) -> str:
        return f"Parts({list(self._parts)}, {len(self.found)} found)"

    def of(self, hook: Hook) -> Part | None:
        """The part for a hook of this plan or an earlier one; None if the hook no longer exists.

        A request keeps the hooks, and their order, that it began with, and looks up parts here.
        """
        if self._plan is not self._plugins.plan:
            self._begin()
        part = self._parts.get(hook.plugin)
        if part is not None and part.hook.stage == hook.stage:
            return part
        return self._make(hook)

    def remember(self, request: Request, found: Found) -> None:
        """Remember the hooks of such a request. Finding them meant matching the patterns of
        each."""
        if self._plan is not self._plugins.plan:
            self._begin()
        _, _, path, host = request
        if len(path) + len(host) <= _FOUND_MAX_CHARS:
            if len(self.found) >= _FOUND_MAX:
                self.found.clear()
            self.found[request] = found

    def _begin(self) -> None:
        """A new plan holds."""
        self._plan = self._plugins.plan
        self._parts.clear()
        self.found.clear()

    def _make(self, hook: Hook) -> Part | None:
        now = self._plugins.plan.now(hook)
        if now is None:
            return None
        timeouts = self._loop.timeouts(now.timeout_s)
        part = Part(
            now,
            hidden=of_others(self._plugins.cookies, now.plugin) | {AFFINITY_COOKIE},
            meter=self._meters.of(now.plugin),
            timeouts=timeouts,
            patience=self._loop.timeouts(FIRST_START_S) if now.is_coming else timeouts,
        )
        self._parts[now.plugin] = part
        return part
