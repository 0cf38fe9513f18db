"""The lifespan of an ASGI app: startup before the first request, shutdown after the last."""

from __future__ import annotations

import asyncio

from buntime.worker.report import BootError, complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    Event = dict[str, Any]
    Scope = dict[str, Any]
    Application = Callable[
        [Scope, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]],
        Awaitable[None],
    ]

_TRACE = "Traceback (most recent call last)"


class Lifespan:
    """Runs an app's lifespan as a separate task.

    An app that raises, or returns, before startup.complete does not support lifespan; it is served
    anyway, as the specification requires.
    """

    def __init__(self, app: Application) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._task: asyncio.Task[None] | None = None
        # For the loop that runs when `start` is called.
        self._events: asyncio.Queue[Event]
        self._started: asyncio.Future[None]
        self._stopped: asyncio.Future[None]
        self._has_received = False  # the app called receive
        self._failure: BootError | None = None  # a trace, whose exception may follow

    async def start(self) -> None:
        """Start up the app. If it fails, raises what it raised, or BootError with its message."""
        loop = asyncio.get_running_loop()
        self._events = asyncio.Queue()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run())
        await self._started

    async def stop(self) -> None:
        """Shut down the app, if it supports that."""
        if self._task is None or self._task.done():
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as exc:  # noqa: BLE001  # the edge of the app
            self._on_error(exc)
        except SystemExit as exc:
            if self._started.done():
                complain("the app's lifespan raised", exc)
            else:
                self._started.set_exception(BootError(f"lifespan startup raised SystemExit: {exc}"))
        finally:
            self._give_up()
            for future in (self._started, self._stopped):
                if not future.done():
                    future.set_result(None)

    def _on_error(self, exc: Exception) -> None:
        if self._started.done():
            if self._started.exception() is None:  # else startup.failed reported it
                complain("the app's lifespan raised", exc)
        elif self._failure is not None:
            self._started.set_exception(exc)  # which has its place, beside the trace
        elif self._has_received:  # an app that never receives lacks the scope, which is no fault
            complain("the app's lifespan raised; serving the app without it:", exc)

    def _give_up(self) -> None:
        """Startup has failed, and no exception has followed."""
        if self._failure is not None and not self._started.done():
            self._started.set_exception(self._failure)

    async def _receive(self) -> Event:
        self._has_received = True
        return await self._events.get()

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        if kind == "lifespan.startup.complete" and not self._started.done():
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            reason = event.get("message") or "the app gave no reason"
            self._failure = BootError(f"lifespan startup failed: {reason}")
            if _TRACE in reason:  # Starlette raises the exception too, once this returns
                asyncio.get_running_loop().call_soon(self._give_up)
            else:
                self._give_up()
        elif kind == "lifespan.shutdown.complete" and not self._stopped.done():
            self._stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and not self._stopped.done():
            complain(f"lifespan shutdown failed: {event.get('message', '')}")
            self._stopped.set_result(None)
        else:
            raise RuntimeError(f"ASGI: the app sent {kind}, which the lifespan does not allow here")
