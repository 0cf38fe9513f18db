"""The attacks. Each runs until its process is ended: `python -m tests.siege.attacks NAME PORT`.

It runs at the lowest priority, because a real attacker has a machine of their own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tests.support.rawsocket import PING, TEXT, handshake, write_frame

_FROM = ("127.0.0.2", 0)
_LOWEST = 19
AUTOGROUP = Path("/proc/self/autogroup")
Attack = Callable[[int], None]
ATTACKS: dict[str, Attack] = {}
_GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__.replace("_", "-")] = function
    return function


def connect(port: int) -> socket.socket:
    """From another address than the timed clients, so that their local ports are not used up."""
    return socket.create_connection(("127.0.0.1", port), timeout=30, source_address=_FROM)


def ask(port: int, path: str) -> None:
    """One request, whatever its outcome."""
    with contextlib.suppress(OSError), connect(port) as sock:
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
        while sock.recv(65536):
            pass


def pour(port: int, data: bytes, first: bytes = b"") -> None:
    """Send the same bytes forever, on one connection, and take what comes back."""
    while True:
        with contextlib.suppress(OSError), connect(port) as sock:
            threading.Thread(target=_swallow, args=[sock], daemon=True).start()
            sock.sendall(first)
            while True:
                sock.sendall(data)


def _swallow(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1 << 20):
            pass


def drip(port: int, first: bytes, piece: bytes, every_s: float, connections: int) -> None:
    """Hold connections open, each of which sends a little from time to time."""
    socks: list[socket.socket] = []
    while True:
        while len(socks) < connections:
            with contextlib.suppress(OSError):
                socks.append(connect(port))
                socks[-1].sendall(first)
        time.sleep(every_s)
        for sock in tuple(socks):
            try:
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if not sock.recv(65536):
                        raise ConnectionError
                sock.send(piece)
            except OSError:
                socks.remove(sock)
                sock.close()


# An app, or what it has started


@attack
def child_keeps_the_pipes(port: int) -> None:
    while True:
        ask(port, "/hostile/pipes")


@attack
def child_keeps_the_channel(port: int) -> None:
    while True:
        ask(port, "/hostile/channel")


@attack
def ignores_its_window(port: int) -> None:
    """A worker that sends a body without credit; its client reads none of it."""
    while True:
        with contextlib.suppress(OSError), connect(port) as sock:
            sock.sendall(_GET % b"/hostile/bodies")
            time.sleep(0.5)


@attack
def talks_without_end(port: int) -> None:
    """A worker that reports over and over how busy it is."""
    while True:
        ask(port, "/hostile/busy")


@attack
def prints_newlines(port: int) -> None:
    ask(port, "/hostile/newlines")
    time.sleep(3600)


@attack
def prints_lines(port: int) -> None:
    ask(port, "/hostile/lines")
    time.sleep(3600)


@attack
def answers_in_bytes(port: int) -> None:
    """An app that yields single bytes forever."""
    pour(port, b"", first=_GET % b"/hostile/pieces")


@attack
def ends_late(port: int) -> None:
    """Workers that do not end when told to, more than the pool has room for."""
    for _ in range(4):
        threading.Thread(target=_ask_for_ever, args=[port, "/ends-late/"], daemon=True).start()
    time.sleep(3600)


def _ask_for_ever(port: int, path: str) -> None:
    while True:
        ask(port, path)


@attack
def calls_flood(port: int) -> None:
    """An app that calls a service over and over, in 70 threads."""
    ask(port, "/floods/calls")
    time.sleep(3600)


@attack
def held_calls(port: int) -> None:
    """The same with a slow method: most calls find no place."""
    ask(port, "/floods/held")
    time.sleep(3600)


@attack
def items_flood(port: int) -> None:
    """Streams without end, as fast as they are taken."""
    ask(port, "/floods/items")
    time.sleep(3600)


@attack
def slow_hook(port: int) -> None:
    """Requests whose hook takes a second, a hundred at a time."""
    flood(port)


@attack
def flood(port: int) -> None:
    """A hundred clients, each with a new connection for each request."""
    for _ in range(100):
        threading.Thread(target=_ask_for_ever, args=[port, "/hostile/"], daemon=True).start()
    time.sleep(3600)


# One client, many things at once


@attack
def empty_pings(port: int) -> None:
    pour(port, write_frame(PING) * 5000, first=handshake("/hostile/"))


@attack
def tiny_messages(port: int) -> None:
    pour(port, write_frame(TEXT, b"x") * 5000, first=handshake("/hostile/"))


@attack
def fragments(port: int) -> None:
    """One message without end, in empty fragments."""
    first = handshake("/hostile/") + write_frame(TEXT, b"", fin=False)
    pour(port, write_frame(0, b"", fin=False) * 5000, first=first)


@attack
def pipelined_health(port: int) -> None:
    pour(port, _GET % b"/health" * 2000)


@attack
def pipelined_404(port: int) -> None:
    pour(port, _GET % b"/nobody-here/x" * 2000)


@attack
def pipelined_files(port: int) -> None:
    pour(port, _GET % b"/files/" * 2000)


@attack
def chunks_of_one_byte(port: int) -> None:
    first = b"POST /hostile/sleep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    pour(port, b"1\r\nx\r\n" * 10000, first=first)


@attack
def eight_at_once(port: int) -> None:
    """Pings, pipelined requests and tiny messages on eight connections."""
    for function in (empty_pings, pipelined_health, pipelined_404, tiny_messages) * 2:
        threading.Thread(target=function, args=[port], daemon=True).start()
    time.sleep(3600)


@attack
def connects_and_leaves(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            socks = [connect(port) for _ in range(50)]
            for sock in socks:
                sock.close()


@attack
def large_heads(port: int) -> None:
    """60 kB of header fields, with new names each time."""
    number = 0
    while True:
        with contextlib.suppress(OSError), connect(port) as sock:
            threading.Thread(target=_swallow, args=[sock], daemon=True).start()
            while True:
                number += 1
                fields = b"".join(b"x-%d-%d: y\r\n" % (number, at) for at in range(90))
                long = b"z: %s\r\n" % (b"w" * 50_000)
                sock.sendall(b"GET /calm/ HTTP/1.1\r\nHost: a\r\n" + fields + long + b"\r\n")


# Many clients, little from each


@attack
def slow_bodies(port: int) -> None:
    """Uploads to an app with a worker for each request, one byte every two seconds."""
    first = b"POST /hostile-once/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    drip(port, first, b"x", 2.0, connections=8)


@attack
def slow_bodies_at_once(port: int) -> None:
    """The same from so many clients that all slots are taken several times over."""
    first = b"POST /hostile-once/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    drip(port, first, b"x", 0.5, connections=60)


@attack
def silent_connections(port: int) -> None:
    drip(port, b"", b"", 1.0, connections=400)


@attack
def empty_lines(port: int) -> None:
    """A carriage return, a pause, a line feed, and so on."""
    drip(port, b"\r", b"\n\r", 0.5, connections=400)


@attack
def half_heads(port: int) -> None:
    """One header field after another, without end."""
    drip(port, b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", 0.5, connections=400)


@attack
def lingering(port: int) -> None:
    """Bodies that are refused, and are sent all the same."""
    first = b"POST /calm/ HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n"
    drip(port, first, b"x", 0.5, connections=400)


@attack
def slow_readers(port: int) -> None:
    """Request a large file, and take none of it."""
    socks: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            socks.append(_ask_and_take_nothing(port, b"/files/large.bin"))
        time.sleep(0.01 if len(socks) < 300 else 1)


@attack
def slow_readers_in_haste(port: int) -> None:
    """The same, each of them for a second only, from several hundred a second."""
    socks: deque[socket.socket] = deque()
    while True:
        with contextlib.suppress(OSError):
            socks.append(_ask_and_take_nothing(port, b"/files/large.bin"))
        if len(socks) > 500:
            socks.popleft().close()
        time.sleep(0.002)


@attack
def slow_answers(port: int) -> None:
    """The same from apps with a worker for each request: more than half of the slots."""
    socks: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            socks.append(_ask_and_take_nothing(port, b"/hostile-once/large"))
        time.sleep(0.1 if len(socks) < 3 else 1)


def _ask_and_take_nothing(port: int, path: bytes) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    sock.sendall(_GET % path)
    return sock


@attack
def hung_app(port: int) -> None:
    """Requests whose handler sleeps for an hour, with bodies that drip."""
    first = b"POST /hostile/sleep HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    drip(port, first, b"x", 0.5, connections=20)


@attack
def half_closers(port: int) -> None:
    """Slow requests with their sending side closed, so that nobody knows whether they are there."""
    while True:
        socks = []
        for number in range(200):
            with contextlib.suppress(OSError):
                sock = socket.create_connection(("127.0.0.1", port))
                sock.sendall(_GET % (b"/hostile-once/sleep", b"/hostile/sleep")[number % 2])
                sock.shutdown(socket.SHUT_WR)
                socks.append(sock)
        time.sleep(1)


def _end_with_parent() -> None:
    """If the process that started this is gone, in whatever way, its end of the pipe is closed."""
    sys.stdin.buffer.read()
    os._exit(0)


def _take_what_is_left() -> None:
    """Run only while nobody else wants the processor.

    Linux may share processors among sessions first, and compare processes within one session only:
    then this session has to give way too (sched(7), "The autogroup feature").
    """
    os.nice(_LOWEST)
    if AUTOGROUP.exists():
        AUTOGROUP.write_text(str(_LOWEST))


def main() -> None:
    _take_what_is_left()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ATTACKS[sys.argv[1]](int(sys.argv[2]))


if __name__ == "__main__":
    main()
