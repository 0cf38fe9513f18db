"""What is looked up once per plan: for each hook, and for the hooks of repeated requests.

A plan holds until a plugin or an app changes, see `core/plugins/plan`. So does everything here.
"""

from collections.abc import Hashable, Mapping

from buntime.core.http1.head import Head
from buntime.core.http1.sessioncookie import NAME as AFFINITY_COOKIE
from buntime.core.plugins.hooktext import Facts, Seen, seen_by
from buntime.core.plugins.plan import Hook, Plan
from buntime.core.plugins.verdictcache import Kept, VerdictCache
from buntime.core.telemetry.pluginmeters import HookMeter, PluginMeter, PluginMeters
from buntime.core.values.protocols import Protocol
from buntime.core.values.tuples import NamedTuple
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.server.plugins.asked import describe, of_others

# How long a request waits for a plugin that is started for the first time. That takes 0.1 to 1 s;
# at each start of the runtime, clients would otherwise be refused for so long.
FIRST_START_S = 10.0
_FOUND_MAX = 1000  # requests whose hooks are remembered
_FOUND_MAX_CHARS = 512  # of the path and the host of each
# Requests to which a kept verdict applied, and the bytes of a head, or of a verdict with its key.
_RECALLED_MAX = 256
_RECALLED_MAX_BYTES = 2048

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
        "recollection",
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
        self.recollection = Recollection()
        self._meter: HookMeter | None = None  # made when it is first asked

    def __repr__(self) -> str:
        return f"Part({self.hook!r})"

    @property
    def meter(self) -> HookMeter:
        if self._meter is None:
            self._meter = self.kept.hook(self.hook.missed)
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


class Recollection:
    """Finds the kept verdicts of one hook, and remembers to which requests they applied.

    To find one, everything that it may depend on is put together and hashed, see
    core/plugins/verdictcache. Clients repeat whole heads, and `HeadParser` gives the same `Head`
    for the same bytes. So a head is known by its identity, which stands for all that is in it and
    that the hook sees of it; the rest of the key is what a hook may see besides it.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Head, Kept]] = {}

    def __repr__(self) -> str:
        return f"Recollection({len(self._known)} requests)"

    def find(
        self,
        cache: VerdictCache,
        part: Part,
        exchange: Exchange,
        facts: Facts,
        generation: int,
        now: float,
    ) -> Kept | None:
        """The kept verdict that applies to the request, if there is one."""
        head, sender, client = exchange.head, exchange.sender, exchange.sender.client
        key = None
        # Fields and identities that come from plugins are made anew for each request.
        may_know = exchange.headers is head.headers and exchange.identity is None
        if may_know and head.fields_bytes + len(head.target) <= _RECALLED_MAX_BYTES:
            scheme, host, is_forwarded = sender.scheme, sender.host, sender.is_forwarded
            address = client[0] if client else ""
            key = (id(head), facts, generation, exchange.base, scheme, host, is_forwarded, address)
            known = self._known.get(key)  # it holds its head, so no other one has that id
            if known is not None and cache.holds(known[1], now):
                return known[1]
        asked = describe(part.hook, exchange, facts, generation, part.see(exchange))
        found = cache.find(asked, now)
        if key is not None and found is not None and found.size_bytes <= _RECALLED_MAX_BYTES:
            if len(self._known) >= _RECALLED_MAX:
                self._known.clear()
            self._known[key] = head, found
        return found


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
