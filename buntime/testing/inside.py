"""The app's side: a thread that loads an app and serves it, as the main thread of a worker does."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from buntime.testing.engines import HostedAsync, HostedChannel, HostedSync
from buntime.testing.errors import AppNotLoaded
from buntime.wire import TERMINATE
from buntime.worker.hooks import run_hook
from buntime.worker.load import load
from buntime.worker.report import BootError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from buntime.testing.link import Link
    from buntime.wire import Message
    from buntime.worker.load import App


class Inside:
    """One app, loaded and served in its own thread.

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
        self._channel = HostedChannel(theirs.detach())
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
        """End the app, including its hooks. Raises what it raises, and TimeoutError."""
        link.send({"type": TERMINATE})
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            # Its descriptors stay open, because it may still use them.
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
            if app.is_async:
                self._serve_async(app)
            else:
                self._serve(app)
        except BootError as exc:
            self._failure = AppNotLoaded(str(exc))
        except BaseException as exc:  # noqa: BLE001  # the edge of the app; the test gets it
            self._failure = exc
        self._is_ready.set()

    def _serve(self, app: App) -> None:
        # Not for one request, even if its `ttl` is 0: one module answers all requests of a test.
        engine = HostedSync(
            self._channel, app.handle, app.sockets, app.on_idle, app.concurrency, is_once=False
        )
        engine.failures = self.failures
        self._is_ready.set()
        engine.run([])
        if app.on_terminate is not None:
            run_hook("on_terminate", app.on_terminate)

    def _serve_async(self, app: App) -> None:
        engine = HostedAsync(
            self._channel,
            app.handle,
            app.sockets,
            start=app.start,
            stop=app.stop,
            on_idle=app.on_idle,
            on_terminate=app.on_terminate,
        )
        engine.failures = self.failures
        try:
            engine.run([], lambda _send: self._is_ready.set())
        finally:
            engine.close_loop()
