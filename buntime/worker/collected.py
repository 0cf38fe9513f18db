"""Request bodies of unknown length: they are collected before a WSGI app is called.

PEP 3333 lets an app read only as many bytes as CONTENT_LENGTH says, so most frameworks treat a
chunked request as one without a body. The runtime limits its size (`maxBodySize`): larger bodies
never come here.
"""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from buntime.worker.sync import SyncExchange

IN_MEMORY_BYTES = 512 * 1024  # of one body; larger ones are in a file
_PIECE_BYTES = 65536


def collect(exchange: SyncExchange) -> tuple[BinaryIO, int]:
    """Read all of the body; returns it as a file, to be closed, and its length in bytes.

    Raises OSError if it cannot be stored, and what `exchange.read` raises.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := exchange.read(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > IN_MEMORY_BYTES:
            return _collect_in_file(exchange, pieces, size)
    return io.BytesIO(b"".join(pieces)), size


def _collect_in_file(
    exchange: SyncExchange, pieces: list[bytes], size: int
) -> tuple[BinaryIO, int]:
    from tempfile import TemporaryFile  # 9 ms, only for large chunked bodies

    file: BinaryIO = TemporaryFile()  # noqa: SIM115  # whoever gets it closes it
    try:
        for piece in pieces:
            file.write(piece)
        while piece := exchange.read(_PIECE_BYTES):
            file.write(piece)
            size += len(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, size
