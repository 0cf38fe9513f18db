"""What a client has not taken yet: buffers, parts of files, and resources to close after them."""

import os
import socket
from collections import deque
from collections.abc import Sequence

from buntime.server.http1.parties import Resource
from buntime.wire import DOWNLOAD_WINDOW_MAX, MESSAGE_OVERHEAD

_SENDFILE_BYTES = 1024 * 1024  # in one go; other connections want their turn
_LARGE_BYTES = 64 * 1024  # of a file; sending less costs little more than a small answer
_JOIN_BYTES = 4096  # copying this much costs less than another buffer
_BUFFERS_MAX = 64  # in one sendmsg; the kernel's limit is 1024
# How much may wait for a WebSocket's client before that client is no longer read. More than its
# credit allows can only be pongs, for a client that pings and does not read.
_CLOGGED_BYTES = DOWNLOAD_WINDOW_MAX + 64 * 1024
_CLOGGED_BUFFERS = 2 * DOWNLOAD_WINDOW_MAX // MESSAGE_OVERHEAD


class _File:
    """A part of a file that waits to be sent; whoever opened the file closes it."""

    __slots__ = ("fd", "left", "offset")

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self.fd = fd
        self.offset = offset
        self.left = length


class _Spooled(_File):
    """A part that was moved to a file, to wait there."""

    __slots__ = ()


class _Release:
    """Marks the end of an answer that held a resource."""

    __slots__ = ("resource",)

    def __init__(self, resource: Resource) -> None:
        self.resource = resource


class Backlog(deque[memoryview | _File | _Release]):
    """A queue of output, true while it is not empty. `size_bytes` are still to be sent."""

    __slots__ = ("sent_bytes", "size_bytes", "spooled_bytes")

    def __init__(self) -> None:
        super().__init__()
        self.size_bytes = 0
        self.spooled_bytes = 0  # of these, those that wait in a file
        self.sent_bytes = 0  # since the connection began

    @property
    def is_clogged(self) -> bool:
        """Does more wait than a WebSocket's client may leave untaken?"""
        return self.size_bytes > _CLOGGED_BYTES or len(self) > _CLOGGED_BUFFERS

    @property
    def is_large_file_next(self) -> bool:
        """Is a part of a file at the front that takes a while to send?"""
        first = self[0]
        return isinstance(first, _File) and first.left > _LARGE_BYTES

    def put_unsent(self, buffers: Sequence[bytes], sent: int) -> None:
        """Queue what is left of these buffers after the first `sent` bytes."""
        for buffer in buffers:
            if sent >= len(buffer):
                sent -= len(buffer)
            else:
                self._put(memoryview(buffer)[sent:])
                self.size_bytes += len(buffer) - sent
                sent = 0

    def put_file(self, fd: int, offset: int, length: int) -> None:
        self.append(_File(fd, offset, length))
        self.size_bytes += length

    def buffers(self) -> list[memoryview]:
        """What waits in memory, in order."""
        return [item for item in self if isinstance(item, memoryview)]

    @property
    def end_of_spooled(self) -> int:
        """Where the first byte that waits in memory stands among all sent and unsent bytes, if
        nothing but spooled parts is in front of it."""
        return self.sent_bytes + self.spooled_bytes

    def move(self, fd: int, offset: int, size: int, start: int) -> None:
        """The `size` bytes that began at `start`, see `end_of_spooled`, are in this file now.

        They were in memory then, and some may have been sent since.
        """
        sent = max(0, self.sent_bytes - start)
        left = size - sent
        if left <= 0:
            return
        parts = []
        while type(self[0]) is _Spooled:
            parts.append(self.popleft())
        self._drop(left)
        part = _Spooled(fd, offset + sent, left)
        last = parts[-1] if parts else None
        if type(last) is _Spooled and last.offset + last.left == part.offset:
            last.left += left
        else:
            parts.append(part)
        self.extendleft(reversed(parts))
        self.spooled_bytes += left

    def _drop(self, size: int) -> None:
        """Remove so many bytes of memory from the front; they stay counted."""
        while size:
            first = self.popleft()
            if not isinstance(first, memoryview):
                raise AssertionError(f"{first!r} was to be a buffer")
            if len(first) > size:
                self.appendleft(first[size:])
                return
            size -= len(first)

    def put_release(self, resource: Resource) -> None:
        self.append(_Release(resource))

    def send(self, sock: socket.socket) -> None:
        """Send until everything is sent, or the kernel takes only part of a piece.

        Raises OSError: BlockingIOError where the kernel takes nothing more, others where the socket
        has ended.
        """
        while self and self._send_first(sock):
            pass

    def release(self) -> None:
        """Nothing more will be sent: close the resources that wait for that."""
        for item in self:
            if type(item) is _Release:
                item.resource.close()
        self.clear()
        self.size_bytes = self.spooled_bytes = 0

    def _put(self, piece: memoryview) -> None:
        """Queue a piece. Short ones are joined: each alone would take a hundred times its size."""
        last = self[-1] if self else None
        if type(last) is memoryview and len(last) + len(piece) <= _JOIN_BYTES:
            self[-1] = memoryview(b"".join((last, piece)))
        else:
            self.append(piece)

    def _send_first(self, sock: socket.socket) -> bool:
        """Send the first piece; False if the kernel did not take all of it."""
        first = self[0]
        if isinstance(first, _File):
            return self._send_file(first, sock)
        if type(first) is _Release:
            self.popleft()
            first.resource.close()
            return True
        return self._send_buffers(sock)

    def _send_buffers(self, sock: socket.socket) -> bool:
        """Send the buffers at the front with one vectored write."""
        buffers: list[memoryview] = []
        for item in self:
            if not isinstance(item, memoryview) or len(buffers) == _BUFFERS_MAX:
                break
            buffers.append(item)
        sent = sock.sendmsg(buffers)
        self.size_bytes -= sent
        self.sent_bytes += sent
        for buffer in buffers:
            if sent < len(buffer):
                self[0] = buffer[sent:]
                return False
            sent -= len(buffer)
            self.popleft()
        return True

    def _send_file(self, part: _File, sock: socket.socket) -> bool:
        sent = os.sendfile(sock.fileno(), part.fd, part.offset, min(part.left, _SENDFILE_BYTES))
        if sent == 0:  # the file has shrunk: the promised length cannot be kept
            raise ConnectionAbortedError("a file became shorter while it was sent")
        part.offset += sent
        part.left -= sent
        self.size_bytes -= sent
        self.sent_bytes += sent
        if type(part) is _Spooled:
            self.spooled_bytes -= sent
        if part.left:
            return False
        self.popleft()
        return True
