"""Fields that the runtime adds to any answer, and the mark of a request that was let in.

An exchange gets them by changing its class to one with the same slots, so that answers to which
nothing is added cost nothing.
"""

from functools import lru_cache

from buntime.core.http1.answer import Answer, without_nominated
from buntime.core.http1.hostfields import SCOPE, scope_below
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.request import Fields

Added = tuple[tuple[str, str], ...]


def add_fields(exchange: Exchange, fields: Added) -> None:
    """Add these fields to the answer. CORS fields replace the answer's own."""
    # mypy takes a class for its instances, which cannot be hashed.
    exchange.turn_into(_with(type(exchange), fields))  # type: ignore[arg-type]


def keep_below_base(exchange: Exchange) -> None:
    """Let no service worker from this answer have pages beside the base, whatever the app says.

    For a request for the base itself, "/shop": browsers let a script there answer for its folder,
    which is the whole host. Every such answer says otherwise, because one that was cached as
    something else may become a service worker.
    """
    exchange.turn_into(_below_base(type(exchange)))  # type: ignore[arg-type]  # as above


def admit(exchange: Exchange) -> None:
    """Mark it as having shown what opens the app, in place of a key."""
    exchange.turn_into(_admitted(type(exchange)))  # type: ignore[arg-type]  # as above


@lru_cache(maxsize=64)
def _admitted(kind: type[Exchange]) -> type[Exchange]:
    return type("AdmittedExchange", (kind,), {"__slots__": (), "is_admitted": True})


@lru_cache(maxsize=64)
def _below_base(kind: type[Exchange]) -> type[Exchange]:
    class BelowBase(kind):  # type: ignore[valid-type, misc]  # as below
        __slots__ = ()

        def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
            # Else the answer refuses it, or is the runtime's own, which must not tell that there is
            # an app.
            if isinstance(fields, list | tuple) and self.worker_name:
                own = (pair for pair in without_nominated(fields) if not _is_one_of(pair, {SCOPE}))
                fields = [*own, (SCOPE, scope_below(self.base))]
            answer: Answer = super()._begin(status, fields, size)
            return answer

    return BelowBase


@lru_cache(maxsize=64)  # a few kinds of exchanges, and a few sets of fields
def _with(kind: type[Exchange], added: Added) -> type[Exchange]:
    replaced = {name for name, _ in added if name.startswith("access-control-")}

    class WithFields(kind):  # type: ignore[valid-type, misc]  # a class that is an argument
        __slots__ = ()

        def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
            if isinstance(fields, list | tuple):  # else the answer refuses it
                own = without_nominated(fields)
                fields = [*(pair for pair in own if not _is_one_of(pair, replaced)), *added]
            answer: Answer = super()._begin(status, fields, size)
            return answer

    return WithFields


def _is_one_of(pair: object, names: set[str]) -> bool:
    """Pairs come from workers, and may be malformed."""
    if not isinstance(pair, list | tuple) or not pair or not isinstance(pair[0], str):
        return False
    return pair[0].lower() in names
