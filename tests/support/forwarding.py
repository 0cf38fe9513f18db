"""A socket of the Internet before one of the file system, for clients that know no other."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_front_of(path: Path) -> Iterator[str]:
    """Pass all on that comes to a port of this machine; the URL of that."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=[listening, path], daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)  # so that `accept` returns


def _accept(listening: socket.socket, path: Path) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=_join, args=[listening.accept()[0], path], daemon=True).start()


def _join(client: socket.socket, path: Path) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, socket.socket(socket.AF_UNIX) as server:
        server.connect(str(path))
        back = threading.Thread(target=_copy, args=[server, client], daemon=True)
        back.start()
        _copy(client, server)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError), source.makefile("rb", 0) as reader:
        shutil.copyfileobj(reader, target.makefile("wb", 0), 65536)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
