"""The runtime's end of a channel, for one app in this process: see the messages in `wire`."""

from __future__ import annotations

import itertools
import queue
import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING

from buntime.wire import (
    BODY,
    CANCEL,
    MAX_PAYLOAD,
    MESSAGE,
    MESSAGE_OVERHEAD,
    REQUEST,
    UPLOAD_WINDOW,
    WAITS,
    WINDOW,
    Decoder,
    encode,
)

if TYPE_CHECKING:
    from buntime.testing.front import ParsedRequest
    from buntime.wire import Message, Received

_RECEIVE_BYTES = MAX_PAYLOAD + 1024


class Box:
    """What an app sends for one request; closed by its last message."""

    def __init__(self, link: Link, number: int, request: ParsedRequest) -> None:
        self.number = number
        self.request = request
        self._link = link
        self._came: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._kept: list[Received] = []
        self._credit = UPLOAD_WINDOW

    def put(self, received: Received) -> None:
        """Take a message in, on the link's own thread."""
        self._came.put(received)

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send a message of this request."""
        self._link.send({**message, "id": self.number}, payload)

    def begin(self, head: Message, body: bytes, deadline: float) -> None:
        """Send the request and its body, as much as the app takes."""
        view = memoryview(body)
        piece = bytes(view[:MAX_PAYLOAD])
        left = view[len(piece) :]
        self._credit -= len(piece)
        self.send({**head, "type": REQUEST, "end": not left} | _size(piece), piece)
        while left:
            size = min(len(left), MAX_PAYLOAD, self.spend(deadline))
            if not size:
                return  # the app has answered, and needs no more
            piece, left = bytes(left[:size]), left[size:]
            self._credit -= size
            self.send({"type": BODY, "end": not left} | _size(piece), piece)

    def spend(self, deadline: float, least: int = 1) -> int:
        """Wait for `least` bytes of credit; returns the credit, 0 if the request is over."""
        while self._credit < least:
            received = self._next(deadline)
            if received[0]["type"] in (WINDOW, WAITS):
                self._credit += received[0]["credit"]
                continue
            self._pay_for(received)  # or an app that answers now would wait for us
            self._kept.append(received)
            kind = received[0]["type"]
            if kind in _LAST or (kind != MESSAGE and received[0].get("end")):
                return 0
        return self._credit

    def pay(self, size: int) -> None:
        """These bytes of credit are used up."""
        self._credit -= size

    def receive(self, deadline: float) -> Received:
        """The next message with content; credit for its payload is returned.

        On TimeoutError it has told the app that nobody waits any more.
        """
        while True:
            if self._kept:
                return self._kept.pop(0)
            received = self._next(deadline)
            message = received[0]
            if message["type"] not in (WINDOW, WAITS):
                self._pay_for(received)
                return received
            self._credit += message["credit"]

    def _pay_for(self, received: Received) -> None:
        """Return the credit that it has cost."""
        message, payload = received
        if message["type"] == MESSAGE:
            self.send({"type": WINDOW, "credit": len(payload) + MESSAGE_OVERHEAD})
        elif payload and not message.get("end"):
            self.send({"type": WINDOW, "credit": len(payload)})

    def cancel(self, reason: str) -> None:
        """Tell the app that nobody waits for this any more."""
        self.send({"type": CANCEL, "reason": reason})

    def _next(self, deadline: float) -> Received:
        try:
            return self._came.get(timeout=max(0.0, deadline - monotonic()))
        except queue.Empty:
            self.cancel("deadline")
            raise TimeoutError(
                f"{self.request.head.method} {self.request.target}: nothing came from the app in "
                "time; raise the client's timeout_s, or use client.stream() for an answer "
                "without end"
            ) from None


class Link:
    """Numbers requests, and passes messages to the `Box` of each."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._numbers = itertools.count(1)
        self._boxes: dict[int, Box] = {}
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="buntime-testing", daemon=True)
        self._reader.start()

    def box(self, request: ParsedRequest) -> Box:
        """Begin a request."""
        box = Box(self, next(self._numbers), request)
        self._boxes[box.number] = box
        return box

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send a message, from any thread."""
        with self._sending:
            self._socket.sendall(encode(message) + payload)

    def drop(self, box: Box) -> None:
        """This request is finished."""
        self._boxes.pop(box.number, None)

    def close(self) -> None:
        """Stop reading, once the app has ended; the other end stays open."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        decoder = Decoder()
        while data := self._socket.recv(_RECEIVE_BYTES):
            for received in decoder.feed(data):
                box = self._boxes.get(received[0].get("id", 0))
                if box is not None:
                    box.put(received)


def _size(payload: bytes) -> Message:
    return {"size": len(payload)} if payload else {}


_LAST = frozenset(("ERROR", "CLOSE"))
