"""Bodies of requests that hooks look at: all of one comes first, and is kept for the app.

What is kept counts with what other requests wait for, and one that finds no memory is refused. A
body that is larger than hooks get is refused too: a guard could not know what it lets pass.
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
        """Have the body come; the responder is told of what has, and is to call `count` then."""
        self._gathering.take(exchange, 0)
        exchange.gather_for(responder, self, BODY_MAX_BYTES + 1)

    def count(self, exchange: Exchange) -> bool:
        """Count what has come of it; False where there is no memory for that."""
        return exchange.keeper is None or self._gathering.take(exchange, exchange.gathered_bytes)

    def let_go(self, request: Hashable) -> None:
        self._gathering.drop(request)


def sees_body(hook: Hook, exchange: Exchange) -> bool:
    """Does the hook look at a body here? Then what it says of one is not kept for others."""
    return hook.body and hook.has_request and exchange.head.has_body


def is_too_large(exchange: Exchange) -> bool:
    """Is the body more than hooks get, as it is told or as it has come?"""
    return max(exchange.head.content_length, exchange.gathered_bytes) > BODY_MAX_BYTES


def body_for(hook: Hook, exchange: Exchange) -> HookBody | None:
    """What the hook gets of the body, all of which has come."""
    if not sees_body(hook, exchange):
        return None
    return HookBody(exchange.gathered_bytes, exchange.peek_body)


def too_large(plugin: str) -> ClientFault:
    """413: the plugin looks at bodies, and this one is larger than it may be given."""
    return ClientFault(
        413, "body_too_large", f"{TOO_LARGE}, and the plugin {plugin} looks at it", closes=True
    )
