"""An event loop on its own thread, for async functions of otherwise sync code.

All of them share one loop: what one has opened, such as a connection pool, the next may use.
"""

from __future__ import annotations

import asyncio
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

_starting = threading.Lock()
_loops: list[asyncio.AbstractEventLoop] = []  # the one, once it runs


def run_there(awaitable: Awaitable[Any]) -> Any:
    """Run it there, and wait for its result on this thread."""
    return asyncio.run_coroutine_threadsafe(_finish(awaitable), _loop()).result()


async def _finish(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        if not _loops:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()
            _loops.append(loop)
    return _loops[0]
