"""Limits how much of all calls may wait here, between callers and providers.

Each call has a window in both directions, and its line; a thousand calls to a plugin that reads
slowly would take 256 MiB. What waits for a process is counted as it grows, and released when the
process has taken all of it. At the limit, whatever would add to it fails. Calls whose two sides
keep taking what arrives are not held up by others.
"""

from typing import Final

MEMORY_MAX_BYTES = 64 * 1024 * 1024
TOO_MUCH: Final = "calls under way use all the memory that is set aside for them; try again later"


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
        """Is there no room for more?"""
        return self.size_bytes >= self._max_bytes

    def change(self, by_bytes: int) -> None:
        """The waiting bytes have grown or shrunk."""
        self.size_bytes += by_bytes
