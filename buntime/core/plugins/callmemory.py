"""How much of all calls may wait here, between those who call and those who are called.

Each call has a window in both directions, and its line; a thousand of them to a plugin that reads
slowly would be 256 MiB. What waits for one process is counted as it grows, and given back when that
process has taken all of it. Where it is too much, what would add to it fails: calls whose two sides
take what comes are not held up by others.
"""

from typing import Final

MEMORY_MAX_BYTES = 64 * 1024 * 1024
TOO_MUCH: Final = "calls under way take all the memory there is for them; try again later"


class CallMemory:
    """The bytes of all calls that wait, for a process to take them or for a plugin to serve."""

    __slots__ = ("_max_bytes", "size_bytes")

    def __init__(self, max_bytes: int = MEMORY_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def __repr__(self) -> str:
        return f"CallMemory({self.size_bytes} of {self._max_bytes} bytes)"

    @property
    def is_full(self) -> bool:
        """May nothing more wait?"""
        return self.size_bytes >= self._max_bytes

    def change(self, by_bytes: int) -> None:
        """So much more waits, or less."""
        self.size_bytes += by_bytes
