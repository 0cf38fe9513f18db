"""A request that has come in at the operators' address, which no other site may frame.

Whether it is one is known by the way that it came, or by its host. An exchange becomes one by
`mark`: it has the same fields, so that the requests of apps pay nothing for the difference.
"""

from buntime.core.http1.answer import Answer
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.request import Fields

_ON_ANSWERS = (
    ("content-security-policy", "frame-ancestors 'self'"),  # beside what the page itself says
    ("x-content-type-options", "nosniff"),
)


class OperatorsExchange(Exchange):
    """Its answers say to browsers who may not have them."""

    __slots__ = ()

    is_operators = True

    def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
        if isinstance(fields, list | tuple):  # else it is for the answer to refuse
            fields = [*fields, *_ON_ANSWERS]
        return super()._begin(status, fields, size)


def mark(exchange: Exchange) -> None:
    """It has come in at the operators' address."""
    exchange.turn_into(OperatorsExchange)
