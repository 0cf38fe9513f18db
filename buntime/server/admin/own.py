"""The runtime's pages about itself: health, discovery, and the configuration."""

from collections.abc import Mapping
from time import monotonic

from buntime import __version__
from buntime.core.errors import ServerFault
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call


class OwnPages:
    """Serves these pages."""

    def __init__(self, live: LiveSettings, *, started_s: float) -> None:
        """`started_s` is when the runtime was started, by the monotonic clock."""
        self._live = live
        self._started_s = started_s

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "health.short": self._health,
            "health.show": self._health,
            "health.live": self._alive,
            "health.known": self._alive,
            "health.ready": self._ready,
            "discovery.show": self._discovery,
        }

    def _health(self, call: Call) -> None:
        call.answer(
            {
                "status": "draining" if call.exchange.is_draining else "ok",
                "version": __version__,
                "uptimeSeconds": round(monotonic() - self._started_s, 1),
            }
        )

    def _alive(self, call: Call) -> None:
        call.answer({"status": "ok"})

    def _ready(self, call: Call) -> None:
        if call.exchange.is_draining:
            raise ServerFault(503, "draining", "the runtime is shutting down")
        call.answer({"status": "ok"})

    def _discovery(self, call: Call) -> None:
        prefix = f"{call.exchange.sender.prefix}{self._live.now.api_prefix}"
        call.answer({"name": "buntime", "version": __version__, "api": f"{prefix}/api"})
