"""Keys, values and queues of the plugin keyval: `from buntime.keyval import keyval`."""

from buntime.sdk.keyval import (
    AsyncKeyValue,
    Atomic,
    Entry,
    KeyValue,
    Message,
    async_keyval,
    keyval,
)

__all__ = ["AsyncKeyValue", "Atomic", "Entry", "KeyValue", "Message", "async_keyval", "keyval"]
