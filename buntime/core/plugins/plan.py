"""The plan: which plugins' request hooks are asked about which request, and in which order.

It is compiled when plugins or apps change, and read for each request:

    plan.closed            why everything but reserved paths is closed; "" nearly always
    plan.route(...)        hooks of stage route, before the app is known
    plan.hooks_for(...)    those of identity, access and content, in this order; within a stage by
                           `order`, then by name

Where no enabled plugin hooks an app, `hooks_for` costs one look-up in a dict.

What counts is that a plugin is enabled, not that it runs:

    stage             its process         its hooks in the plan
    ---------------   -----------------   ------------------------------------------------------
    identity, access  serves              as in its code
    identity, access  does not serve      closed: 503 for what its match covers
    identity, access  has no on_request   closed too: a misspelt hook must not open anything
    route, content    serves              as in its code
    route, content    served, is away     away: 503, or skipped with `onError: ignore`
    route, content    starts with the     coming: requests wait for it, and then go on with what
                      runtime             hooks it has, or without it if it does not serve in time
    route, content    never served else   none: it is unknown whether it has any

An enabled plugin whose manifest is unreadable might be a guard: its last good manifest counts, and
if there is none, everything is closed.

Stage access is not asked about public routes, unless the plugin's match says so. A plugin's hooks
never see its own base.
"""

from collections.abc import Iterable, Mapping

from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.plugins.manifest import STAGES, PluginManifest, Stage
from buntime.core.plugins.match import Matcher
from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple

_OWNERS_MAX = 10_000  # cached per owner; there are as many owners as apps and plugins
ON_REQUEST = "on_request"
ON_RESPONSE = "on_response"


@frozen()
class Standing:
    """The state of an enabled plugin.

    `hooks` are those in its code, from its READY; None where it has never served with this
    manifest. `away` says why it does not serve, "" where it does. `is_coming`: it is being started
    for the first time, and requests wait for that. `is_trusted`: what it answers may act as the
    operator.
    """

    manifest: PluginManifest
    hooks: frozenset[str] | None
    away: str = ""
    is_trusted: bool = False
    is_coming: bool = False


class Hook(NamedTuple):
    """One plugin's part in handling a request.

    With `closed` the request is refused with 503 `plugin_unavailable` when its turn comes, but with
    `is_coming` it waits for the plugin first; with `away` it is refused too, unless `ignores` is
    set. Otherwise the plugin is asked, if it has the hook.
    """

    plugin: str
    stage: Stage
    matcher: Matcher
    timeout_s: float
    ignores: bool  # failures are counted, logged and ignored
    body: bool
    asks_public: bool
    auth_only: bool  # asked only about apps that care who has signed in
    has_request: bool
    has_response: bool
    base: str | None
    closed: str = ""
    away: str = ""
    is_trusted: bool = False  # what it answers needs no sandbox at the operators' address
    is_coming: bool = False  # closed or away only until its first start is over

    def __repr__(self) -> str:
        state = f", closed: {self.closed}" if self.closed else ""
        return f"Hook({self.plugin}, {self.stage}{state})"

    @property
    def is_shut(self) -> bool:
        """Is the plugin away, with nothing to wait for?"""
        return bool(self.closed or self.away) and not self.is_coming

    @property
    def missed(self) -> str:
        """The name of the hook that a request misses first where the plugin is away."""
        return ON_RESPONSE if self.has_response and not self.has_request else ON_REQUEST

    def is_needed(self, *, is_public: bool) -> bool:
        """Whether a request must not go on where the hook fails or is away."""
        if self.auth_only and is_public:
            return False  # there nobody has to sign in
        if self.closed:
            return True
        return not (self.ignores or self.is_coming)  # who is coming may have no hooks


class Plan:
    """All hooks of enabled plugins, in the order in which they are asked. Immutable."""

    def __init__(self, hooks: Iterable[Hook] = (), *, closed: str = "") -> None:
        """`closed` says why only requests for reserved paths may pass."""
        self.closed = closed
        self.hooks = tuple(hooks)
        self._route = tuple(hook for hook in self.hooks if hook.stage == "route")
        self._later = tuple(hook for hook in self.hooks if hook.stage != "route")
        self._by_owner: dict[str, tuple[Hook, ...]] = {}
        self._by_plugin = {hook.plugin: hook for hook in self.hooks}

    def __repr__(self) -> str:
        return f"Plan({list(self.hooks)!r}{', closed: ' + self.closed if self.closed else ''})"

    def now(self, hook: Hook) -> Hook | None:
        """The state in this plan of a hook from an earlier one; None where it no longer exists.

        A request keeps the hooks and the order that it began with, and calls this for their current
        state.
        """
        now = self._by_plugin.get(hook.plugin)
        return hook if now is not None and now.stage != hook.stage else now

    def route(
        self, *, method: str, path: str, host: str, has_bases: bool = True
    ) -> tuple[Hook, ...]:
        """The hooks that may send a request elsewhere. `path` is the whole path, as received.

        `has_bases`: plugins have their bases at this host. They do not at a host of an app.
        """
        if not self._route:
            return ()
        return tuple(
            hook
            for hook in self._route
            if hook.matcher.fits(method, path, host)
            and not (has_bases and _is_below(path, hook.base))
        )

    def of(self, owner: str, *, wants_identity: bool = True) -> tuple[Hook, ...]:
        """The hooks that may concern an app or a plugin's base, whatever the request.

        `owner` is "shop", or "plugin:keyval", see `owner_of`. Only call this for owners that exist,
        because the result is cached. `wants_identity`: the owner cares who has signed in.
        """
        hooks = self._by_owner.get(owner)
        found = self._compile(owner) if hooks is None else hooks
        if wants_identity:
            return found
        return tuple(hook for hook in found if not hook.auth_only)

    def hooks_for(
        self,
        owner: str,
        *,
        method: str,
        path: str,
        host: str,
        is_public: bool,
        wants_identity: bool = True,
    ) -> tuple[Hook, ...]:
        """The hooks for a request, once it is known which app or plugin it is for.

        `path` is below the owner's base, as received. `is_public` is whether the owner's public
        routes cover the request; it may be anything where `of` is empty.
        """
        return tuple(
            hook
            for hook in self.of(owner, wants_identity=wants_identity)
            if (hook.asks_public or not is_public) and hook.matcher.fits(method, path, host)
        )

    def _compile(self, owner: str) -> tuple[Hook, ...]:
        if len(self._by_owner) >= _OWNERS_MAX:
            self._by_owner.clear()
        hooks = tuple(
            hook
            for hook in self._later
            if owner != owner_of(hook.plugin) and hook.matcher.fits_owner(owner)
        )
        self._by_owner[owner] = hooks
        return hooks


NO_PLUGINS = Plan()


def owner_of(plugin: str) -> str:
    """The name of a plugin as the owner of its base: "keyval" -> "plugin:keyval"."""
    return PLUGIN_PREFIX + plugin


def compile_plan(standings: Iterable[Standing], unreadable: Mapping[str, str]) -> Plan:
    """The plan of all enabled plugins.

    Plugins whose manifest cannot be read are in `standings` with their last good one; without one
    they are in `unreadable` with the reason: "plugins/authn/buntime.yaml:3: ...".
    """
    hooks = [hook for each in standings if (hook := _hook(each)) is not None]
    hooks.sort(key=lambda pair: pair[0])
    closed = "; ".join(f"{name}: {unreadable[name]}" for name in sorted(unreadable))
    return Plan((hook for _, hook in hooks), closed=closed)


def _hook(standing: Standing) -> tuple[tuple[int, float, str], Hook] | None:
    manifest, hooks = standing.manifest, standing.hooks or frozenset()
    closed = _closed(standing) if manifest.guards else ""
    if not (closed or standing.is_coming) and hooks.isdisjoint((ON_REQUEST, ON_RESPONSE)):
        return None
    hook = Hook(
        plugin=manifest.name,
        stage=manifest.stage,
        matcher=Matcher(manifest.match),
        timeout_s=manifest.hook_timeout_s,
        ignores=manifest.on_error == "ignore",
        body=manifest.body,
        asks_public=manifest.stage != "access" or manifest.match.public,
        auth_only=manifest.match.auth,
        has_request=ON_REQUEST in hooks,
        has_response=ON_RESPONSE in hooks,
        base=manifest.base,
        closed=closed,
        away="" if closed else standing.away,
        is_trusted=standing.is_trusted,
        is_coming=standing.is_coming,
    )
    return (STAGES.index(manifest.stage), manifest.order, manifest.name), hook


def _closed(standing: Standing) -> str:
    """Why a guard closes what it covers; "" where it does not."""
    if standing.away:
        return standing.away
    if standing.hooks is None:
        return "has not been started"
    if ON_REQUEST not in standing.hooks:
        return f"has the stage {standing.manifest.stage}, but no {ON_REQUEST} in its code"
    return ""


def _is_below(path: str, base: str | None) -> bool:
    """Whether a path is at or below a base, by its first segment, as targets are found."""
    if base is None or not path.startswith(base):
        return False
    return path[len(base) : len(base) + 1] in ("", "/")
