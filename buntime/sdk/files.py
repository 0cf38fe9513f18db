"""A file as the body of a response: its pieces and the headers that describe it.

Loaded by the first `Response.file`, because `os` alone costs 3 ms that a worker may not need.
"""

from __future__ import annotations

import os
import stat
import time

from buntime.sdk.fields import TOKEN, quote
from buntime.sdk.mediatypes import BINARY, TEXT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

PIECE_BYTES = 65536

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# RFC 8187 3.2.1: attr-char is a token without these three.
_ATTR_CHARS = "".join(character for character in TOKEN if character not in "*'%")


class FileBody:
    """The bytes of a regular file, in pieces of 64 KiB, up to the size it had when it was opened.

    It is opened at once, so the app gets the error if it is missing, and may delete a temporary
    file before it is sent. Iterating again opens it again: a Response in a table of routes serves
    many requests.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        file = open(path, "rb")  # noqa: SIM115  # closed by close() or at the end of __iter__
        # A list, because pop() gives the open file to one thread only.
        self._opened: list[BinaryIO] = [file]
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            file.close()
            raise ValueError(f"{path}: not a regular file; send it as an iterable of bytes")
        self.size_bytes = status.st_size
        self.modified_ns = status.st_mtime_ns

    def __iter__(self) -> Iterator[bytes]:
        try:
            file = self._opened.pop()
        except IndexError:
            file = open(self.path, "rb")  # noqa: SIM115  # closed by the next line
        with file:
            left = self.size_bytes
            while left:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    raise OSError(f"{self.path}: {left} bytes shorter than when it was opened")
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """Close the file if it was never read."""
        while self._opened:
            self._opened.pop().close()

    def headers(self, content_type: str | None, filename: str | None) -> list[tuple[str, str]]:
        """Describe the file; a `filename` offers it as a download of that name."""
        pairs = [
            ("content-type", content_type or type_of(os.fspath(self.path))),
            ("content-length", str(self.size_bytes)),
            ("last-modified", http_date(self.modified_ns // 1_000_000_000)),
            ("etag", f'"{self.modified_ns:x}-{self.size_bytes:x}"'),
        ]
        if filename is not None:
            pairs.append(("content-disposition", disposition(filename)))
        return pairs


def type_of(path: str) -> str:
    """Return the content type for a name: `"a/page.html"` -> `"text/html; charset=utf-8"`."""
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    extension = extension.lower() if dot else ""
    known = TEXT.get(extension) or BINARY.get(extension)
    if known is None:
        import mimetypes  # 17 ms, for the rare types only

        known = mimetypes.types_map.get(f".{extension}", "application/octet-stream")
    return known + "; charset=utf-8" if known.startswith("text/") else known


def disposition(filename: str) -> str:
    """Return the Content-Disposition of a download (RFC 6266 4.3 and its appendix D)."""
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
    line = f'attachment; filename="{plain}"'
    if plain == filename and "%" not in filename:
        return line
    return f"{line}; filename*=UTF-8''{quote(filename, _ATTR_CHARS)}"


def http_date(seconds: int) -> str:
    """Format seconds since 1970: `0` -> `"Thu, 01 Jan 1970 00:00:00 GMT"` (RFC 9110 5.6.7)."""
    at = time.gmtime(seconds)
    day, month = _DAYS[at.tm_wday], MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {clock} GMT"
