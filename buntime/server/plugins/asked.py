"""What a hook is told of a request and of its answer.

Nobody but stage identity sees what others keep in cookies: those of other plugins are taken out.
What clients say of who they are is taken out for all; what a trusted proxy says is for stage
identity.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from buntime.core.access.paths import plain_path
from buntime.core.http1.section import Fields
from buntime.core.plugins.identity import take_out, without_cookies
from buntime.core.plugins.plan import Hook
from buntime.server.http1.exchange import Exchange
from buntime.wire import Message

Cookies = Mapping[str, frozenset[str]]
"""The names of the cookies that are a plugin's own, by its name."""


class Facts(NamedTuple):
    """What is known of a request's target; of the app nothing, before stage route is over."""

    app: str | None
    version: str | None
    path: str  # as it came: below the base, in stage route all of it
    is_public: bool  # public routes cover it
    is_all_apps: bool = False  # the host is an app's: no path there is the runtime's


class Seen(NamedTuple):
    """The header fields of a request, as a hook sees them."""

    fields: Fields
    proxy: Fields  # of them, what a trusted proxy says of who asks


def seen_by(hook: Hook, exchange: Exchange, cookies: Cookies) -> Seen:
    """What this hook sees of the fields."""
    told = take_out(exchange.headers, from_proxy=exchange.sender.is_forwarded)
    if hook.stage == "identity":
        return Seen((*told.fields, *told.proxy), told.proxy)
    return Seen(without_cookies(told.fields, of_others(cookies, hook.plugin)), ())


def of_others(cookies: Cookies, name: str = "") -> frozenset[str]:
    """The cookies of all plugins but this one."""
    return frozenset().union(*(names for owner, names in cookies.items() if owner != name))


def question(
    hook: Hook, name: str, exchange: Exchange, facts: Facts, fields: Fields
) -> dict[str, Any]:
    """A HOOK, without its id; `fields` are those that it sees."""
    request = _request_of(exchange, facts, fields)
    message: Message = {
        "hook": name,
        "request": request,
        "timeout_ms": round(hook.timeout_s * 1000),
    }
    return message


def _request_of(exchange: Exchange, facts: Facts, fields: Fields) -> dict[str, Any]:
    head, sender = exchange.head, exchange.sender
    _, _, query = head.target.partition("?")
    path = plain_path(facts.path)
    return {
        "method": head.method,
        "path": facts.path if path is None else path,
        "query": query,
        "headers": [[name, value] for name, value in fields],
        "client": sender.client and list(sender.client),
        "scheme": sender.scheme,
        "host": sender.host or head.host,
        "app": facts.app,
        "version": facts.version,
        "base": exchange.base,
        "identity": exchange.identity and dict(exchange.identity),
        "isPublic": facts.is_public,
        "isWebSocket": bool(head.upgrade),
        "requestId": exchange.id,
    }
