"""Users, who sign in to apps: the plugin that signs people in answers, once the caller is known.

The request goes to the plugin's process at the base "/api/users", which no client can name, without
the fields that give the operator their rights. A change is noted before, and when its answer comes.
"""

from collections.abc import Mapping

from buntime.core.admin.audittrail import DONE
from buntime.core.admin.userroutes import USERS
from buntime.core.apps.app import App
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.http1.signin import SIGN_IN
from buntime.core.http1.window import app_body_too_large
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.review import Review
from buntime.server.plugins.plugins import Plugins
from buntime.server.pool.pool import Pool

_BASE = "/api/users"
_PASSED_ON = frozenset(("accept", "content-length", "content-type", "host", "user-agent"))
_DONE_BELOW = 400  # statuses


class UserPages:
    """Serves these pages."""

    def __init__(self, live: LiveSettings, plugins: Plugins, pool: Pool, audit: Audit) -> None:
        self._live = live
        self._plugins = plugins
        self._pool = pool
        self._audit = audit

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {route.name: self._pass_on for route in USERS}

    def _pass_on(self, call: Call) -> None:
        site = self._plugins.at_base(SIGN_IN)
        app = site.app if site is not None else None
        if site is None or app is None:
            raise ClientFault(
                409,
                "sign_in_unavailable",
                "no plugin is enabled that signs people in: buntime plugins enable authn",
            )
        if site.unavailable:
            raise ServerFault(
                503,
                "plugin_unavailable",
                f"the plugin {site.name}, which keeps the users, does not serve; why: buntime "
                f"plugins show {site.name}",
                headers=(("Retry-After", "1"),),
            )
        exchange, most_bytes = call.exchange, app.manifest.max_body_size_bytes
        if exchange.head.content_length > most_bytes:
            raise app_body_too_large(most_bytes)
        exchange.limit_body(most_bytes)
        if not call.route.is_write or call.is_dry_run:
            self._submit(call, app)
            return

        def act(begun: Begun) -> None:
            if call.is_gone:
                begun.end(result="cut")
                return
            exchange.have_reviewed(Review(_Noting(exchange, begun)))
            self._submit(call, app)

        self._audit.begin(call, call.values.get("user", "a new user"), then=act)

    def _submit(self, call: Call, app: App) -> None:
        exchange = call.exchange
        exchange.show(tuple(pair for pair in exchange.headers if pair[0] in _PASSED_ON))
        base = f"{exchange.sender.prefix}{self._live.now.api_prefix}{_BASE}"
        exchange.route_to(app, base=base, spec=None)
        self._pool.submit(exchange, app.code)


class _Noting:
    """Notes the end of a change by its answer."""

    def __init__(self, exchange: Exchange, begun: Begun) -> None:
        self._exchange = exchange
        self._begun = begun

    def on_answer(self, status: int, fields: list[tuple[str, str]]) -> None:
        self._begun.end(result=DONE if status < _DONE_BELOW else f"failed: {status}")
        self._exchange.reviewed(status, fields)

    def on_dropped(self) -> None:
        """The client has left; the answer still notes what was done."""
