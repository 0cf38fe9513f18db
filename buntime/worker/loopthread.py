"""An event loop on a thread of its own, for the async functions of what is sync otherwise.

One loop for all of them: what one has opened, such as a pool of connections, the next may use.
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
    """Have it run, and wait for its result on this thread."""
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
