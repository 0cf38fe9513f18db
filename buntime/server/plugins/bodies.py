"""Request bodies that hooks look at: the whole body is read first, and kept for the app.

Kept bodies share a memory limit with bodies that other requests wait for; a request that finds no
room is refused. A body that is larger than hooks may get is refused too: a guard could not know
what it lets pass.
"""

from collections.abc import Hashable

from buntime.core.errors import ClientFault
from buntime.core.plugins.hookbody import BODY_MAX_BYTES, HookBody
from buntime.core.plugins.plan import Hook
from buntime.core.pool.gathering import Gathering
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Responder

TOO_LARGE = f"the body is larger than {BODY_MAX_BYTES} bytes"


class Bodies:
    """All that are kept. The `Keeper` of their requests."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering

    def collect(self, exchange: Exchange, responder: Responder) -> None:
        """Ask for the body; the responder is told what has come, and must then call `count`."""
        self._gathering.take(exchange, 0)
        exchange.gather_for(responder, self, BODY_MAX_BYTES + 1)

    def count(self, exchange: Exchange) -> bool:
        """Count what has come of it; False if there is no memory for that."""
        return exchange.keeper is None or self._gathering.take(exchange, exchange.gathered_bytes)

    def let_go(self, request: Hashable) -> None:
        self._gathering.drop(request)


def sees_body(hook: Hook, exchange: Exchange) -> bool:
    """Does the hook look at a body here? Then its verdict is not kept for other requests."""
    return hook.body and hook.has_request and exchange.head.has_body


def is_too_large(exchange: Exchange) -> bool:
    """Is the body larger than hooks may get, by its declared length or by what has come?"""
    return max(exchange.head.content_length, exchange.gathered_bytes) > BODY_MAX_BYTES


def body_for(hook: Hook, exchange: Exchange) -> HookBody | None:
    """What the hook gets of the body, all of which has come."""
    if not sees_body(hook, exchange):
        return None
    return HookBody(exchange.gathered_bytes, exchange.peek_body)


def too_large(plugin: str) -> ClientFault:
    """413: the plugin looks at bodies, and this one is larger than it may be given."""
    return ClientFault(
        413, "body_too_large", f"{TOO_LARGE}, and the plugin {plugin} inspects it", closes=True
    )
