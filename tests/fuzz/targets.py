"""What must hold for any input. A target takes a source of chance and raises Finding."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import h11

from buntime import wire
from buntime.core.errors import ClientFault
from buntime.core.http1.answer import Answer, AnswerError
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits
from buntime.core.http1.reader import RequestReader
from buntime.core.websocket.protocol import Piece, State, WebSocket
from tests.corpus.cases import load_cases
from tests.fuzz.mutate import mutate, pieces
from tests.fuzz.said import say_anything

REQUESTS = [case.data for kind in ("valid", "invalid", "handshake") for case in load_cases(kind)]
FRAMES = [case.data for case in load_cases("frames")]
MESSAGES = [
    wire.encode({"type": wire.UP}),
    wire.encode({"type": wire.READY, "kind": "fetch", "concurrency": 8, "boot_ms": 1.5}),
    wire.encode(
        {"type": wire.RESPONSE, "id": 1, "status": 200, "headers": [["a", "b"]], "end": True}
    ),
    b'{"type":"RESPONSE","id":1,"end":true}{"status":200,"headers":[["a","b"],["c","d"]]}\n',
    wire.encode({"type": wire.BODY, "id": 1, "size": 5, "end": False}) + b"hello",
    wire.encode({"type": wire.WINDOW, "id": 1, "credit": 65536}),
    wire.encode({"type": wire.WAITS, "id": 1, "read": 10, "credit": 5}),
    wire.encode({"type": wire.ERROR, "id": 1, "message": "m", "stack": "s"}),
]
_SLOW_S = 0.05  # of processor time, for inputs of a few kB
_warm = HeadParser(Limits())  # keeps what it learns over all rounds


class Finding(Exception):
    """A rule does not hold; the message has the input."""


def requests(chance: random.Random) -> None:
    """A byte stream means the same to a used parser and to a new one, however it is cut.

    Whatever it is, it is read as requests or refused with a status; nothing else is raised.
    """
    data = mutate(chance, REQUESTS)
    whole = _timed(data, lambda: _read([data], HeadParser(Limits())))
    for other in (_read([data], _warm), _read(pieces(chance, data), _warm)):
        # Cut in parts, a stream may be refused before the rest of it has come.
        if other != whole:
            raise Finding(f"{data!r}: {whole} or {other}")


def _read(parts: list[bytes], parser: HeadParser) -> list[Any]:
    """How a stream is read: for each request its head and body, at the end its refusal."""
    reader = RequestReader(parser)
    found: list[Any] = []
    body: bytearray | None = None
    try:
        for part in parts:
            reader.receive(part)
            while True:
                if body is None:
                    head = reader.next_head()
                    if head is None:
                        break
                    body = bytearray()
                    found.append([_shown(head), body])
                while piece := reader.read_body(65536):
                    body += piece
                if not reader.body_ended:
                    break
                body = None
    except ClientFault as fault:
        if fault.status not in (400, 414, 417, 421, 431, 501, 505):
            raise Finding(f"{parts!r}: refused with {fault.status}") from fault
        if found and body is not None:  # how much of it was read before depends on the cuts
            found[-1][1] = None
        found.append(fault.status)
    return found


def _shown(head: Head) -> tuple[Any, ...]:
    framing = (head.content_length, head.chunked, head.keep_alive, head.expects_continue)
    return (head.method, head.target, head.version, head.host, tuple(head.headers), framing)


def answers(chance: random.Random) -> None:
    """What an app answers is refused, or a client reads it as one answer with that body."""
    names = ["a", "Content-Length", "connection", "x\r\ny", "Transfer-Encoding", "", "é", "Date"]
    values = ["", "5", "chunked", "a\r\nb: c", "close, a", "\0", "é", "x" * 2000, "0", "keep-alive"]
    fields = [(chance.choice(names), chance.choice(values)) for _ in range(chance.randrange(5))]
    body = chance.choice((b"", b"hello", b"0\r\n\r\n", bytes(range(256))))
    method = chance.choice(("GET", "HEAD", "POST"))
    status = chance.choice((200, 204, 304, 404, 500, 999, 199, 100))
    size = chance.choice((None, len(body), len(body) + 1))
    request = _request(method)
    try:
        answer = Answer(
            request,
            status,
            fields,
            size,
            date="x",
            request_id="r",
            keep_alive=chance.random() < 0.5,
        )
        data = b"".join([answer.head, *answer.frame(body), answer.finish()])
    except AnswerError:
        return
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    got = b""
    try:
        event = client.next_event()
        while type(event) is not h11.EndOfMessage:
            if type(event) is h11.Data:
                got += bytes(event.data)
            elif type(event) is not h11.Response:
                raise Finding(f"{fields} {status} {size}: {event!r} in {data!r}")
            event = client.next_event()
    except h11.RemoteProtocolError as exc:
        raise Finding(f"{fields} {status} {size}: {exc}: {data!r}") from exc
    has_body = method != "HEAD" and status not in (204, 304)
    if got != (body if has_body else b"") or client.trailing_data[0]:
        raise Finding(f"{fields} {status} {size}: body {got!r} of {data!r}")


def _request(method: str) -> Head:
    reader = RequestReader(_warm)
    reader.receive(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    head = reader.next_head()
    if head is None:
        raise AssertionError("a whole head was not taken for one")
    return head


def frames(chance: random.Random) -> None:
    """A WebSocket hands on no more than it has credit for, and ends in a known state."""
    data = mutate(chance, FRAMES)
    credit = chance.choice((0, 1, 100, 65536))

    def run() -> None:
        socket = WebSocket()
        for part in pieces(chance, data):
            events = socket.receive(part, credit)
            taken = sum(len(event.data) for event in events if isinstance(event, Piece))
            if taken > credit:
                raise Finding(f"{data!r}: {taken} bytes for a credit of {credit}")
            socket.outgoing()
        if socket.state is State.FAILED:
            socket.close(1002, "")

    _timed(data, run)


def channel(chance: random.Random) -> None:
    """A worker's bytes are the same messages however they are cut, or a WireError."""
    data = mutate(chance, MESSAGES)
    whole = _timed(data, lambda: _decode([data]))
    cut = _decode(pieces(chance, data))
    if whole != cut:
        raise Finding(f"{data!r}: {whole} or {cut}")


def worker(chance: random.Random) -> None:
    """Whatever a worker sends, nothing fails inside; each request ends once, or waits for the
    worker's process to end."""
    far = say_anything(chance)
    try:
        assignments = far.worker.drain()
        finished = [exchange for name, exchange in far.told.events if name == "finished"]
        if far.errors:
            raise Finding(f"{far.errors!r}") from far.errors[0]
        if len(finished) != len(set(finished)) or far.told.names().count("broken") > 1:
            raise Finding(f"told twice: {far.told.events!r}")
        if set(assignments) & set(finished):
            raise Finding(f"finished, and in hand: {assignments!r}")
    finally:
        far.close()


def _decode(parts: list[bytes]) -> list[str]:
    decoder = wire.Decoder()
    found: list[str] = []
    for part in parts:
        try:
            found += [
                json.dumps([message, list(payload)]) for message, payload in decoder.feed(part)
            ]
        except wire.WireError:
            return ["refused"]
    return found


def _timed(data: bytes, run: Callable[[], Any]) -> Any:
    """Run `read`; an input that is slow twice is a finding."""
    for attempt in range(3):
        begun = time.process_time()
        result = run()
        seconds = time.process_time() - begun
        if seconds < _SLOW_S:
            break
        if attempt == 2:
            raise Finding(f"{data!r}: takes {seconds:.3f} s of processor time")
    return result


TARGETS = (requests, answers, frames, channel, worker)
