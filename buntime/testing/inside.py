"""The app's side: a thread that loads an app and serves it, as the main thread of a worker does."""

from __future__ import annotations

import _thread
import asyncio
import posix
import socket
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from buntime.testing.errors import AppNotLoaded
from buntime.wire import TERMINATE, Decoder, WireError
from buntime.worker.channel import RECEIVE_BYTES, Channel
from buntime.worker.load import load
from buntime.worker.main import serve_app
from buntime.worker.report import BootError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from buntime.testing.link import Link
    from buntime.wire import Message, Received
    from buntime.worker.load import App


class Inside:
    """One app, loaded and served in a thread of its own.

    `failures` are the exceptions that the app has raised, by the number of the request.
    """

    def __init__(self, init: Message, find_module: Callable[[], ModuleType]) -> None:
        self.kind = ""
        self.failures: dict[int, BaseException] = {}
        self._init = init
        self._find_module = find_module
        self._failure: BaseException | None = None  # of the start, or of the end
        self._is_ready = threading.Event()
        self.end, theirs = socket.socketpair()
        self._channel = _Channel(theirs.detach())
        self._thread = threading.Thread(target=self._run, name="buntime-testing-app", daemon=True)

    def start(self, timeout_s: float) -> None:
        """Load the app. Raises AppNotLoaded, or what the app raises."""
        self._thread.start()
        if not self._is_ready.wait(timeout_s):
            raise TimeoutError(f"the app has not loaded within {timeout_s:g} s")
        if self._failure is not None:
            self._thread.join()
            self.end.close()
            self._channel.close()
            raise self._failure

    def stop(self, link: Link, timeout_s: float) -> None:
        """Let the app end, its hooks included. Raises what it raises, and TimeoutError."""
        link.send({"type": TERMINATE})
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            # Its descriptors stay open: it may yet use them.
            raise TimeoutError(
                f"the app has not ended within {timeout_s:g} s; what does it wait for?"
            )
        link.close()
        self._channel.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            app = load(self._find_module(), self._init)
            self.kind = app.kind
            self._watch(app)
            serve_app(app, self._init, self._channel, [], self._on_ready, None)
            if app.is_async:
                _close_loop()
        except BootError as exc:
            self._failure = AppNotLoaded(str(exc))
        except BaseException as exc:  # noqa: BLE001  # the edge of the app; the test gets it
            self._failure = exc
        self._is_ready.set()

    def _on_ready(self, _send: object) -> None:
        self._is_ready.set()

    def _watch(self, app: App) -> None:
        """Have what handlers raise kept, for the test that asked."""
        app.handle = self._watched(app.handle, is_async=app.is_async)
        if app.sockets is not None:
            app.sockets.handle = self._watched(app.sockets.handle, is_async=app.is_async)

    def _watched(self, handle: Callable[[Any], Any], *, is_async: bool) -> Callable[[Any], Any]:
        def call(exchange: Any) -> None:
            try:
                handle(exchange)
            except BaseException as exc:
                self.failures[exchange.id] = exc
                raise

        async def call_async(exchange: Any) -> None:
            try:
                await handle(exchange)
            except BaseException as exc:
                self.failures[exchange.id] = exc
                raise

        return call_async if is_async else call


class _Channel(Channel):
    """A worker's end of the channel, in a process that is to live on when the channel ends."""

    def __init__(self, descriptor: int) -> None:
        # Not by the worker's own, which has each child that is forked close this descriptor's
        # number for ever after.
        self.descriptor = descriptor
        self._decoder = Decoder()
        self._sending = _thread.allocate_lock()
        self._is_forked = False
        self._reading = _thread.allocate_lock()
        self._is_closed = False

    def receive(self) -> list[Received]:
        """Read once, as the worker's does; at the end, which comes when all is done, nothing."""
        with self._reading:
            try:
                data = b"" if self._is_closed else posix.read(self.descriptor, RECEIVE_BYTES)
            except BlockingIOError:
                return []
        if not data:
            return []
        try:
            return self._decoder.feed(data)
        except WireError as exc:
            self.quit(f"the client sent {exc}")

    def close(self) -> None:
        """Close the descriptor, whose number may be another file's then.

        A thread of the engine's may still look whether something has come.
        """
        with self._reading:
            self._is_closed = True
            posix.close(self.descriptor)

    def quit(self, reason: str) -> NoReturn:
        """End the app's thread."""
        raise ConnectionError(reason)


def _close_loop() -> None:
    loop = asyncio.get_event_loop()  # the one that the engine has set for this thread
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)
