"""Limits of values, pages, queues, watches and spaces."""

from __future__ import annotations

from typing import Any, NamedTuple

MIB = 1 << 20
VALUE_MAX_BYTES = 65536  # as JSON in ASCII, or as bytes
PAGE_MAX = 1000  # entries or messages per page
PAGE_MAX_BYTES = MIB  # of their values; one more entry may go over it
KEYS_MAX = 100  # of get_many
CHECKS_MAX = 100
MUTATIONS_MAX = 100
# Bytes of values that one transaction modifies in place; 10 ms for 64 KiB.
REREAD_MAX_BYTES = 262144
BURIED_MAX = 1000  # messages without attempts left that one `take` buries
QUEUE_NAME_MAX = 200  # characters
REASON_MAX = 1000  # characters
ATTEMPTS_MAX = 1000
MISSABLE_KEYS = 1000  # changed keys that wait for one watcher
TIME_MAX_S = 10 * 365 * 86400.0
ENTRY_BYTES = 64  # bytes that an entry or a message takes besides its key and value


class Limits(NamedTuple):
    """Limits from the options; the manifest has their defaults."""

    space_bytes: int = 256 * MIB
    queue_entries: int = 100_000  # of all queues of a space, including dead letters
    watches: int = 50  # per caller, in all of its processes; each is one of its 64 calls
    file_bytes: int = 4096 * MIB
    spaces: int = 1000

    @classmethod
    def of(cls, options: dict[str, Any]) -> Limits:
        """The limits from the plugin's options."""
        return cls(
            space_bytes=int(options["spaceMb"] * MIB),
            queue_entries=int(options["queueEntries"]),
            watches=int(options["watches"]),
            file_bytes=int(options["fileMb"] * MIB),
            spaces=int(options["spaces"]),
        )
