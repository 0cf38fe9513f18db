"""Forwarders between a client and a runtime.

One leads to a unix socket, for clients that cannot use one; the other is a cable that can be cut.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit


@contextlib.contextmanager
def in_front_of(path: Path) -> Iterator[str]:
    """Forward a port of this machine to the unix socket `path`; yields the port's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=[listening, path], daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)  # so that `accept` returns


class Cable:
    """Forwards its own port to a URL of this machine."""

    def __init__(self, listening: socket.socket, target: tuple[str, int]) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._listening = listening
        self._target = target
        self._is_whole = True
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()

    def cut(self) -> None:
        """Break all connections, and each new one."""
        with self._lock:
            self._is_whole = False
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        with self._lock:
            self._is_whole = True

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                threading.Thread(target=self._join, args=[client], daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            with self._lock:
                if not self._is_whole:
                    return
                self._ends |= {client, server}
            back = threading.Thread(target=_copy, args=[server, client], daemon=True)
            back.start()
            _copy(client, server)
            back.join()
            with self._lock:
                self._ends -= {client, server}


@contextlib.contextmanager
def cable_to(url: str) -> Iterator[Cable]:
    """A way to a URL that a test can cut and mend."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        cable = Cable(listening, (parts.hostname, parts.port))
        threading.Thread(target=cable.run, daemon=True).start()
        yield cable
        cable.cut()
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
