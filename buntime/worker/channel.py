"""The worker's end of the channel: whole messages in and out, on a socket that apps cannot spoil.

Its end means that the runtime is gone; then this process ends too, because nobody is left to report
to. It is read and written as a file: `_socket` would take 3 % of a worker's start.
"""

from __future__ import annotations

import _thread
import posix  # for `os`, see main.py

from buntime.wire import MAX_LINE, MAX_PAYLOAD, RESPONSE, Decoder, WireError, encode
from buntime.worker.lifeline import moved_up
from buntime.worker.report import complain
from buntime.worker.responseline import response_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from buntime.wire import Message, Received

# bytes. Two whole payloads and their lines: the runtime reads as much from a client at once.
RECEIVE_BYTES = 2 * (MAX_PAYLOAD + 1024)
# bytes. Up to this size copying the payload after the line is cheaper than a second buffer in
# writev.
JOIN_BYTES = 8 * 1024


class Channel:
    """Whole messages over one stream socket; sending is safe from any thread, reading is not."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = moved_up(descriptor)
        self._decoder = Decoder()
        self._sending = _thread.allocate_lock()
        self._is_forked = False
        self.heed_forks()

    def heed_forks(self) -> None:
        """Keep the channel for this process only, whatever forks."""
        posix.register_at_fork(after_in_child=self._leave)

    def receive(self) -> list[Received]:
        """Read once: the messages that are complete now, possibly none. Never returns at the
        end."""
        try:
            data = posix.read(self.descriptor, RECEIVE_BYTES)
        except BlockingIOError:  # asyncio's engine has it not block
            return []
        except ConnectionResetError:  # the end, with some of our data still unread
            data = b""
        except OSError as exc:
            self.quit(f"cannot read the channel to the runtime (closed by the app?): {exc}")
        if not data:
            self.end()
        try:
            return self._decoder.feed(data)
        except WireError as exc:
            self.quit(f"the runtime sent {exc}")

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message with its payload, and wait until the kernel has taken all of it."""
        self._send(self.prepare(message, payload))

    def send_line(self, line: bytes) -> None:
        """The same for a short message without a payload that is already encoded."""
        if self._is_forked:
            self._quit_forked()
        self._send((line,))

    def _send(self, data: tuple[bytes] | tuple[bytes, bytes | memoryview]) -> None:
        with self._sending:
            try:
                if len(data) == 1:
                    self._write(data[0])
                    return
                line, payload = data
                sent = posix.writev(self.descriptor, data) - len(line)
                if sent < 0:
                    self._write(line[sent:])
                    sent = 0
                if sent < len(payload):
                    self._write(memoryview(payload)[sent:])
            except OSError as exc:
                self.quit(f"cannot write to the channel to the runtime: {exc}")

    def prepare(
        self, message: Message, payload: bytes | memoryview
    ) -> tuple[bytes] | tuple[bytes, bytes | memoryview]:
        """Return what to send: one buffer, or the line and a payload too large to copy.

        Raises ValueError for a line that the other side would not accept.
        """
        if self._is_forked:
            self._quit_forked()
        line = response_line(message) if message["type"] == RESPONSE else encode(message)
        if len(line) > MAX_LINE:
            raise ValueError(
                f"the head of a response must not exceed {MAX_LINE} bytes; this one has {len(line)}"
            )
        if not payload:
            return (line,)
        if len(payload) <= JOIN_BYTES:
            return (line + payload,)
        return line, payload

    def _write(self, data: bytes | memoryview) -> None:
        sent = posix.write(self.descriptor, data)
        while sent < len(data):  # a signal came in between
            sent += posix.write(self.descriptor, memoryview(data)[sent:])

    def end(self) -> NoReturn:
        """End this process: the runtime is gone."""
        posix._exit(0)

    def quit(self, reason: str) -> NoReturn:
        """End this process: its channel is no longer usable."""
        complain(f"buntime worker: {reason}")
        posix._exit(1)

    def _quit_forked(self) -> NoReturn:
        # Two processes that write to one channel would mix their messages.
        self.quit(
            "a forked child of the app returned into the worker; "
            "end it with os._exit(), or use multiprocessing"
        )

    def _leave(self) -> None:
        """Run in a forked child, and in those that it forks: the channel belongs to the parent."""
        if not self._is_forked:  # later its number may belong to another file
            self._is_forked = True
            posix.close(self.descriptor)
