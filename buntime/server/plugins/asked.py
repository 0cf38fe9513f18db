"""What a hook is told of a request and of its answer."""

from typing import Any, NamedTuple

from buntime.core.access.paths import plain_path
from buntime.core.plugins.plan import Hook
from buntime.server.http1.exchange import Exchange
from buntime.wire import Message


class Facts(NamedTuple):
    """What is known of a request's target; of the app nothing, before stage route is over."""

    app: str | None
    version: str | None
    path: str  # as it came: below the base, in stage route all of it
    is_public: bool  # public routes cover it


def request_of(exchange: Exchange, facts: Facts) -> dict[str, Any]:
    """The `request` of a HOOK."""
    head, sender = exchange.head, exchange.sender
    _, _, query = head.target.partition("?")
    path = plain_path(facts.path)
    return {
        "method": head.method,
        "path": facts.path if path is None else path,
        "query": query,
        "headers": [[name, value] for name, value in exchange.headers],
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


def question(hook: Hook, name: str, exchange: Exchange, facts: Facts) -> Message:
    """A HOOK, without its id."""
    return {
        "hook": name,
        "request": request_of(exchange, facts),
        "timeout_ms": round(hook.timeout_s * 1000),
    }
