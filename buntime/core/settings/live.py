"""The settings that hold now.

A `Settings` never changes. What an operator changes while the runtime runs comes as another one,
which takes the place of the first at once and whole, so that nobody sees a part of the change:

    live = LiveSettings(settings)
    live.now.master_key         for what looks each time
    live.follow(self._adopt)    for what makes something of them, at each change
"""

from collections.abc import Callable

from buntime.core.settings.load import Settings


class LiveSettings:
    """Hands out the settings, and others in their place later."""

    __slots__ = ("_followers", "now")

    def __init__(self, settings: Settings) -> None:
        self.now = settings
        self._followers: list[Callable[[Settings], None]] = []

    def __repr__(self) -> str:
        return f"LiveSettings({self.now!r}, {len(self._followers)} followers)"

    def follow(self, adopt: Callable[[Settings], None]) -> None:
        """Have `adopt` called with the settings that come later."""
        self._followers.append(adopt)

    def replace(self, settings: Settings) -> None:
        """Have these hold from now on. Followers are called in the order in which they came."""
        self.now = settings
        for adopt in self._followers:
            adopt(settings)
