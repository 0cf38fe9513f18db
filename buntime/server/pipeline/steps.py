"""The steps of a request whose app is known; `pipeline` has their order.

A function here makes a step for one app, or returns None if the app needs no such step: an app
that is open to everybody needs no check of access. What follows from the app's manifest is worked
out when the step is made, once for each `App`, and not at each request.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import time

from buntime.core.access.paths import plain_path
from buntime.core.access.proxyfields import LABEL_FIELD
from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.apps.app import App, app_key
from buntime.core.apps.router import Target
from buntime.core.deploys.names import is_preview
from buntime.core.deploys.preview import COOKIE, cookie_for, offered
from buntime.core.errors import ClientFault
from buntime.core.http1.sessioncookie import NAME as AFFINITY_COOKIE
from buntime.core.http1.window import app_body_too_large
from buntime.core.plugins.identity import (
    SIGNATURE,
    SIGNING_SECRET,
    identity_text,
    signature,
    without_cookies,
)
from buntime.core.values.tuples import NamedTuple
from buntime.core.websocket.handshake import check_upgrade, is_websocket
from buntime.server.admin.entrance import app_not_found
from buntime.server.admin.gate import Gate
from buntime.server.admin.maintenance import Maintenance
from buntime.server.deploys.previews import Previews
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.morefields import keep_below_base
from buntime.server.plugins.asked import Cookies, of_others
from buntime.server.pool.pool import Pool
from buntime.server.state.secretstore import Secrets

_AFFINITY = frozenset({AFFINITY_COOKIE})

AppStep = Callable[[Exchange, App, Target], bool]
"""Answers the request or hands it on, and returns True; returns False to pass it to the next step.

It must not hold the `App` itself: steps go when their app does.
"""


Take = Callable[[Exchange, App, Target, Sequence[AppStep]], None]
"""Goes on with some of the steps."""


class Admittance(NamedTuple):
    """Who may reach an app: by a key, or nobody while the app is closed."""

    gate: Gate
    maintenance: Maintenance
    previews: Previews
    secrets: Secrets  # of apps


class LateStep:
    """Has requests wait, at a start, until something is known that `waits` tells of; then `take`
    goes on with `rest`, the steps after it. Once it is known, steps are made anew without this
    one."""

    def __init__(
        self,
        waits: Callable[[Exchange, Callable[[], None]], bool],
        take: Take,
    ) -> None:
        self.rest: Sequence[AppStep] = ()
        self._waits = waits
        self._take = take

    def __call__(self, exchange: Exchange, app: App, target: Target) -> bool:
        return self._waits(exchange, partial(self._go_on, exchange, app, target))

    def _go_on(self, exchange: Exchange, app: App, target: Target) -> None:
        if not exchange.is_ended:
            self._take(exchange, app, target, self.rest)


def set_aside_step(gate: Gate) -> AppStep | None:
    """Hides the runtime's keys from hooks that are asked before access is checked."""
    if not gate.has_keys:
        return None

    def set_aside(exchange: Exchange, _: App, __: Target) -> bool:
        exchange.set_aside(gate.is_key_field)
        return False

    return set_aside


def preview_step(app: App, previews: Previews) -> AppStep | None:
    """Lets in clients that have a preview's link or its cookie; all others get 404."""
    if not is_preview(app.version):
        return None

    def check_token(exchange: Exchange, app: App, target: Target) -> bool:
        head = exchange.head
        found = offered(head.target, head.headers)
        if found is None or not previews.opens(app.key, found.token):
            raise app_not_found("/" + app_key(target.name, target.spec))
        if found.target is not None:
            sender = exchange.sender
            cookie = cookie_for(found.token, exchange.base, is_secure=sender.scheme == "https")
            where = sender.prefix + found.target
            fields = [("location", where), ("set-cookie", cookie), ("cache-control", "no-store")]
            exchange.respond(303, fields)
            return True
        exchange.show(tuple(without_cookies(exchange.headers, {COOKIE})))
        return False

    return check_token


def late_maintenance_step(maintenance: Maintenance, take: Take) -> LateStep | None:
    """Has requests wait, at a start, until it is known which apps are closed."""
    return None if maintenance.is_known else LateStep(lambda _, then: maintenance.waits(then), take)


def maintenance_step(app: App, maintenance: Maintenance) -> AppStep | None:
    """Turns visitors away from an app that operators have closed for a while."""
    if app.plugin is not None or (maintenance.is_known and maintenance.of(app.name) is None):
        return None

    def send_away(_: Exchange, app: App, __: Target) -> bool:
        closed = maintenance.of(app.name)
        if closed is not None:
            raise closed.fault()
        return False

    return send_away


def cron_only_step(app: App) -> AppStep | None:
    """Closes paths meant for the app's own jobs, whose requests do not come this way."""
    closed = app.closed_paths
    if not closed:
        return None

    def check_cron_only(_: Exchange, __: App, target: Target) -> bool:
        path = plain_path(target.rest)
        if path is not None:  # else an app might read it as one of the closed paths
            segments = [segment.partition(";")[0] for segment in path.split("/")]
            path = "/".join(segments).rstrip("/")
        if path is None or path in closed:
            raise ClientFault(404, "not_found", f"there is no {target.rest[:200]}")
        return False

    return check_cron_only


def cookie_step(app: App, cookies: Cookies) -> AppStep | None:
    """Removes the cookies of plugins and of affinity: they are not for apps."""
    hidden = of_others(cookies, app.name.removeprefix(PLUGIN_PREFIX) if app.plugin else "")
    if app.has_affinity:
        hidden |= _AFFINITY
    if not hidden:
        return None

    def hide_cookies(exchange: Exchange, _: App, __: Target) -> bool:
        exchange.show(tuple(without_cookies(exchange.headers, hidden)))
        return False

    return hide_cookies


def hide_affinity(exchange: Exchange, _: App, __: Target) -> bool:
    """Removes the affinity cookie of an app mounted above this one."""
    exchange.show(tuple(without_cookies(exchange.headers, _AFFINITY)))
    return False


def keep_below(exchange: Exchange, _: App, __: Target) -> bool:
    """Keeps a script at the base itself, `/shop`, from answering for all apps of the host."""
    keep_below_base(exchange)
    return False


def signature_step(app: App, secrets: Secrets) -> AppStep | None:
    """Signs what the app is told about the user, if it has a secret for that."""
    if SIGNING_SECRET not in app.manifest.secrets:
        return None

    def sign(exchange: Exchange, app: App, _: Target) -> bool:
        identity, key = exchange.identity, secrets.value_of(app, SIGNING_SECRET)
        if identity is None or key is None:
            return False
        signed = signature(
            secret=key.encode(),
            time_s=int(time()),
            request_id=exchange.id,
            method=exchange.head.method,
            target=exchange.head.target,
            identity=identity_text(identity),
        )
        exchange.tell([(SIGNATURE, signed)])
        return False

    return sign


def label_step(label: str) -> AppStep:
    """Tells the app which label the host has in place of a `*`."""

    def tell_label(exchange: Exchange, _: App, __: Target) -> bool:
        exchange.tell([(LABEL_FIELD, label)])
        return False

    return tell_label


def size_step(app: App) -> AppStep | None:
    """Refuses a Content-Length above `maxBodySize`; other bodies are counted as they come."""
    if app.is_static:  # reads no body
        return None
    limit_bytes = app.manifest.max_body_size_bytes

    def check_size(exchange: Exchange, _: App, __: Target) -> bool:
        if exchange.head.content_length > limit_bytes:
            raise app_body_too_large(limit_bytes)
        exchange.limit_body(limit_bytes)
        return False

    return check_size


def upgrade_step(app: App) -> AppStep | None:
    """Refuses a malformed WebSocket handshake before it reaches the app."""
    return None if app.is_static else _check_upgrade


def session_step(app: App, pool: Pool) -> AppStep | None:
    """Hands the request to the worker that its cookie names, if the app has `affinity`."""
    if not app.has_affinity:
        return None

    def submit(exchange: Exchange, app: App, _: Target) -> bool:
        return pool.sessions.submit(exchange, app.code)

    return submit


def pool_step(pool: Pool) -> AppStep:
    """Hands the request to a worker of the app."""

    def submit(exchange: Exchange, app: App, _: Target) -> bool:
        pool.submit(exchange, app.code)
        return True

    return submit


def _check_upgrade(exchange: Exchange, _: App, __: Target) -> bool:
    upgrade = exchange.head.upgrade
    if upgrade and is_websocket(upgrade):
        exchange.offer_upgrade(check_upgrade(exchange.head, upgrade))
    return False
