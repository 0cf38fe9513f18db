"""A request that came in at the operators' address, which no other site may frame, and no plugin
speak for.

The address that it came in at, or its host, shows whether it is one. `mark` turns an exchange into
one: the fields stay the same, so that requests for apps pay nothing for the difference.
"""

from buntime.core.http1.answer import Answer, without_nominated
from buntime.core.http1.hostfields import without_host_fields
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.request import Fields

_ON_ANSWERS = (
    ("content-security-policy", "frame-ancestors 'self'"),  # besides what the page says
    ("x-content-type-options", "nosniff"),
)


class OperatorsExchange(Exchange):
    """Its answers tell browsers which sites may show them, and nothing about the host: they may be
    a plugin's, or changed by one."""

    __slots__ = ()

    is_operators = True

    def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
        if isinstance(fields, list | tuple):  # else the answer refuses it
            fields = [*without_host_fields(without_nominated(fields)), *_ON_ANSWERS]
        return super()._begin(status, fields, size)

    def _shake_hands(self, subprotocol: str | None, fields: Fields) -> bytes:
        if isinstance(fields, list | tuple):
            fields = without_host_fields(fields)
        return super()._shake_hands(subprotocol, fields)


def mark(exchange: Exchange) -> None:
    """Mark it as having come in at the operators' address."""
    exchange.turn_into(OperatorsExchange)
