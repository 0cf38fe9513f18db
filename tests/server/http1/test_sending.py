"""Large files to many clients at once: each turn of the loop sends some, all get their share."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.core.telemetry.meters import Meters
from buntime.server.http1 import backlog, sending
from buntime.server.http1.connection import Connection
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.service import Service
from buntime.server.loop import loop
from tests.support.fakes import FakeSink, make_log
from tests.support.rawclient import request

CLIENTS = 40
PIECE_S = 0.001  # what the kernel takes for a piece
A_TURN = 8  # pieces: 4 ms for those that are ready, 2 for those put off, and the piece under way
LARGE_BYTES = 4 << 20
SMALL_BYTES = 32 << 10


class Crowd:
    """Clients on one loop, whose clock shows only what sending takes."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(loop, "monotonic", lambda: self.now)
        monkeypatch.setattr(sending, "monotonic", lambda: self.now)
        self._sendfile = os.sendfile
        monkeypatch.setattr(backlog.os, "sendfile", self._send)
        self.errors: list[BaseException] = []
        self.loop = loop.Loop(self.errors.append)
        environ = {"RUNTIME_WORKER_DIRS": "/apps"}
        read = load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)
        self.service = Service(self.loop, LiveSettings(read), make_log(FakeSink()), Meters())
        self.pieces: Counter[int] = Counter()  # by descriptor
        self.size = file.stat().st_size
        self._file = file.open("rb")
        self.clients: list[socket.socket] = []
        self.connections: list[Connection] = []
        for _ in range(CLIENTS):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.setblocking(False)
            self.clients.append(theirs)
            self.connections.append(Connection(self.service, self._answer, ours, None, None))
            self.service.connections.add(self.connections[-1])

    def ask(self) -> None:
        for client in self.clients:
            client.send(request("GET /"))

    def turn(self) -> int:
        """One turn of the loop; returns how many pieces it sent."""
        before = self.pieces.total()
        self.loop.run_once(0)
        return self.pieces.total() - before

    def take(self) -> list[int]:
        """The clients take what has come; how many bytes each."""
        taken = []
        for client in self.clients:
            size = 0
            with contextlib.suppress(BlockingIOError):
                while data := client.recv(1 << 20):
                    size += len(data)
            taken.append(size)
        return taken

    def close(self) -> None:
        for connection in self.connections:
            connection.abort()
        for client in self.clients:
            client.close()
        self._file.close()
        self.loop.close()
        assert self.errors == []

    def _answer(self, exchange: Exchange) -> None:
        exchange.start(200, [("content-length", str(self.size))], None)
        exchange.send_file(self._file.fileno(), 0, self.size)
        exchange.finish()

    def _send(self, out: int, of: int, offset: int, count: int) -> int:
        self.pieces[out] += 1
        self.now += PIECE_S
        return self._sendfile(out, of, offset, count)


@pytest.fixture
def crowd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Crowd]:
    (tmp_path / "file").write_bytes(bytes(getattr(request, "param", LARGE_BYTES)))
    crowd = Crowd(tmp_path / "file", monkeypatch)
    yield crowd
    crowd.close()


def test_a_turn_sends_for_a_few_milliseconds(crowd: Crowd) -> None:
    """However many clients could take more, a turn sends to some of them, and to all in turns."""
    crowd.ask()
    taken = [0] * CLIENTS
    turns = 0
    while min(taken) < crowd.size:
        assert crowd.turn() <= A_TURN
        taken = [before + new for before, new in zip(taken, crowd.take(), strict=True)]
        turns += 1
        if turns == CLIENTS:
            counts = [crowd.pieces[each._sock.fileno()] for each in crowd.connections]
            assert min(counts) > 0
    assert turns > CLIENTS


@pytest.mark.parametrize("crowd", [SMALL_BYTES], indirect=True)
def test_small_files_wait_for_no_turn(crowd: Crowd) -> None:
    crowd.ask()
    assert crowd.turn() == CLIENTS
    assert min(crowd.take()) > SMALL_BYTES


def test_clients_that_leave_while_they_wait(crowd: Crowd) -> None:
    """Nothing is sent to a connection that has ended before its turn came."""
    crowd.ask()
    crowd.turn()
    for connection in crowd.connections:
        connection.abort()
    sent = crowd.pieces.total()
    for _ in range(CLIENTS):
        crowd.turn()
    assert crowd.pieces.total() == sent
