"""The plugin keyval in this process: its store with the test's clock, its service, a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

from buntime.keyval import KeyValue as Client
from buntime.sdk.services import CALLER
from buntime.worker.content import Parcel, unpacked
from keyval.database import Database
from keyval.limits import Limits
from keyval.queues import Queues
from keyval.service import KeyValue
from keyval.store import Store
from keyval.watches import Watchers
from keyval.web import Web


class Clock:
    """The test's time, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """A store in a folder, with everything that serves it."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.clock = Clock()
        bounds = Limits(**limits)
        self.database = Database(folder / "keyval.db", file_bytes=bounds.file_bytes)
        self.store = Store(self.database, self.clock, bounds)
        self.queues = Queues(self.store)
        self.watchers = Watchers(bounds.watches)
        self.store.listeners.append(self.watchers.on_change)
        self.service = KeyValue(self.store, self.queues, self.watchers)
        self.web = Web(self.store, self.queues)

    def direct(self, caller: str = "app:shop") -> Direct:
        """The service, as a caller's calls reach it."""
        return Direct(self.service, caller)

    def client(self, caller: str = "app:shop") -> Client:
        return Client(self.direct(caller))

    def size(self, space: str = "app:shop") -> tuple[int, int, int]:
        """The counts of a space: bytes, entries, messages."""
        [found] = [each for each in self.store.spaces() if each.name == space]
        return found.bytes, found.entries, found.messages

    def close(self) -> None:
        self.database.close()


class Direct:
    """Calls the service's methods by name; arguments and results pass as JSON and bytes."""

    def __init__(self, service: KeyValue, caller: str) -> None:
        self._service = service
        self._caller = caller

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            passed = through(args)

            async def run() -> Any:
                CALLER.set(self._caller)
                return await getattr(self._service, method)(*passed)

            result = copy_context().run(asyncio.run, run())
            return result if hasattr(result, "__anext__") else through(result)

        return call


def through(value: Any) -> Any:
    """A value as the other side of a channel gets it."""
    parcel = Parcel(value)
    content = b"".join(bytes(piece) for _, piece in parcel.pieces(1, is_item=True))
    text = json.dumps(parcel.packed).encode()
    return unpacked(json.loads(text), content[len(parcel._text) :])
