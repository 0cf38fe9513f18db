"""The engines of a worker, in a process that outlives them.

A worker ends with its channel; here only the thread that serves the app ends, and an exception of
the app is kept for the test that made the request.
"""

import os
import threading
from _thread import LockType
from typing import NoReturn

from buntime.wire import Message
from buntime.worker.aio import AsyncEngine, AsyncExchange
from buntime.worker.channel import Channel
from buntime.worker.exchange import ENDED
from buntime.worker.followers import LeaderFollowers
from buntime.worker.sync import SyncEngine, SyncExchange

# The exceptions of requests, by their numbers, until the test has fetched them.
Failures = dict[int, BaseException]


class Ended(Exception):
    """The channel has ended, which must not happen before its engine has."""


class HostedChannel(Channel):
    """The worker's end of the channel."""

    def __init__(self, descriptor: int) -> None:
        self._process = os.getpid()
        super().__init__(descriptor)

    def heed_forks(self) -> None:
        """A fork handler could not be removed when the channel is gone."""

    def prepare(
        self, message: Message, payload: bytes | memoryview
    ) -> tuple[bytes] | tuple[bytes, bytes | memoryview]:
        self._is_forked = os.getpid() != self._process
        return super().prepare(message, payload)

    def end(self) -> NoReturn:
        raise Ended("the channel to the test has ended")

    def quit(self, reason: str) -> NoReturn:
        if os.getpid() != self._process:
            super().quit(reason)
        raise Ended(reason)

    def close(self) -> None:
        """Close it, once nobody uses it."""
        os.close(self.descriptor)


class HostedThreads(LeaderFollowers):
    """The threads of a sync app, visible to debuggers and coverage."""

    def start_thread(self, bell: LockType) -> None:
        thread = threading.Thread(target=self._work, args=(bell,), name="buntime app", daemon=True)
        thread.start()
        self._started.append(thread)

    def run(self) -> None:
        """Serve; when it returns all threads have ended, so the channel can be closed."""
        self._started: list[threading.Thread] = []
        super().run()
        for thread in self._started:
            thread.join()
        self._standby.close()

    def quit(self) -> None:
        """Only the thread ends; what waits for it runs into its timeout."""


class HostedSync(SyncEngine):
    """The engine of sync apps."""

    threads_class = HostedThreads
    failures: Failures

    def fail(self, exchange: SyncExchange, exc: BaseException) -> None:
        if exchange.stage is not ENDED:
            self.failures[exchange.id] = exc
        super().fail(exchange, exc)


class HostedAsync(AsyncEngine):
    """The engine of async apps."""

    failures: Failures

    def fail(self, exchange: AsyncExchange, exc: BaseException) -> None:
        if exchange.stage is not ENDED:
            self.failures[exchange.id] = exc
        super().fail(exchange, exc)

    def close_loop(self) -> None:
        """Close the loop, which this engine has made."""
        if not self.loop.is_closed():
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
