"""A request's way through the runtime: a list of steps that each answer it or pass it on.

The order is in `Pipeline.__init__`, and in docs/architecture.md. A step refuses a request by
raising an `HttpError`, which becomes the answer.

By the time requests arrive here, they have an id and a known sender. An app's steps are made once
for each `App`, see `steps`; they are dropped with the app, and when settings change. `routes`
finds the app for a host and a path. At a host that an app names, every path belongs to the app,
except for `/.well-known/buntime`.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from weakref import WeakKeyDictionary

from buntime.core.access.rules import Rules, rules_of
from buntime.core.apps.app import App
from buntime.core.apps.hosts import Claim
from buntime.core.apps.router import RESERVED, Target, reserved_path
from buntime.core.errors import ClientFault, HttpError, ManifestError
from buntime.core.http1.signin import SIGN_IN
from buntime.core.plugins.hooktext import Facts
from buntime.core.settings.live import LiveSettings
from buntime.core.sites.shellrules import IN_A_SANDBOX, framed_fields, framed_target
from buntime.server.admin.entrance import access_step, app_not_found
from buntime.server.admin.gate import borne_by
from buntime.server.admin.latepages import LatePages
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import Claims, HostIndex
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.morefields import add_fields
from buntime.server.http1.service import Asked
from buntime.server.pipeline.framing import framing_step
from buntime.server.pipeline.home import Home
from buntime.server.pipeline.misconfigured import Misconfigured
from buntime.server.pipeline.routes import Routes
from buntime.server.pipeline.shell import Shell, without_shell
from buntime.server.pipeline.steps import (
    Admittance,
    AppStep,
    LateStep,
    cookie_step,
    cron_only_step,
    late_maintenance_step,
    maintenance_step,
    pool_step,
    preview_step,
    session_step,
    set_aside_step,
    signature_step,
    size_step,
    upgrade_step,
)
from buntime.server.pipeline.strays import Strays
from buntime.server.plugins.failing import all_closed, unavailable
from buntime.server.plugins.hooking import Hooking
from buntime.server.plugins.hookstep import HookStep, host_of
from buntime.server.plugins.sites import PluginSite
from buntime.server.plugins.way import Plugins
from buntime.server.pool import faults
from buntime.server.pool.pool import Pool
from buntime.server.telemetry.logs import Log

# Hooks of stage access may use the identity; keys are checked before them, and hidden from them.
_BEFORE_ACCESS = frozenset({"identity"})
_BEHIND_ACCESS = frozenset({"access", "content"})

# What the runtime still answers itself at an app's host.
_OWN = "/.well-known/buntime"
_HEALTH = f"{_OWN}/health"
_AT_HOSTS = frozenset((_HEALTH, f"{_OWN}/frame.js"))
_WELL_KNOWN = "/.well-known/"
_SIGN_IN = f"/{SIGN_IN}"

_ALLOWED = ("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")


class Pipeline:
    """Answers exchanges, or hands them to whatever does."""

    def __init__(
        self,
        live: LiveSettings,
        catalog: Catalog,
        pool: Pool,
        pages: LatePages,
        log: Log,
        *,
        admittance: Admittance,
        plugins: Plugins,
        hooking: Hooking,
    ) -> None:
        self._api_prefix = live.now.api_prefix
        self._pages = pages
        self._misconfigured = Misconfigured(log.error)
        recheck_s = 0.0 if live.now.is_development else 1.0
        self._submit = submit = pool_step(pool)
        self._plugins = plugins
        self._hooking = hooking
        self._gate = gate = admittance.gate
        self._home = Home(live, catalog, pool, plugins, gate)
        self._shell = Shell(live, catalog, plugins, gate, self._show_shell)
        # The order of a request's steps, once its app is known.
        self._app_steps: tuple[Callable[[App], AppStep | None], ...] = (
            lambda _: None if gate.knows_keys else LateStep(gate.waits_for_keys, self._take),
            lambda _: late_maintenance_step(admittance.maintenance, self._take),
            lambda app: self._shell.step(app, self._site(app)),
            lambda app: self._shell.sandbox_step(self._site(app)),
            lambda app: framing_step(self._site(app), gate),
            lambda app: set_aside_step(gate) if self._is_asked(app, _BEFORE_ACCESS) else None,
            lambda app: self._hook_step(app, _BEFORE_ACCESS),
            cron_only_step,
            lambda app: preview_step(app, admittance.previews),
            self._access_step,
            lambda app: maintenance_step(app, admittance.maintenance),
            size_step,
            upgrade_step,
            lambda app: self._hook_step(app, _BEHIND_ACCESS),
            lambda app: cookie_step(app, self._plugins.cookies),
            lambda app: _file_step(app, self._site(app), recheck_s=recheck_s, log=log),
            lambda app: signature_step(app, admittance.secrets),
            lambda app: session_step(app, pool),
            lambda _: submit,
        )
        self._made: WeakKeyDictionary[App, tuple[AppStep, ...]] = WeakKeyDictionary()
        self._rules: WeakKeyDictionary[App, Rules] = WeakKeyDictionary()  # several steps need them
        # The possible second characters of a reserved target. Most targets have another one there.
        self._initials = frozenset({"", self._api_prefix[1:2], *(word[0] for word in RESERVED)})
        self._health = ("/health", f"{self._api_prefix}/api/health", _HEALTH)
        self._routes = Routes(catalog, plugins, live, warn=log.warn, steps_of=self._steps_of)
        # Looks up the route of a recently requested path; a reserved path has none.
        self._known_route = self._routes.known
        self._strays = Strays(catalog.find, log.warn, live.now)
        self._is_hooked = False  # does a plugin have a say before the app is known?
        self._forget()
        live.follow(self._forget)
        plugins.follow(self._forget)
        gate.follow(self._forget)
        admittance.maintenance.follow(self._forget)

    def explain(self, request: Asked, error: HttpError) -> str:
        """What else is to be done about an error that no app gave; "" for nothing."""
        return self._strays.explain(request, error)

    @property
    def hosts(self) -> HostIndex:
        """Which app has which host."""
        return self._routes.hosts

    def keep_hosts(self, claims: Claims) -> None:
        """Have each host stay with the app that had it first."""
        self._routes.keep_hosts(claims)

    def prepare(self, now: float) -> None:
        """Find out which hosts apps have, and report what is wrong with them."""
        self._routes.prepare(now)

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            if exchange.head.is_secure and exchange.sender.scheme != "https":
                raise _misdirected()
            route = self._known_route(exchange)
            if route is None:
                # Health must answer at once, however long a look at the disk would take.
                is_health = exchange.head.path.startswith(self._health)
                claim = self._routes.claim_of(exchange, looks=not is_health)
                if claim and not is_health and self._routes.waits(exchange, self.handle):
                    return
                if self._answer_reserved(exchange, claim):
                    return
                if self._is_hooked and self._ask_for_route(exchange, claim):
                    return
                route = self._routes.find(exchange, keep=not self._is_hooked)
            app, target, steps = route
            exchange.route_to(app, base=exchange.sender.prefix + target.base, spec=target.spec)
            for step in steps:
                if step(exchange, app, target):
                    return  # the last step always does
        except (HttpError, ManifestError) as error:
            self._fail(exchange, error)

    def show_plugin(self, exchange: Exchange, *, is_framed: bool = False) -> bool:
        """Answer with what a plugin has at its base, if the path leads to one; no app answers."""
        try:
            found = self._routes.plugin_at(exchange.head.path)
            if found is None:
                return False
            app, target = found
            exchange.route_to(app, base=exchange.sender.prefix + target.base)
            steps = self._steps_of(app)
            if is_framed:
                steps = self._framed(app, steps)
        except (HttpError, ManifestError) as error:
            self._fail(exchange, error)
        else:
            self._take(exchange, app, target, steps)
        return True

    def _fail(self, exchange: Exchange, error: HttpError | ManifestError) -> None:
        if isinstance(error, HttpError):
            is_nothing = error.status == 404 and exchange.head.path == "/"
            if is_nothing and self._is_nobodys(exchange):
                self.explain(exchange, error)  # `redirect("/")` of an app leads to the panel
                if self._home.answer(exchange):
                    return
            exchange.fail(error)
            return
        self._misconfigured.tell(str(error), exchange.head.path, exchange.started_s)
        exchange.fail(faults.misconfigured(str(error)))

    def _is_nobodys(self, exchange: Exchange) -> bool:
        return self._routes.default is None and exchange.app is None

    # Plugins

    def _ask_for_route(
        self, exchange: Exchange, claim: Claim | None, *, is_framed: bool = False
    ) -> bool:
        """Ask the hooks of stage route, before the path is looked at."""
        plan, head = self._plugins.plan, exchange.head
        if self._hooking.is_closed(plan, exchange):
            raise all_closed(plan.closed)
        if self._gate.has_keys:
            exchange.set_aside(self._gate.is_key_field)
        has_bases, host = claim is None, host_of(exchange)
        hooks = plan.route(method=head.method, path=head.path, host=host, has_bases=has_bases)
        facts = Facts(None, None, head.path, is_public=False, is_all_apps=not has_bases)
        go_on = partial(self._go_on, exchange, is_framed=is_framed)
        return self._hooking.begin(exchange, hooks, facts, go_on)

    def _go_on(self, exchange: Exchange, *, is_framed: bool = False) -> None:
        """Go on: the hooks of stage route have let the request pass."""
        try:
            app, target, steps = self._routes.find(exchange, keep=False)
            if is_framed:
                steps = self._framed(app, steps)
        except (HttpError, ManifestError) as error:
            self._fail(exchange, error)
            return
        exchange.route_to(app, base=exchange.sender.prefix + target.base, spec=target.spec)
        self._take(exchange, app, target, steps)

    def _take(self, exchange: Exchange, app: App, target: Target, steps: Sequence[AppStep]) -> None:
        """Take the given steps: those that are left, or all of an app's."""
        try:
            for step in steps:
                if step(exchange, app, target):
                    return
        except (HttpError, ManifestError) as error:
            self._fail(exchange, error)

    def _hook_step(self, app: App, stages: Collection[str]) -> AppStep | None:
        """Asks the hooks of these stages, if the app has any."""
        if not self._is_asked(app, stages):
            return None
        wants = self._wants_identity(app)
        return HookStep(self._hooking, self._plugins.plan, app.name, stages, wants, self._take)

    def _is_asked(self, app: App, stages: Collection[str]) -> bool:
        if app.manifest.visibility == "operators":
            return False  # like the API behind it: whoever manages plugins needs no plugin
        hooks = self._plugins.plan.of(app.name, wants_identity=self._wants_identity(app))
        return any(hook.stage in stages for hook in hooks)

    def _access_step(self, app: App) -> AppStep | None:
        hooks = self._plugins.plan.of(app.name)
        signs_in = any(hook.stage == "identity" for hook in hooks)
        site = self._site(app)
        opens = site.opens if site is not None else None
        return access_step(app, self._gate, self._rules_of(app), signs_in=signs_in, opens=opens)

    def _wants_identity(self, app: App) -> bool:
        """Does the app care who has signed in?"""
        return app.manifest.auth != "none" or self._rules_of(app).wants_identity

    def _rules_of(self, app: App) -> Rules:
        rules = self._rules.get(app)
        if rules is None:
            rules = self._rules[app] = rules_of(app.name, self._plugins.rules)
        return rules

    def _site(self, app: App) -> PluginSite | None:
        """What a plugin has at its base, if the app is a plugin's."""
        return self._plugins.at_base(app.base[1:]) if app.base else None

    # The shell, and pages in its frames

    def _show_shell(self, exchange: Exchange, app: App, target: Target) -> None:
        """Answer with the shell's page instead of the requested one."""
        if not app.is_static:  # its code must see a request for its own page
            head = exchange.head._replace(target=target.base + target.rest)
            exchange.rewrite(head._replace(headers=exchange.headers))
        exchange.route_to(app, base=exchange.sender.prefix + target.base)
        self._take(exchange, app, target, self._steps_of(app))

    def frame(self, exchange: Exchange, target: str) -> None:
        """Answer with the page at `target`, sandboxed, even if it is opened outside the shell."""
        add_fields(exchange, IN_A_SANDBOX)
        head = exchange.head
        exchange.rewrite(head._replace(target=target, headers=framed_fields(head.headers)))
        if exchange.is_operators:
            if not self.show_plugin(exchange, is_framed=True):
                exchange.fail(app_not_found(exchange.head.path))
            return
        if self._is_hooked and self._ask_for_route(exchange, None, is_framed=True):
            return
        self._go_on(exchange, is_framed=True)

    def _framed(self, app: App, steps: tuple[AppStep, ...]) -> tuple[AppStep, ...]:
        """The steps of a page that may be shown in a frame. Raises ClientFault (404)."""
        site = self._site(app)
        if not app.manifest.in_shell and (site is None or site.page is None):
            raise app_not_found(app.base or f"/{app.name}")
        return without_shell(steps)

    # The app

    def _answer_reserved(self, exchange: Exchange, claim: Claim | None) -> bool:
        """Answer requests that no app can have: `OPTIONS *`, and the runtime's own paths."""
        target = exchange.head.target
        if target[1:2] not in self._initials:
            return False
        if target == "*":  # asks what the server as a whole can do
            exchange.respond(204, [_ALLOWED])
            return True
        if claim is None:
            path = reserved_path(target, self._api_prefix)
            is_left = self._routes.default is not None and (path or "").startswith(_WELL_KNOWN)
        else:
            path, is_left = exchange.head.path, True
        if path is None or (is_left and not (path + "/").startswith(_OWN + "/")):
            return False
        if (path + "/").startswith(_SIGN_IN + "/") and self._sign_in(exchange, path):
            return True
        if claim is not None and path.rstrip("/") not in _AT_HOSTS:
            raise ClientFault(404, "not_found", f"there is no {path[:200]}")
        framed = framed_target(exchange.head.target)
        if framed is not None and reserved_path(framed, self._api_prefix) is None:
            self.frame(exchange, framed)
        else:
            self._pages.answer(exchange, path)
        return True

    def _sign_in(self, exchange: Exchange, path: str) -> bool:
        """Hand the request to the plugin that signs people in, if there is one; asks no hooks."""
        site = self._plugins.at_base(SIGN_IN)
        app = site.app if site is not None else None
        if site is None or app is None:
            return False
        if site.unavailable:
            raise unavailable(site.name, site.unavailable)
        target = Target(app.name, None, _SIGN_IN, path.removeprefix(_SIGN_IN))
        exchange.route_to(app, base=exchange.sender.prefix + _SIGN_IN, spec=None)
        if self._gate.bears(borne_by(exchange)):
            exchange.withhold(self._gate.is_key_field)
        made = (size_step(app), cookie_step(app, self._plugins.cookies), self._submit)
        self._take(exchange, app, target, [step for step in made if step is not None])
        return True

    def _forget(self, _: object = None) -> None:
        """Drop all steps, as settings or plugins have changed."""
        self._made.clear()
        self._rules.clear()
        self._routes.forget()
        plan = self._plugins.plan
        self._is_hooked = bool(plan.closed) or any(hook.stage == "route" for hook in plan.hooks)

    def _steps_of(self, app: App) -> tuple[AppStep, ...]:
        return self._made.get(app) or self._make(app)

    def _make(self, app: App) -> tuple[AppStep, ...]:
        steps = tuple(step for make in self._app_steps if (step := make(app)) is not None)
        for place, step in enumerate(steps):
            if isinstance(step, HookStep | LateStep):
                step.rest = steps[place + 1 :]
        self._made[app] = steps
        return steps


def _misdirected() -> ClientFault:
    """RFC 9110 7.4: an https resource is not given to a client that came over plain HTTP."""
    return ClientFault(
        421, "misdirected_request", "the target is an https URL, but this is plain HTTP"
    )


def _file_step(app: App, site: PluginSite | None, *, recheck_s: float, log: Log) -> AppStep | None:
    """Answer from files: a plugin's page, a static site, or folders named in a manifest.

    `recheck_s` is how long an answer may be out of date.
    """
    has_page = site is not None and site.page is not None
    if not (has_page or app.is_static or app.manifest.mounts):
        return None
    # What reads and sends files: most apps have no files.
    from buntime.server.pipeline.filesteps import make_file_step

    return make_file_step(app, site, recheck_s=recheck_s, log=log)
