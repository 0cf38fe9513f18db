"""The runtime's own pages, which are made when the first one of them is asked for.

What answers an app needs neither the table of routes nor the handlers: a runtime listens sooner,
and takes less memory, without them.
"""

from typing import TYPE_CHECKING

from buntime.core.access.operators import LINK_PATH
from buntime.core.access.rights import Caller
from buntime.core.errors import HttpError
from buntime.server.admin.parts import Parts
from buntime.server.http1.exchange import Exchange

if TYPE_CHECKING:
    from buntime.server.admin.api import Api


class LatePages:
    """Answers the paths that no app can have, see `Api`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._api: Api | None = None

    def __repr__(self) -> str:
        return f"LatePages({'made' if self._api else 'not made'})"

    def answer(self, exchange: Exchange, path: str, caller: Caller | None = None) -> None:
        """As `Api.answer`; the first call takes 30 ms more."""
        if path.rstrip("/") == LINK_PATH:
            exchange.take_token()
        if self._parts.gate.waits(exchange, lambda: self._go_on(exchange, path, caller)):
            return
        if self._api is None:
            # The routes, and the pages with what they alone use: 50 modules.
            from buntime.server.admin.pages import make_api

            self._api = make_api(self._parts)
        self._api.answer(exchange, path, caller)

    def _go_on(self, exchange: Exchange, path: str, caller: Caller | None) -> None:
        """It is known by now which sessions there are."""
        if exchange.is_ended:
            return
        try:
            self.answer(exchange, path, caller)
        except HttpError as error:
            exchange.fail(error)
