"""Waits for the outcome when operators change a plugin.

Used on the loop's thread. Imported when operators ask for a page.
"""

from collections.abc import Callable

from buntime.server.deploys.course import Ask, Then
from buntime.server.loop.loop import Loop
from buntime.server.plugins.plugins import Plugins

_LOOK_S = 60.0  # for a look at the folders

# The outcome: "" if all is well, else the reason; None while it is not known yet.
Look = Callable[[], str | None]


class Outcomes:
    """All outcomes that are waited for."""

    def __init__(self, loop: Loop, plugins: Plugins) -> None:
        self._loop = loop
        self._plugins = plugins
        self._looks: dict[Look, Callable[[str], None]] = {}
        plugins.follow(self._on_plugins)

    def __repr__(self) -> str:
        return f"Outcomes({len(self._looks)} waited for)"

    def of(self, look: Look, timeout_s: float, late: str) -> Ask:
        """Wait for an outcome from `look`, which is called when a plugin has changed; else
        `late`."""

        def ask(then: Then) -> None:
            def end(outcome: str) -> None:
                if self._looks.pop(look, None) is not None:
                    timer.cancel()
                    self._loop.call_soon(lambda: then(outcome))

            timer = self._loop.call_later(timeout_s, lambda: end(late))
            self._looks[look] = end
            self._look(look)

        return ask

    def of_next_look(self) -> Ask:
        """Look at the folders, and wait until the result is known."""
        return self.of_look(self._plugins.reread(is_requested=False))

    def of_look(self, number: int) -> Ask:
        """Wait for the result of the look with this number."""
        plugins = self._plugins
        return self.of(lambda: "" if plugins.looks >= number else None, _LOOK_S, "late")

    def _on_plugins(self) -> None:
        for look in tuple(self._looks):
            self._look(look)

    def _look(self, look: Look) -> None:
        outcome = look()
        end = self._looks.get(look)
        if outcome is not None and end is not None:
            end(outcome)
