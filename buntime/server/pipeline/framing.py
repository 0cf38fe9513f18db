"""What pages in the shell's frames ask of their plugin's code: preflights, tokens, tickets.

Such a page has no origin and no cookie. The browser therefore sends a preflight first, which is
answered here, and the page sends what the shell gave it (core/access/frametokens.py). If that is
valid, the plugin's routes are open to whoever is signed in there, with no key needed. It also
replaces the check of Origin, since no page of another site can have one. The plugin sees none of
it.
"""

from buntime.core.access.frametokens import borne_token, token_in, without_ticket
from buntime.core.access.rights import may
from buntime.core.apps.app import App
from buntime.core.apps.router import Target
from buntime.core.errors import ClientFault
from buntime.server.admin.gate import Gate
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.morefields import add_fields, admit
from buntime.server.pipeline.steps import AppStep
from buntime.server.plugins.sites import PluginSite

_TO_FRAMES = (
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "*"),
)
_PREFLIGHT = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "*"),
    ("access-control-allow-headers", "Authorization, *"),
    ("access-control-max-age", "600"),
    ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
]


def framing_step(site: PluginSite | None, gate: Gate) -> AppStep | None:
    """Checks what framed pages send to their plugin's code; None if the plugin has no code."""
    if site is None or site.page is None or site.app is None:
        return None

    def check(exchange: Exchange, app: App, target: Target) -> bool:
        head = exchange.head
        if site.is_page(target.rest):
            return False
        if head.method == "OPTIONS":
            return _answer_preflight(exchange)
        token = borne_token(head.headers)
        if token is not None:
            add_fields(exchange, _TO_FRAMES)
            standing = gate.frames.find(token, app.name, exchange.now)
            exchange.withhold(lambda field: token_in(field) is not None)
        elif (shown := without_ticket(head.target)) is not None and head.method == "GET":
            bare, ticket = shown
            standing = gate.frames.use(ticket, app.name, bare, exchange.now)
            exchange.rewrite(head._replace(target=bare, headers=exchange.headers))
        else:
            return False
        caller = None if standing is None else standing()
        if standing is None or caller is None:
            raise _no_good()
        if not may(caller, "apps:open", app.name):
            message = f"{caller.name} may not open {site.name}: it needs the right apps:open there"
            raise ClientFault(403, "not_allowed", message)
        gate.openings.ground(exchange, lambda: standing() == caller)
        admit(exchange)
        return False

    return check


def _answer_preflight(exchange: Exchange) -> bool:
    """Answers the preflight of a page without an origin that wants to send a token."""
    fields = dict(exchange.head.headers)
    wanted = fields.get("access-control-request-headers", "").lower()
    if fields.get("origin") != "null" or "access-control-request-method" not in fields:
        return False
    if "authorization" not in (name.strip() for name in wanted.split(",")):
        return False
    exchange.respond(204, _PREFLIGHT)
    return True


def _no_good() -> ClientFault:
    return ClientFault(
        401,
        "frame_token",
        "this token or address has expired, was used already, or belongs to another plugin: "
        "ask the shell for a new one",
        headers=(("WWW-Authenticate", 'Bearer realm="buntime", error="invalid_token"'),),
    )
