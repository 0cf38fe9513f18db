"""Who may reach an app: by operators' rules, by its manifest, by a key, or by having signed in.

internal? ── a rule? ── publicRoutes? ── auth: signed in? ── protected: a key? ── in
404          deny: 403                   303, 401, 503       401, 403
             allow: in
"""

from collections.abc import Callable
from functools import partial

from buntime.core.access.rules import Asker, Decision, Rules
from buntime.core.apps.app import App, app_key
from buntime.core.apps.router import Target
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.http1.signin import SCRIPT_HASH, sign_in_page, sign_in_url, way_to_sign_in
from buntime.server.admin.gate import Gate, borne_by
from buntime.server.apps.catalog import LIST_APPS
from buntime.server.http1.exchange import Exchange

_UNDECIDED = Decision()
_PAGE = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", f"default-src 'none'; script-src '{SCRIPT_HASH}'"),
)


def access_step(
    app: App,
    gate: Gate,
    rules: Rules,
    *,
    signs_in: bool,
    opens: Callable[[str, str], bool] | None = None,
) -> Callable[[Exchange, App, Target], bool] | None:
    """Lets in clients that may reach the app. Keys are the runtime's secret: no app sees one.

    `signs_in`: a plugin finds out who has signed in, though it may be unavailable. `opens` says,
    by method and raw path, which files of a page need no key.
    """
    visibility, auth = app.manifest.visibility, app.manifest.auth
    if visibility == "operators":
        return _operators_step(app, gate)
    public_routes = app.public_routes
    is_open = visibility == "public" and auth == "none" and not rules
    if is_open and not gate.has_keys:
        return None

    def check_access(exchange: Exchange, app: App, target: Target) -> bool:
        method, rest = exchange.head.method, target.rest
        if visibility == "internal":
            path = "/" + app_key(target.name, target.spec) if target.base else exchange.head.path
            raise app_not_found(path)
        decision = (
            rules.decide(method, rest, _asker(exchange, gate, rules)) if rules else _UNDECIDED
        )
        if decision.does == "deny":
            if decision.may_sign_in:
                return _ask_to_sign_in(exchange, signs_in=signs_in)
            raise ClientFault(403, "not_allowed", "access is denied")
        if decision.does is None and not public_routes.cover(method, rest):
            if auth != "none" and not signs_in:
                raise _no_sign_in()
            if auth == "required" and exchange.identity is None:
                return _ask_to_sign_in(exchange, signs_in=signs_in)
            is_open = exchange.is_admitted or (opens is not None and opens(method, rest))
            if visibility == "protected" and not is_open:
                if gate.let_in(exchange, app.name):
                    gate.openings.ground(exchange, partial(gate.let_in, exchange, app.name))
                    exchange.withhold(gate.is_key_field)
                    return False
                if decision.may_sign_in:
                    return _ask_to_sign_in(exchange, signs_in=signs_in)
                raise _key_needed()
        if gate.bears(borne_by(exchange)):  # any other key is the app's own
            exchange.withhold(gate.is_key_field)
        return False

    return check_access


def _operators_step(app: App, gate: Gate) -> Callable[[Exchange, App, Target], bool]:
    """Lets in requests to the operators' address; the page there signs its visitors in itself."""
    is_page, public_routes = app.is_static, app.public_routes

    def check_access(exchange: Exchange, app: App, target: Target) -> bool:
        if not gate.is_for_operators(exchange):
            raise app_not_found(target.base)
        if (
            is_page
            or exchange.is_admitted
            or public_routes.cover(exchange.head.method, target.rest)
        ):
            bears = gate.bears(borne_by(exchange))
        else:
            bears = gate.let_in(exchange, app.name)
            if not bears:
                raise _key_needed()
            gate.openings.ground(exchange, partial(gate.let_in, exchange, app.name))
        if bears:
            exchange.withhold(gate.is_key_field)
        return False

    return check_access


def app_not_found(shown: str) -> ClientFault:
    """In the catalog's words, so that a hidden app looks like one that does not exist."""
    return ClientFault(404, "app_not_found", f"there is no app {shown[:200]}", hint=LIST_APPS)


def _asker(exchange: Exchange, gate: Gate, rules: Rules) -> Asker:
    caller = gate.bearer(exchange) if rules.wants_key else None
    return Asker(exchange.identity, caller and caller.name, exchange.sender.text)


def _ask_to_sign_in(exchange: Exchange, *, signs_in: bool) -> bool:
    """Answers a visitor who has not signed in, or not as somebody who may enter."""
    if not signs_in:
        raise _no_sign_in()
    head, prefix = exchange.head, exchange.sender.prefix
    way = way_to_sign_in(head.method, head.headers)
    url = sign_in_url(prefix, head.target)
    if way == "lead":
        exchange.respond(303, [("location", url), ("cache-control", "no-store")])
    elif way == "show":
        exchange.respond(401, [*_PAGE, _challenge()], sign_in_page(url))
    else:
        raise ClientFault(
            401,
            "sign_in_needed",
            f"you must sign in first: open {url} in a browser",
            headers=(_challenge(),),
        )
    return True


def _challenge() -> tuple[str, str]:
    return ("WWW-Authenticate", 'Bearer realm="buntime"')


def _no_sign_in() -> ServerFault:
    return ServerFault(
        503,
        "sign_in_unavailable",
        "you have to sign in for this, and no plugin is enabled that signs people in",
        hint="enable one, for example with: buntime plugins enable authn",
    )


def _key_needed() -> ClientFault:
    return ClientFault(
        401,
        "unauthorized",
        "this app needs a key: send it as X-API-Key or as Authorization: Bearer",
        headers=(_challenge(),),
        hint="make one with: buntime keys add NAME --role apps:open; a wrong key counts as none",
    )
