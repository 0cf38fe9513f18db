"""Which app a request is for, by the host in the request and its path.

    at a host that an app names     the app, at "/"
    at any other                    plugins' bases, apps by the first segment of the path, and for
                                    the rest RUNTIME_DEFAULT_APP, at "/"

Reserved paths are handled earlier. Results are kept for one edition of the catalog, which lasts a
second at most. Finding a host costs one look-up in a dict if any app names a host, and nothing if
none does.
"""

from collections.abc import Callable

from buntime.core.apps.app import App
from buntime.core.apps.hosts import Claim
from buntime.core.apps.router import Target, default_target, split_target
from buntime.core.errors import ClientFault, ManifestError
from buntime.core.settings.live import LiveSettings
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.server.admin.entrance import app_not_found
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import Claims, HostIndex, check_default
from buntime.server.http1.exchange import Exchange
from buntime.server.pipeline.steps import AppStep, hide_affinity, keep_below, label_step
from buntime.server.plugins.failing import unavailable
from buntime.server.plugins.hookstep import host_of
from buntime.server.plugins.way import Plugins

_ROUTES_MAX = 256  # paths whose routes are remembered, for all hosts together
_PATH_MAX = 512  # characters in each path
_HOSTS_MAX = 256  # spellings of hosts that are remembered


class Route(NamedTuple):
    """Where requests for a path go."""

    app: App
    target: Target
    steps: tuple[AppStep, ...]


class _Realm(NamedTuple):
    """What a host serves: the app that has it, and where recently requested paths lead."""

    claim: Claim | None
    routes: dict[str, Route]


class Routes:
    """Finds routes, and keeps those found recently."""

    def __init__(
        self,
        catalog: Catalog,
        plugins: Plugins,
        live: LiveSettings,
        *,
        warn: Tell,
        steps_of: Callable[[App], tuple[AppStep, ...]],
    ) -> None:
        """`steps_of` gives the steps of an app's requests."""
        self.default: Target | None = None  # RUNTIME_DEFAULT_APP, without a path
        self._catalog = catalog
        self._plugins = plugins
        self._live = live
        self._warn = warn
        self._steps_of = steps_of
        self.hosts = HostIndex(catalog, warn=warn, operators=live.now.admin_host)
        # for one edition of the catalog
        self._edition = 0
        self._has_hosts = False  # does any app name a host?
        self._has_sessions_at_root = False  # does RUNTIME_DEFAULT_APP have affinity?
        self._nobodys = _Realm(None, {})  # for hosts that no app names
        self._realms: dict[str, _Realm] = {}  # by Host fields as received, if any app names a host
        self._kept = 0  # number of remembered routes

    def __repr__(self) -> str:
        return f"Routes({self.hosts!r}, {self._kept} kept)"

    def keep_hosts(self, claims: Claims) -> None:
        """Have each host stay with the app that had it first."""
        self.hosts.keep(claims)
        claims.follow(self._drop)

    def prepare(self, now: float) -> None:
        """Find out which hosts apps have, and report what is wrong with them."""
        self._renew(now)
        check_default(self._catalog, self.default, self._warn, now)

    def forget(self) -> None:
        """Drop what is kept: settings or plugins have changed."""
        self.default = default_target(self._live.now.default_app)
        self._edition = 0
        self._drop()

    def known(self, exchange: Exchange) -> Route | None:
        """The route of a recently requested path; a reserved path has none."""
        head, realm = exchange.head, self._nobodys
        if self._has_hosts:
            known = self._realms.get(exchange.sender.host or head.host)
            if known is None:
                return None
            realm = known
        route = realm.routes.get(head.target.partition("?")[0])
        if route is None or self._catalog.edition(exchange.started_s) != self._edition:
            return None
        return route

    def claim_of(self, exchange: Exchange, *, looks: bool) -> Claim | None:
        """The claim on the host of a request; None if no app has it.

        `looks`: it must be current, so the disk is checked if the last check is too old.
        """
        if looks:
            self._renew(exchange.started_s)
        return self._realm_of(exchange).claim

    def waits(self, exchange: Exchange, handle: Callable[[Exchange], None]) -> bool:
        """Whether it is not known yet, at a start, which app had the host first; then `handle` gets
        the request again once it is."""

        def go_on() -> None:
            if not exchange.is_ended:
                handle(exchange)

        return self.hosts.waits(go_on)

    def find(self, exchange: Exchange, *, keep: bool) -> Route:
        """Find the app and version for host and path; the app's steps do the rest.

        `keep`: no hook of a plugin can send the request elsewhere, so the route may be remembered.
        """
        path, now, chosen = exchange.head.path, exchange.started_s, exchange.chosen
        self._renew(now)
        realm = self._realm_of(exchange)
        claim = realm.claim if chosen is None else None  # a hook has the last word
        if chosen is not None:
            target = Target(chosen.name, chosen.spec, "", path)
            app = self._find_plugin(target) or self._catalog.find(target.name, target.spec, now)
        elif claim is not None:
            target = Target(claim.app, None, "", path)
            app = self._catalog.find(target.name, None, now)
        else:
            app, target = self._find_by_path(path, now)
        steps = self._steps_of(app)
        if claim is not None and claim.label:
            steps = (label_step(claim.label), *steps)
        may_be_at_root = self._has_sessions_at_root or not keep  # a hook may choose such an app
        if may_be_at_root and target.base and not app.has_affinity:
            steps = (hide_affinity, *steps)  # the cookie of an app at `/` reaches all apps below it
        if target.base and not target.rest and app.plugin is None:
            steps = (keep_below, *steps)
        route = Route(app, target, steps)
        if len(path) <= _PATH_MAX and keep:
            if self._kept == _ROUTES_MAX:
                self._drop()
            self._kept += 1
            realm.routes[path] = route
        return route

    def plugin_at(self, path: str) -> tuple[App, Target] | None:
        """What a plugin has at its base, if the path is below one. Raises ServerFault."""
        target = split_target(path)
        app = None if target is None else self._find_plugin(target)
        return None if target is None or app is None else (app, target)

    def _renew(self, now: float) -> None:
        """Find out what has changed since the last edition of the catalog."""
        edition = self._catalog.edition(now)
        if edition != self._edition:
            self._edition = edition
            self._has_hosts = bool(self.hosts.look(now))
            self._has_sessions_at_root = self._is_default_affine(now)
            self._drop()

    def _is_default_affine(self, now: float) -> bool:
        default = self.default
        if default is None:
            return False
        try:
            return self._catalog.find(default.name, default.spec, now).has_affinity
        except (ClientFault, ManifestError):
            return False  # reported by `prepare`

    def _realm_of(self, exchange: Exchange) -> _Realm:
        """What is at the requested host, as far as is known."""
        if not self._has_hosts:
            return self._nobodys
        host = host_of(exchange)
        realm = self._realms.get(host)
        if realm is None:
            claim = self.hosts.table.find(host)
            realm = self._nobodys if claim is None else _Realm(claim, {})
            if len(self._realms) == _HOSTS_MAX:
                self._drop()
            if len(host) <= _PATH_MAX:
                self._realms[host] = realm
        return realm

    def _find_by_path(self, path: str, now: float) -> tuple[App, Target]:
        """Find an app by the path, at a host that no app has."""
        target, default = split_target(path), self.default
        try:
            if target is None:
                raise app_not_found(path)
            app = self._find_plugin(target) or self._catalog.find(target.name, target.spec, now)
            if default is None or app.manifest.visibility != "internal":
                return app, target
        except ClientFault:  # an internal app must look like one that does not exist
            if default is None:
                raise
        try:
            return self._catalog.find(default.name, default.spec, now), default._replace(rest=path)
        except ClientFault:
            raise app_not_found(path) from None

    def _find_plugin(self, target: Target) -> App | None:
        """Find a plugin: its base comes before an app of the same name."""
        site = self._plugins.at_base(target.name) if target.spec is None else None
        if site is None:
            return None
        app = site.app or site.page
        if site.unavailable or app is None:
            raise unavailable(site.name, site.unavailable)
        return app

    def _drop(self) -> None:
        self._nobodys.routes.clear()
        self._realms.clear()
        self._kept = 0
