"""The sending half of a client's connection: what the kernel does not take at once waits here.

A piece of a large file takes the kernel up to a millisecond, and hundreds of clients may be ready
for one at the same time. So a turn of the loop sends such pieces for a few milliseconds only; the
other clients have theirs in later turns, one after the other.
"""

import socket
from collections.abc import Sequence
from time import monotonic

from buntime.server.http1.backlog import Backlog
from buntime.server.http1.ending import unacknowledged_bytes
from buntime.server.http1.parties import Resource
from buntime.server.http1.service import Service
from buntime.server.http1.spool import Spool
from buntime.server.loop.loop import ready_now

_JOIN_BYTES = 8 * 1024  # copying less than this costs less than a vectored write
_FILES_S = 0.004  # a turn that has taken this long sends no more of large files


class SendingHalf:
    """Sends to a socket; a `Connection` adds the other half and decides what follows."""

    __slots__ = ("_events", "_is_put_off", "_pending", "_sock", "_spool", "service")

    service: Service
    _sock: socket.socket
    _events: int  # that it watches for
    _pending: Backlog | None  # made when first needed
    _spool: Spool | None  # while a part of what waits is on disk, or being moved there
    _is_put_off: bool  # what waits is sent in a later turn, whatever the kernel would take now

    def abort(self) -> None:
        """Close at once; the client sees a broken connection."""
        raise NotImplementedError

    def on_ready(self, events: int) -> None:
        """The socket can be read or written."""
        raise NotImplementedError

    def settle(self) -> None:
        """What it waits for may have changed."""
        raise NotImplementedError

    def catch_up(self) -> bool:
        """Handle what its client has done meanwhile; returns False if that is nothing.

        For time limits: events of a client with many connections may wait for seconds until the
        loop handles them, which is not the client's fault.
        """
        events = ready_now(self._sock, self._events)
        if events:
            self.on_ready(events)
            self.settle()
        return events != 0

    def _flush(self) -> None:
        """Send queued output, and do what that allows."""
        raise NotImplementedError

    def on_moved(self) -> None:
        """What waited in memory waits on disk."""
        raise NotImplementedError

    @property
    def pending_bytes(self) -> int:
        """How many bytes the client has not taken yet."""
        return 0 if self._pending is None else self._pending.size_bytes

    @property
    def untaken_bytes(self) -> int:
        """How many bytes the client has not taken, including those that the kernel holds for it.

        The kernel takes megabytes at a time and then, from a slow client's connection, nothing for
        seconds. So the client's own pace is known from this number alone.
        """
        return self.pending_bytes + unacknowledged_bytes(self._sock)

    @property
    def spooled_bytes(self) -> int:
        """How many of the pending bytes wait on disk."""
        return 0 if self._pending is None else self._pending.spooled_bytes

    def spool(self) -> None:
        """Move what waits in memory to disk, if there is room; `on_moved` is called after that."""
        pending = self._pending
        if not pending or (self._spool is not None and self._spool.is_writing):
            return
        spool = self._spool or Spool(self.service.spools)
        buffers, start = pending.buffers(), pending.end_of_spooled
        size = sum(map(len, buffers))

        def written(offset: int) -> None:
            pending.move(spool.fd, offset, size, start)
            self.on_moved()
            self._close_spool()

        if spool.write(buffers, written):
            self._spool = spool

    def _close_spool(self) -> None:
        """Give up the file if nothing waits there."""
        spool = self._spool
        if spool is not None and not spool.is_writing and not self.spooled_bytes:
            self._spool = None
            spool.close()

    def write(self, data: bytes) -> None:
        """Send, or keep until the client can take it."""
        if self._pending:
            self._pending.put_unsent((data,), 0)
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(data):
            self._backlog().put_unsent((data,), sent)
            self.settle()

    def write_all(self, buffers: Sequence[bytes]) -> None:
        """Send several buffers as one."""
        size = sum(map(len, buffers))
        if size <= _JOIN_BYTES:
            self.write(b"".join(buffers))
            return
        sent = 0
        if not self._pending:
            try:
                sent = self._sock.sendmsg(buffers)
            except BlockingIOError:
                pass
            except OSError:
                self.abort()
                return
            if sent == size:
                return
        self._backlog().put_unsent(buffers, sent)
        self.settle()

    def _flush_in_turn(self) -> None:
        """Send queued output, unless a later turn is to do it."""
        if self._is_put_off:
            return
        pending, loop = self._pending, self.service.loop
        if pending and pending.is_large_file_next and monotonic() - loop.now >= _FILES_S:
            self._is_put_off = True
            loop.go_on_later(self._flush_on)
            self.settle()
        else:
            self._flush()

    def _flush_on(self) -> None:
        """Others have had their turn."""
        self._is_put_off = False
        if self._pending:
            self._flush()

    def release_later(self, resource: Resource) -> None:
        """Close `resource` when everything written so far is sent, or never will be."""
        if self._pending:
            self._pending.put_release(resource)
        else:
            resource.close()

    def _backlog(self) -> Backlog:
        if self._pending is None:
            self._pending = Backlog()
        return self._pending
