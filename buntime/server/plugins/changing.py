"""Requests that wait while a plugin changes: its old process ends, and the new one starts.

They wait at most as long as a hook may take, and their number is limited.
"""

from collections.abc import Callable

from buntime.core.values.protocols import Protocol
from buntime.server.loop.loop import Loop

_WAITING_MAX = 1000


class Waiter(Protocol):
    """Waits for a plugin."""

    def on_changed(self) -> None:
        """The plugin serves now, or will not serve soon."""


class Changes(Protocol):
    """The plugins, as far as they change."""

    def is_changing(self, name: str) -> bool:
        """Will it serve again in a moment? Then requests for it wait."""

    def wake(self, name: str) -> bool:
        """Start it if nothing has needed it yet; False if it will not serve soon."""

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when any of these may have changed."""


class Changing:
    """All that wait, by the plugin, in their order."""

    def __init__(self, loop: Loop, plugins: Changes, *, most: int = _WAITING_MAX) -> None:
        self._loop = loop
        self._plugins = plugins
        self._most = most
        self._waiting: dict[Waiter, str] = {}
        plugins.follow(self._on_change)

    def __repr__(self) -> str:
        return f"Changing({len(self._waiting)} wait)"

    def wait(self, waiter: Waiter, plugin: str) -> bool:
        """Tell it when the plugin has changed. False if the plugin does not change, or too many
        wait."""
        if not self._plugins.is_changing(plugin) or len(self._waiting) >= self._most:
            return False
        self._waiting[waiter] = plugin
        self._plugins.wake(plugin)
        return True

    def leave(self, waiter: Waiter) -> None:
        """It no longer waits."""
        self._waiting.pop(waiter, None)

    def _on_change(self) -> None:
        if self._waiting:
            self._loop.call_soon(self._tell)  # once all followers know the new state

    def _tell(self) -> None:
        for waiter, plugin in tuple(self._waiting.items()):
            if waiter in self._waiting and not self._plugins.is_changing(plugin):
                del self._waiting[waiter]
                waiter.on_changed()
