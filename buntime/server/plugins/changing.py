"""Those who wait while a plugin changes: its old process ends, and the new one starts.

They wait at most as long as a hook may take, and so many of them.
"""

from collections.abc import Callable
from typing import Protocol

from buntime.server.loop import Loop

_WAITING_MAX = 1000


class Waiter(Protocol):
    """Who waits for a plugin."""

    def on_changed(self) -> None:
        """It serves, or will not soon."""


class Changes(Protocol):
    """The plugins, as far as they change."""

    def is_changing(self, name: str) -> bool:
        """Will it serve again in a moment? Then what is for it waits."""

    def wake(self, name: str) -> bool:
        """Start it, where nobody has wanted it yet; False where it will not serve soon."""

    def follow(self, callback: Callable[[], None]) -> None:
        """Have it called when any of these may have changed."""


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
        """Have it told when the plugin has changed. False where it does not change, or too many
        wait."""
        if not self._plugins.is_changing(plugin) or len(self._waiting) >= self._most:
            return False
        self._waiting[waiter] = plugin
        self._plugins.wake(plugin)
        return True

    def leave(self, waiter: Waiter) -> None:
        """It waits no more."""
        self._waiting.pop(waiter, None)

    def _on_change(self) -> None:
        if self._waiting:
            self._loop.call_soon(self._tell)  # when all who follow know what holds now

    def _tell(self) -> None:
        for waiter, plugin in tuple(self._waiting.items()):
            if waiter in self._waiting and not self._plugins.is_changing(plugin):
                del self._waiting[waiter]
                waiter.on_changed()
