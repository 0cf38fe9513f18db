"""The runtime's own pages, made when the first of them is requested.

Serving apps needs neither the table of routes nor the handlers: without them a runtime listens
sooner, and takes less memory.

    request ── has a session? ── imported? ── Api.answer
                 wait for them     wait for a thread, which imports them
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from buntime.core.access.operators import LINK_PATH
from buntime.core.access.rights import Caller
from buntime.core.errors import HttpError, ServerFault
from buntime.server.admin.parts import Parts
from buntime.server.http1.exchange import Exchange

if TYPE_CHECKING:
    from buntime.server.admin.api import Api


def load() -> ModuleType:
    """The pages with all that only they use, 100 modules: 30 ms, 0.1 s without bytecode."""
    return import_module("buntime.server.admin.pages")


class LatePages:
    """Answers the paths that no app can have, see `Api`."""

    def __init__(self, parts: Parts, load: Callable[[], ModuleType] = load) -> None:
        self._parts = parts
        self._load = load
        self._api: Api | None = None
        self._waiting: list[tuple[Exchange, Callable[[], None]]] = []  # until all is imported

    def __repr__(self) -> str:
        return f"LatePages({'made' if self._api else 'not made'}, {len(self._waiting)} wait)"

    def answer(self, exchange: Exchange, path: str, caller: Caller | None = None) -> None:
        """Like `Api.answer`; the first request waits for a thread that imports, but no app does."""
        if path.rstrip("/") == LINK_PATH:
            exchange.take_token()

        def go_on() -> None:
            self._go_on(exchange, path, caller)

        if self._parts.gate.waits(exchange, go_on):
            return
        if self._api is None:
            self._wait(exchange, go_on)
        else:
            self._api.answer(exchange, path, caller)

    def _wait(self, exchange: Exchange, then: Callable[[], None]) -> None:
        self._waiting.append((exchange, then))
        if len(self._waiting) == 1:
            self._parts.service.loop.run_blocking(self._load, self._loaded)

    def _loaded(self, pages: ModuleType | BaseException) -> None:
        waiting, self._waiting = self._waiting, []
        if isinstance(pages, BaseException):
            for exchange, _ in waiting:
                exchange.fail(ServerFault(500, "internal_error", "the page cannot be loaded"))
            raise pages
        self._api = self._api or pages.make_api(self._parts)
        for _, then in waiting:
            then()

    def _go_on(self, exchange: Exchange, path: str, caller: Caller | None) -> None:
        """Answer after the wait."""
        if exchange.is_ended:
            return
        try:
            self.answer(exchange, path, caller)
        except HttpError as error:
            exchange.fail(error)
