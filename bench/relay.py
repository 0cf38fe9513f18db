"""A limit: the same bytes over a plain socket and a plain socketpair, and nothing else.

One process relays between a client's socket and a socketpair whose other end belongs to another
process, as a runtime does for its worker. It looks only at a head's end and at its first letters:
GET is a download, POST an upload. `python -m bench.relay PORT`.
"""

from __future__ import annotations

import os
import socket
import sys

from bench.sizes import PIECE, TRANSFER_BYTES

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
DOWNLOAD, UPLOAD = b"d", b"u"


def work(pair: socket.socket) -> None:
    """The worker's side: send the bytes, or take them and answer how many there were."""
    buffer = bytearray(len(PIECE))
    while command := pair.recv(1):
        if command == DOWNLOAD:
            for _ in range(TRANSFER_BYTES // len(PIECE)):
                pair.sendall(PIECE)
        else:
            count = 0
            while count < TRANSFER_BYTES:
                count += pair.recv_into(buffer, min(len(buffer), TRANSFER_BYTES - count))
            pair.sendall(b"%d" % count)


def relay(client: socket.socket, pair: socket.socket) -> None:
    """One transfer after another, until the client leaves."""
    buffer = bytearray(len(PIECE))
    while head := read_head(client):
        if head.startswith(b"GET"):
            pair.sendall(DOWNLOAD)
            client.sendall(HEAD % TRANSFER_BYTES)
            pass_on(pair, client, TRANSFER_BYTES, buffer)
        else:
            pair.sendall(UPLOAD)
            pass_on(client, pair, TRANSFER_BYTES, buffer)
            answer = pair.recv(100)
            client.sendall(HEAD % len(answer) + answer)


def read_head(client: socket.socket) -> bytes:
    """A head, read byte by byte so that no body is taken; empty at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def pass_on(source: socket.socket, to: socket.socket, count: int, buffer: bytearray) -> None:
    view = memoryview(buffer)
    while count:
        received = source.recv_into(buffer, min(len(buffer), count))
        if not received:
            raise SystemExit("a transfer was cut short")
        to.sendall(view[:received])
        count -= received


def serve(port: int) -> None:
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        work(theirs)
        os._exit(0)
    theirs.close()
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            with client:
                relay(client, ours)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
