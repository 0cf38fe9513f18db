"""Clients that keep their connections and send as fast as they are answered; each answer counts.

They are well-behaved: they send one request at a time and take `Connection: close` at its word.
They are as if far away: the end of a connection that comes within `_WAY_S` after an answer crosses
with the next request, which is then lost.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence

_WAY_S = 0.003  # there and back
_AGAIN_S = 0.01  # after a refused connection
_START_S = 20.0


class KeptClients:
    """`answered` counts right answers, `lost` has a line for each request without one."""

    def __init__(
        self, address: tuple[str, int], targets: Sequence[str], *, comes_back: bool
    ) -> None:
        """A client for each target; `{}` in it becomes a number, which the body has to repeat.

        A client whose connection has ended connects again if it `comes_back`, else it goes home.
        """
        self.address = address
        self.comes_back = comes_back
        self.answered = 0
        self.lost: list[str] = []
        self.number = 0
        self.selector = selectors.DefaultSelector()
        self.is_over = threading.Event()
        self._left = [_Client(self, target) for target in targets]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> KeptClients:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.leave()
        self.selector.close()

    def leave(self) -> None:
        """Send no more requests, and wait for the last answers."""
        self.is_over.set()
        self._thread.join()

    def wait_for(self, answers: int) -> None:
        """Until there are so many more answers."""
        most, until_s = self.answered + answers, time.monotonic() + _START_S
        while self.answered < most:
            assert time.monotonic() < until_s, f"{self.answered} answers, {self.lost[:5]}"
            time.sleep(0.002)

    def are_gone(self, timeout_s: float) -> bool:
        """Wait until the connection of each of them has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self._left:
            now = time.monotonic()
            for client in tuple(self._left):
                client.go_on(now)
                if client.is_gone:
                    self._left.remove(client)
            wait_s = min((client.at_s for client in self._left), default=now) - now
            for key, _ in self.selector.select(min(max(0.0, wait_s), _AGAIN_S)):
                key.data.read()


class _Client:
    def __init__(self, all_of_them: KeptClients, target: str) -> None:
        self.is_gone = False
        self.at_s = 0.0  # when it does something, if it need not wait for its answer
        self._sock: socket.socket | None = None
        self._all = all_of_them
        self._target = target
        self._expected = b""  # the body of the answer that it waits for
        self._got = b""
        self._asked = 0

    def go_on(self, now: float) -> None:
        if self._expected or now < self.at_s:
            return
        if self._all.is_over.is_set():
            self._leave(for_good=True)
            return
        try:
            if self._sock is None:
                self._connect()
            self._ask()
        except OSError as exc:
            self._end(repr(exc))

    def _connect(self) -> None:
        self._sock = socket.create_connection(self._all.address, timeout=15)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._asked = 0

    def _ask(self) -> None:
        assert self._sock is not None
        self._all.number += 1
        self._asked += 1
        self._expected, self.at_s = str(self._all.number).encode(), float("inf")
        line = f"GET {self._target.format(self._all.number)} HTTP/1.1\r\nHost: x\r\n\r\n"
        self._sock.sendall(line.encode())
        self._all.selector.register(self._sock, selectors.EVENT_READ, self)

    def read(self) -> None:
        """Some of an answer, or the connection's end, has come."""
        assert self._sock is not None
        try:
            data = self._sock.recv(65536)
        except OSError as exc:
            self._end(repr(exc))
            return
        if not data:
            self._end("the end")
            return
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self._check(head, body)

    def _check(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"HTTP/1.1 200 ") and body == self._expected:
            self._all.answered += 1
        else:
            self._lose(f"answered {self._got[:300]!r}")
        if b"connection: close" in head.lower():
            self._leave(for_good=not self._all.comes_back)
        else:
            self._rest(_WAY_S)

    def _end(self, how: str) -> None:
        if self._expected:
            self._lose(f"{how} after {len(self._got)} bytes")
        self._leave(for_good=not self._all.comes_back)

    def _lose(self, how: str) -> None:
        self._all.lost.append(f"{self._target}, request {self._asked} of its connection: {how}")

    def _leave(self, *, for_good: bool) -> None:
        self._rest(_AGAIN_S)
        self.is_gone = for_good
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _rest(self, for_s: float) -> None:
        if self._expected and self._sock is not None:
            with contextlib.suppress(KeyError):  # its request could not be sent
                self._all.selector.unregister(self._sock)
        self._expected = self._got = b""
        self.at_s = time.monotonic() + for_s


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise AssertionError(f"an answer without a length: {head!r}")


@contextlib.contextmanager
def busy(
    address: tuple[str, int], targets: Sequence[str], *, comes_back: bool = False
) -> Iterator[KeptClients]:
    """These clients, from when all of them are at work."""
    with KeptClients(address, targets, comes_back=comes_back) as clients:
        clients.wait_for(5 * len(targets))
        yield clients
