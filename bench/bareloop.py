"""A limit: what a single process can do with selectors and h11 if it does nothing else.

It parses requests, answers each with two bytes by h11, and has no timeouts, no log and no limits.
`python -m bench.bareloop PORT`; a signal ends it.
"""

from __future__ import annotations

import selectors
import socket
import sys

import h11

HEADERS = [("content-type", "text/plain"), ("content-length", "2")]
RECEIVE_BYTES = 64 << 10


class Client:
    """A connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.http = h11.Connection(h11.SERVER)

    def turn(self) -> bool:
        """Answer the requests that have come; False at the end of the connection."""
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            return False
        self.http.receive_data(data)
        while True:
            event = self.http.next_event()
            if isinstance(event, h11.EndOfMessage):
                self.answer()
            elif event is h11.NEED_DATA:
                return True
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return False

    def answer(self) -> None:
        response = self.http.send(h11.Response(status_code=200, headers=HEADERS))
        body = self.http.send(h11.Data(data=b"ok"))
        end = self.http.send(h11.EndOfMessage())
        self.sock.sendall(b"".join(filter(None, (response, body, end))))
        if self.http.our_state is h11.DONE:
            self.http.start_next_cycle()


def serve(port: int) -> None:
    selector = selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    sock, _ = listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(sock, selectors.EVENT_READ, Client(sock))
                elif not key.data.turn():
                    selector.unregister(key.data.sock)
                    key.data.sock.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
