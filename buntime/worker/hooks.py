"""on_idle and on_terminate: functions of the app, sync or async, whose failures are only logged."""

from __future__ import annotations

from buntime.worker.report import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any


def run_hook(name: str, hook: Callable[[], Any]) -> None:
    """Run a hook of a sync app to its end; an async one gets its own event loop."""
    try:
        result = hook()
        if hasattr(result, "__await__"):
            import asyncio  # 62 ms, for the sync app that has an async hook

            asyncio.run(_finish(result))
    except BaseException as exc:  # noqa: BLE001  # the edge of the app; SystemExit too ends only it
        complain(f"{name} failed", exc)


async def await_hook(name: str, hook: Callable[[], Any]) -> None:
    """Run a hook of an async app to its end."""
    try:
        result = hook()
        if hasattr(result, "__await__"):
            await result
    except BaseException as exc:  # noqa: BLE001  # the edge of the app
        complain(f"{name} failed", exc)


async def _finish(awaitable: Awaitable[Any]) -> None:
    await awaitable
