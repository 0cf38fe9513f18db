"""The engine of sync apps: exchanges whose handlers block, on threads that take turns to lead."""

from __future__ import annotations

from buntime.worker.engine import Engine
from buntime.worker.exchange import ENDED, Exchange
from buntime.worker.followers import Job, LeaderFollowers
from buntime.worker.hooks import run_hook
from buntime.worker.waiting import POLLIN, threads_are_greenlets, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any

    from buntime.wire import Message, Received
    from buntime.worker.channel import Channel
    from buntime.worker.engine import Sockets

    Handle = Callable[["SyncExchange"], None]

CLOSING_POLL_MS = 10  # how often a leaving worker checks whether its last handlers are done


class SyncExchange(Exchange, Job):
    """An exchange whose handler blocks its thread."""

    threads: LeaderFollowers

    def is_cancelled(self) -> bool:
        """Return whether nobody waits for the response any more."""
        self.threads.glance(self)
        return bool(self.gone)

    def read(self, limit: int) -> bytes:
        """Return up to `limit` bytes of the request's body, b"" at its end."""
        while True:
            seen = self.news
            data = self.take(limit)
            if data is not None:
                return data
            self.threads.wait(self, seen)

    def write(self, body: bytes, *, end: bool = False) -> None:
        """Send a piece of the response's body; returns when the kernel has it."""
        if not end:
            self.threads.glance(self)
        if self.fits(body):
            self.send(body, end=end)
        else:
            seen = self.news
            for _ in self.flow(body, end=end):
                self.threads.wait(self, seen)
                seen = self.news


class IdleJob(Job):
    """The app's on_idle."""

    def __init__(self, hook: Callable[[], object]) -> None:
        self.hook = hook


class SyncEngine(Engine[SyncExchange]):
    """Runs `handle` for each request, on up to `concurrency` threads."""

    threads_class = LeaderFollowers

    def __init__(
        self,
        channel: Channel,
        handle: Handle,
        sockets: Sockets[Any] | None,
        on_idle: Callable[[], object] | None,
        concurrency: int,
        *,
        is_once: bool,
    ) -> None:
        super().__init__(channel, channel.send, sockets)
        self._handle = handle
        self._on_idle_hook = on_idle
        self._copy_context = None if is_once else _context_copier()
        self._gives_way = threads_are_greenlets()
        self.threads = self.threads_class(self._read, self._perform, concurrency, self.waits_for())

    def waits_for(self) -> int | None:
        """The descriptor that a thread may wait for in the kernel, where greenlets do not run."""
        return None if self._gives_way else self.channel.descriptor

    def run(self, received: list[Received]) -> None:
        """Serve until TERMINATE has come and everything is done; `received` came before."""
        self.take_in(received)
        self.threads.run()

    def begin(self, head: Message, payload: bytes) -> None:
        """Queue a request for a thread."""
        cls = SyncExchange
        if self.sockets is not None and "upgrade" in head:
            cls = self.sockets.exchange_class
        exchange = cls(head, payload, self.send, self.exchanges.pop)
        exchange.threads = self.threads
        self.exchanges[exchange.id] = exchange
        self.threads.put(exchange)

    def tell(self, exchange: SyncExchange) -> None:
        """Wake the handler, if it waits."""
        self.threads.tell(exchange)

    def cancel(self, exchange: SyncExchange) -> None:
        """Wake the handler, if it waits; its next read or write raises."""
        self.threads.tell(exchange)

    def idle(self) -> None:
        """Queue the app's on_idle."""
        if self._on_idle_hook is not None:
            self.threads.put(IdleJob(self._on_idle_hook))

    def close(self) -> None:
        """Let the threads end when everything is done."""
        self.threads.close()

    def _read(self, wait: bool) -> None:
        may_block = wait and not self.is_closing
        if may_block and not self._gives_way:
            self.take_in(self.channel.receive())
            return
        patience_ms = None if may_block else CLOSING_POLL_MS if wait else 0
        if wait_for(self.channel.descriptor, POLLIN, patience_ms):
            self.take_in(self.channel.receive())

    def _perform(self, job: Job) -> None:
        do: Callable[[Any], None] = _run_idle if isinstance(job, IdleJob) else self._answer
        if self._copy_context is None:
            do(job)
        else:
            self._copy_context().run(do, job)

    def _answer(self, exchange: SyncExchange) -> None:
        try:
            if exchange.is_socket and self.sockets is not None:
                self.sockets.handle(exchange)
            else:
                self._handle(exchange)
            if exchange.stage is not ENDED:
                raise RuntimeError("the handler returned before it had ended its response")
        except BaseException as exc:  # noqa: BLE001  # the edge of a request; SystemExit ends only it
            self.fail(exchange, exc)


def _run_idle(job: IdleJob) -> None:
    run_hook("on_idle", job.hook)


def _context_copier() -> Callable[[], Context]:
    """Makes a context for each request, so that what one sets is not seen by the next."""
    from _contextvars import copy_context  # 0.3 ms, if one request may follow another

    return copy_context
