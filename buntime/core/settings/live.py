"""The settings currently in effect.

A `Settings` never changes. When an operator changes something while the runtime is running, a new
one replaces the old at once and as a whole, so that nobody sees part of a change:

    live = LiveSettings(settings)
    live.now.master_key         for code that looks each time
    live.follow(self._adopt)    for code that must react to each change
"""

from collections.abc import Callable

from buntime.core.settings.load import Settings


class LiveSettings:
    """Provides the current settings, and replaces them later."""

    __slots__ = ("_followers", "now", "rejected")

    def __init__(self, settings: Settings) -> None:
        self.now = settings
        self.rejected = ""  # why the settings as they are now are not in effect
        self._followers: list[Callable[[Settings], None]] = []

    def __repr__(self) -> str:
        return f"LiveSettings({self.now!r}, {len(self._followers)} followers)"

    def follow(self, adopt: Callable[[Settings], None]) -> None:
        """Call `adopt` with all later settings."""
        self._followers.append(adopt)

    def replace(self, settings: Settings) -> None:
        """Put these into effect. Followers are called in the order in which they were added."""
        self.now = settings
        for adopt in self._followers:
            adopt(settings)
