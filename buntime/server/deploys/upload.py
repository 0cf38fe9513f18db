"""An archive on its way in: from a client to a file that has no name.

The file is unlinked as soon as it is made, so that nothing is left of it however this ends. Threads
write what arrives; if a client is faster than the disk, it can send no more than its window.
"""

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from buntime.core.errors import ClientFault, HttpError
from buntime.server.deploys.disk import storage_fault
from buntime.server.loop.loop import Loop

_FORM_HEAD_MAX_BYTES = 8192  # of a part: its name and type
_PIECE_BYTES = 1 << 20
_BAD_FORM = ClientFault(
    400, "bad_form", "the form must have one part, the archive; or send that alone as the body"
)


class Upload:
    """Takes the body of a request; `then` gets None when all is written, otherwise what went wrong.

    The owner closes it. Used on the loop's thread.
    """

    def __init__(
        self, loop: Loop, file: IO[bytes], then: Callable[[HttpError | None], None]
    ) -> None:
        self.file = file
        self.size_bytes = 0
        self.more: Callable[[int], None] = lambda _: None  # lets so many more bytes come
        self._loop = loop
        self._then: Callable[[HttpError | None], None] | None = then
        self._hash = hashlib.sha256()
        self._pieces: deque[bytes] = deque()
        self._is_writing = False
        self._has_ended = False

    def __repr__(self) -> str:
        return f"Upload({self.size_bytes} bytes, {len(self._pieces)} pieces wait)"

    @property
    def digest(self) -> str:
        """SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file, which frees its room on the disk."""
        self._then = None
        if not self._is_writing:
            with suppress(OSError):
                self.file.close()

    def unwrap(self, boundary: str) -> None:
        """Reduce the form that a browser sends to the archive in its only part. In a thread.

        Raises ClientFault (400) if the form does not have exactly one part.
        """
        mark = b"--" + boundary.encode("latin-1")
        self.file.seek(0)
        head = self.file.read(_FORM_HEAD_MAX_BYTES)
        start = head.find(b"\r\n\r\n") + 4
        tail_bytes = min(self.size_bytes, len(mark) + _FORM_HEAD_MAX_BYTES)
        self.file.seek(self.size_bytes - tail_bytes)
        tail = self.file.read()
        last = tail.rfind(b"\r\n" + mark + b"--")
        end = self.size_bytes - tail_bytes + last
        if not head.startswith(mark + b"\r\n") or start < 4 or last < 0 or end < start:
            raise _BAD_FORM
        part = open_upload_like(self.file)
        digest = hashlib.sha256()
        try:
            self.file.seek(start)
            left = end - start
            while left and (piece := self.file.read(min(left, _PIECE_BYTES))):
                digest.update(piece)
                part.write(piece)
                left -= len(piece)
            part.flush()
        except BaseException:
            part.close()
            raise
        self.file.close()
        self.file, self._hash, self.size_bytes = part, digest, end - start

    # Sink

    def on_data(self, data: bytes, ended: bool) -> None:
        self._has_ended = ended
        if data:
            self._pieces.append(data)
        self._write_on()

    def on_lost(self, fault: ClientFault | None) -> None:
        cut = ClientFault(
            400, "upload_cut", "the upload ended before the whole archive had arrived"
        )
        self._end(fault or cut)

    def _write_on(self) -> None:
        if self._is_writing or self._then is None:
            return
        if not self._pieces:
            if self._has_ended:
                self._end(None)
            return
        pieces = [*self._pieces]
        self._pieces.clear()
        self._is_writing = True
        self._loop.run_blocking(lambda: self._write(pieces), self._written)

    def _write(self, pieces: list[bytes]) -> int:
        """In a thread."""
        for piece in pieces:
            self._hash.update(piece)
            self.file.write(piece)
        if self._has_ended:
            self.file.flush()
        return sum(map(len, pieces))

    def _written(self, result: int | BaseException) -> None:
        self._is_writing = False
        if self._then is None:
            self.close()
        elif isinstance(result, OSError):
            self._end(storage_fault(result))
        elif isinstance(result, BaseException):
            raise result
        else:
            self.size_bytes += result
            self.more(result)
            self._write_on()

    def _end(self, fault: HttpError | None) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(fault)


def open_upload_like(file: IO[bytes]) -> IO[bytes]:
    """Another such file, in the same file system: the descriptor leads to the folder."""
    folder = os.path.dirname(os.readlink(f"/proc/self/fd/{file.fileno()}"))
    return open_upload(folder)


def open_upload(folder: str) -> IO[bytes]:
    """A file without a name, in the file system of the folder. Raises OSError."""
    os.makedirs(folder, 0o755, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder, buffering=1 << 16)  # the caller closes it
