"""Sends a file by PUT, and notices an answer that comes before all of it is sent.

    head, Expect: 100-continue ──>
                               <── 100, or a refusal: then nothing is sent
    pieces ──>                 <── a refusal in between (a proxy's 413) ends it
    end ──>                    <── the answer

A server or proxy that does not support 100-continue gets the body after a moment.
"""

import http.client
import select
import ssl
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, cast

from buntime.commands.apierrors import ApiError, cut
from buntime.commands.connections import open_connection
from buntime.commands.targets import Target

_CONTINUE_S = 2.0  # for a 100; curl waits for one
_SEND_S = 120.0  # for the other side to take a piece
_LATE_ANSWER_S = 10.0  # of who has closed its side while it was sent to
_PIECE_BYTES = 1 << 16
_INTERIM = b"HTTP/1.1 100"
_LINE_MAX_BYTES = 1 << 16


class Upload:
    """One PUT over its own connection, which ends with the response."""

    def __init__(self, target: Target, answer_s: float) -> None:
        """`answer_s` is how long the answer may take once everything is sent."""
        self._target = target
        self._answer_s = answer_s
        self.connection = open_connection(target, _SEND_S)
        # What http.client reads, with a check whether there is something.
        self._reader = self._sock.makefile("rb")

    @property
    def _sock(self) -> "ssl.SSLSocket":
        return cast("ssl.SSLSocket", self.connection.sock)  # or a plain one, which has the same

    def send(
        self,
        url: str,
        file: BinaryIO,
        fields: Mapping[str, str],
        on_sent: Callable[[int], None],
    ) -> http.client.HTTPResponse:
        """Returns the response, whose body is still to come. `on_sent` gets the bytes so far.

        Raises ApiError.
        """
        try:
            self._send_head(url, fields)
            is_wanted = self._await_continue()
            if is_wanted:
                self._send_body(file, on_sent)
            return self._response(self._answer_s)
        except (OSError, http.client.HTTPException) as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: Exception) -> ApiError:
        self._reader.close()
        self.connection.close()
        return cut(self._target, exc)

    def _send_head(self, url: str, fields: Mapping[str, str]) -> None:
        connection = self.connection
        connection.putrequest("PUT", url, skip_accept_encoding=True)
        for name, value in {**fields, "Expect": "100-continue"}.items():
            connection.putheader(name, value)
        connection.endheaders()

    def _await_continue(self) -> bool:
        """Whether the body is wanted: yes, if no answer comes in time."""
        deadline = time.monotonic() + _CONTINUE_S
        while not self._has_come():
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._sock], [], [], left_s)[0]:
                return True
        if not self._reader.peek(len(_INTERIM)).startswith(_INTERIM):
            return False
        self._sock.settimeout(_SEND_S)
        while self._reader.readline(_LINE_MAX_BYTES) not in (b"\r\n", b"\n", b""):
            pass
        return True

    def _send_body(self, file: BinaryIO, on_sent: Callable[[int], None]) -> None:
        """All of it, or as much as is wanted."""
        sent = 0
        while (piece := file.read(_PIECE_BYTES)) and not self._has_come():
            self._sock.settimeout(_SEND_S)
            try:
                self._sock.sendall(piece)
            except TimeoutError:
                raise
            except OSError:  # it has closed its side, usually after an answer
                self._answer_s = _LATE_ANSWER_S
                return
            sent += len(piece)
            on_sent(sent)

    def _has_come(self) -> bool:
        """Whether there is something to read, or the end."""
        self._sock.settimeout(0)
        try:
            return bool(self._reader.peek(1))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):  # of TLS itself, nothing for us
            return False

    def _response(self, wait_s: float) -> http.client.HTTPResponse:
        self._sock.settimeout(wait_s)
        response = http.client.HTTPResponse(
            cast("ssl.SSLSocket", _Held(self._reader)), method="PUT"
        )
        response.begin()
        return response


class _Held:
    """What http.client takes for a socket: its file is there already."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader

    def makefile(self, _: str) -> BinaryIO:
        return self._reader
