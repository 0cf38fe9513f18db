"""keyval: keys and values, and queues, for apps and plugins. See docs/keyval.md."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from buntime import ServiceError
from buntime.plugin import plugin
from keyval.database import Database
from keyval.limits import Limits
from keyval.queues import Queues
from keyval.service import KeyValue
from keyval.store import Store
from keyval.watches import Watchers
from keyval.web import Web

SWEEP_S = 1.0

services: dict[str, Any] = {}
_web: list[Web] = []
_open: list[Database] = []
_tasks: list[asyncio.Task[None]] = []


async def on_init() -> None:
    """Open the database, and start the cleanup."""
    folder = os.environ.get("APP_DATA_DIR")
    if not folder:
        raise RuntimeError("APP_DATA_DIR is not set: this runtime has no writable state folder")
    limits = Limits.of(plugin.config)
    database = Database(
        Path(folder) / "keyval.db", sync=plugin.config["sync"], file_bytes=limits.file_bytes
    )
    _open.append(database)
    store = Store(database, time.time, limits)
    queues, watchers = Queues(store), Watchers(limits.watches)
    store.listeners.append(watchers.on_change)
    services["kv"] = KeyValue(store, queues, watchers)
    _web.append(Web(store, queues))
    _tasks.append(asyncio.create_task(_sweep(store)))


async def on_shutdown() -> None:
    """Stop the cleanup, and close the database."""
    for task in _tasks:
        task.cancel()
    for database in _open:
        database.close()


async def fetch(request: Any) -> Any:
    """Answer requests below /keyval/api."""
    return await _web[0].answer(request)


async def _sweep(store: Store) -> None:
    """Delete what has expired, in small steps, with calls in between."""
    reported = ""
    while True:
        more = False
        try:
            more, reported = store.sweep(), ""
        except ServiceError as exc:  # such as a full disk, which may have room later
            if str(exc) != reported:
                plugin.log.error(f"cannot delete what has expired: {exc}")
            reported = str(exc)
        await asyncio.sleep(0 if more else SWEEP_S)
