"""A connection and its loop over a real pair of sockets, with no worker behind."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic, time

import pytest

from buntime.core.errors import ServerFault
from buntime.core.http1.connection import PER_TURN, Due
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.core.telemetry.meters import Meters
from buntime.server.http1.connection import Connection
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.service import Service
from buntime.server.loop.loop import READ, Loop
from tests.support.exchanges import FakeResponder
from tests.support.fakes import FakeSink, make_log
from tests.support.rawclient import Cut, RawClient, Reply, request

MB = 1024 * 1024


class World:
    """One connection, whose requests wait in `asked` unless `answer` responds at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        environ = {"RUNTIME_WORKER_DIRS": "/apps"}
        read = load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)
        self.live = LiveSettings(read)
        self.service = Service(self.loop, self.live, make_log(self.sink), Meters())
        self.asked: list[Exchange] = []
        self.responders: list[FakeResponder] = []
        self.answer: Callable[[Exchange], None] | None = None
        sock.setblocking(False)
        self.connection = Connection(self.service, self._handle, sock, None, None)
        self.service.connections.add(self.connection)

    def turn(self) -> None:
        """Let the loop do everything there is to do."""
        for _ in range(5):
            self.loop.run_once(0)
        assert self.errors == []

    def timers(self) -> list[Due]:
        """What the connection's timers are for."""
        return [due for due, queue in self.service.timeouts.items() if len(queue)]

    def let_pass(self, due: Due) -> None:
        """Let the time for this timer pass."""
        assert self.timers() == [due]
        self.service.timeouts[due].stop(self.connection)
        self.connection.on_timeout()

    def statuses(self) -> list[int]:
        return [entry.status for entry in self.sink.accesses]

    def assign(self, exchange: Exchange) -> bytes:
        """Give the request to a worker; returns the first piece of its body."""
        exchange.limit_body(MB)
        self.responders.append(FakeResponder(exchange))
        return exchange.assign(self.responders[-1], "w1", 1)[1]

    def _handle(self, exchange: Exchange) -> None:
        self.asked.append(exchange)
        if self.answer is not None:
            self.answer(exchange)


class Client(RawClient):
    """A client that turns the loop before it reads."""

    def __init__(self, sock: socket.socket, world: World) -> None:
        super().__init__(sock)
        self._world = world

    def ask(self, line: str, *fields: str, body: bytes = b"", version: str = "1.1") -> Exchange:
        """Send a request; returns what the runtime has made of it."""
        self.send(request(line, *fields, body=body, version=version))
        self._world.turn()
        return self._world.asked[-1]

    def read(self, method: str = "GET") -> Reply:
        self._world.turn()
        return super().read(method)

    def expect_end(self) -> None:
        self._world.turn()
        super().expect_end()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        yield ours, theirs


@pytest.fixture
def world(pair: tuple[socket.socket, socket.socket]) -> Iterator[World]:
    world = World(pair[0])
    yield world
    world.connection.abort()
    world.loop.close()


@pytest.fixture
def client(pair: tuple[socket.socket, socket.socket], world: World) -> Client:
    return Client(pair[1], world)


def say_hello(exchange: Exchange) -> None:
    exchange.respond(200, [], b"hello")


# What a client has done before its time was over, though nobody has looked yet


def test_a_request_that_nobody_has_read(world: World, client: Client) -> None:
    """A head that came in time is answered, however late it is read."""
    world.answer = say_hello
    client.send(request("GET /"))
    [due] = world.timers()
    world.let_pass(due)
    assert client.read().status == 200
    assert world.timers() == [Due.REQUEST]


def test_the_next_requests_that_nobody_has_read(world: World, client: Client) -> None:
    """Those of a connection that has been idle are answered alike, and it stays."""
    world.answer = say_hello
    client.ask("GET /")
    assert client.read().status == 200
    client.send(request("GET /a") + request("GET /b"))
    world.let_pass(Due.REQUEST)
    assert client.read().status == 200
    assert client.read().status == 200
    client.send(b"\r\n")
    world.let_pass(Due.REQUEST)
    client.expect_end()


def test_half_a_request_that_nobody_has_read(world: World, client: Client) -> None:
    """A head that has not come in time is refused, with whatever came of it."""
    client.send(b"GET / HTTP/1.1\r\n")
    world.turn()
    client.send(b"Host: a\r\n")
    world.let_pass(Due.HEAD)
    assert client.read().status == 408


def test_a_body_that_nobody_has_read(world: World, client: Client) -> None:
    """A client that sends some of its body in time keeps its request."""
    exchange = client.ask("POST /", "Content-Length: 10")
    world.assign(exchange)
    client.send(b"12345")
    world.let_pass(Due.BODY)
    assert world.timers() == [Due.BODY]
    world.let_pass(Due.BODY)
    assert client.read().status == 408


# Keep-alive and order


def test_close_is_heeded(world: World, client: Client) -> None:
    """A client that asks to close gets a last answer, and the end."""
    say_hello(client.ask("GET /", "Connection: close"))
    assert client.read().get("connection") == "close"
    client.expect_end()
    assert world.service.connections == set()


def test_a_changed_time_limit_counts_at_once(world: World, client: Client) -> None:
    """A time limit that is changed while a connection waits is that of this connection, too."""
    say_hello(client.ask("GET /"))
    client.read()
    assert world.timers() == [Due.REQUEST]
    world.live.replace(replace(world.live.now, keepalive_timeout_s=0.0))
    client.expect_end()


def test_http10_closes(client: Client) -> None:
    """An HTTP/1.0 connection ends after one answer unless the client asks otherwise."""
    say_hello(client.ask("GET /", version="1.0"))
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_http10_keeps_alive_where_asked(client: Client) -> None:
    """An HTTP/1.0 client that asks for keep-alive gets it, and is told so."""
    for _ in range(2):
        say_hello(client.ask("GET /", "Connection: keep-alive", version="1.0"))
        assert client.read().get("connection") == "keep-alive"


def test_http10_gets_no_chunks(client: Client) -> None:
    """An HTTP/1.0 body of unknown length ends with the connection, even if keep-alive was asked
    for."""
    exchange = client.ask("GET /", "Connection: keep-alive", version="1.0")
    exchange.start(200, [], None, b"one ")
    exchange.send(b"two")
    exchange.finish()
    reply = client.read()
    assert (reply.body, reply.get("connection")) == (b"one two", "close")
    assert reply.get("transfer-encoding") is None
    client.expect_end()


@pytest.mark.parametrize("at_once", [False, True])
def test_requests_in_a_row_are_answered_in_order(
    world: World, client: Client, at_once: bool
) -> None:
    """The next request begins after the answer, whether answers come at once or later."""
    if at_once:
        world.answer = say_hello
    client.send(b"".join(request(f"GET /{number}") for number in range(1000)))
    for number in range(1000):
        world.turn()
        if not at_once:
            assert len(world.asked) == number + 1
            say_hello(world.asked[-1])
        assert client.read().body == b"hello"
        assert world.asked[number].head.target == f"/{number}"


def test_what_follows_a_last_request_is_not_served(world: World, client: Client) -> None:
    """After a request that closes, nothing more is begun."""
    world.answer = say_hello
    client.send(request("GET /", "Connection: close") + request("GET /"))
    assert client.read().body == b"hello"
    client.expect_end()
    assert len(world.asked) == 1


def test_empty_lines_between_requests_are_skipped(world: World, client: Client) -> None:
    """Old clients send a line end after a body: it begins no request."""
    world.answer = say_hello
    client.send(request("GET /a") + b"\r\n" + request("GET /b"))
    assert [client.read().status for _ in range(2)] == [200, 200]


# Answers


def test_head_of_an_error_has_no_body(client: Client) -> None:
    """An error of the runtime for a HEAD has no body, which would be taken for the next answer."""
    for _ in range(2):
        client.ask("HEAD /").fail(ServerFault(503, "overloaded", "too much"))
        assert client.read("HEAD").status == 503


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_are_not_framed(client: Client, status: int) -> None:
    """204 and 304 end with their head: no field announces a body."""
    client.ask("GET /").respond(status, [])
    reply = client.read()
    assert (reply.status, reply.body) == (status, b"")
    assert (reply.get("transfer-encoding"), reply.get("content-length")) == (None, None)
    say_hello(client.ask("GET /"))
    assert client.read().status == 200


def test_each_answer_is_dated_and_bears_its_id(client: Client) -> None:
    """Date and id are sent once each; an app's own are dropped."""
    own = [["date", "yesterday"], ["x-request-id", "of the app"]]
    ids = set()
    for _ in range(3):
        client.ask("GET /").respond(200, own)
        reply = client.read()
        (date,), (request_id,) = reply.all("date"), reply.all("x-request-id")
        assert abs(parsedate_to_datetime(date).timestamp() - time()) < 5
        ids.add(request_id)
    assert len(ids) == 3


@pytest.mark.parametrize("value", ["", "short", "has blanks in it", 'has"quotes', "x" * 129])
def test_an_unusable_request_id_is_replaced(client: Client, value: str) -> None:
    """An id that could confuse a log is replaced by one of the runtime's."""
    exchange = client.ask("GET /", f"X-Request-ID: {value}")
    say_hello(exchange)
    assert client.read().all("x-request-id") == [exchange.id]
    assert exchange.id not in ("", value)


# Bodies


def test_continue_is_sent_at_the_apps_first_read(world: World, client: Client) -> None:
    """100 Continue is sent when the app first reads, and not before; then the body comes."""
    exchange = client.ask("POST /", "Expect: 100-continue", "Content-Length: 5")
    assert world.assign(exchange) == b""
    assert not select.select([client.sock], [], [], 0)[0]
    exchange.grant_upload(100)
    assert client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    world.turn()
    assert world.responders[0].body == b"hello"


def test_http10_knows_no_continue(world: World, client: Client) -> None:
    """An HTTP/1.0 client cannot read an interim answer, so its body is simply awaited."""
    exchange = client.ask("POST /", "Expect: 100-continue", "Content-Length: 3", version="1.0")
    world.assign(exchange)
    exchange.grant_upload(100)
    client.send(b"abc")
    world.turn()
    assert world.responders[0].body == b"abc"


def test_a_body_is_read_as_the_app_reads(world: World, client: Client) -> None:
    """Beyond the app's credit, at most one read's worth is taken from the kernel."""
    client.sock.setblocking(False)
    exchange = client.ask("POST /", f"Content-Length: {MB}")
    world.assign(exchange)
    sent = 0
    for _ in range(20):
        try:
            sent += client.sock.send(b"x" * (MB - sent))
        except BlockingIOError:
            pass
        world.turn()
    assert sent < MB
    while sent < MB:
        exchange.grant_upload(64 * 1024)
        world.turn()
        try:
            sent += client.sock.send(b"x" * (MB - sent))
        except BlockingIOError:
            pass
    exchange.grant_upload(MB)
    world.turn()
    assert len(world.responders[0].body) == MB


def test_an_event_that_comes_late_is_left_out() -> None:
    """A connection that gave way and does so no longer may get the same event twice: from where it
    waited, and from where it is watched now. Its client's last request is answered all the same."""
    with over_tcp() as (world, client):
        world.connection.give_way(True)
        world.answer = lambda exchange: exchange.respond(200, [], b"x" * 16 * MB)
        client.ask("GET /a")
        assert world.connection.pending_bytes
        client.send(request("GET /b"))
        client.sock.shutdown(socket.SHUT_WR)
        world.loop._crowd.on_ready(READ)
        world.loop._crowd.take(0)  # the event waits
        world.connection.give_way(False)
        world.turn()
        assert len(read_whole(world, client)) == 16 * MB
        world.turn()
        assert [exchange.head.path for exchange in world.asked] == ["/a", "/b"]


# A client that is slow


def test_nothing_is_begun_while_an_answer_waits(world: World, client: Client) -> None:
    """No request begins while an answer waits: a client that does not read costs one answer's
    memory."""
    world.answer = lambda exchange: exchange.respond(200, [], b"x" * 4 * MB)
    client.send(request("GET /a") + request("GET /b"))
    world.turn()
    assert len(world.asked) == 1
    assert world.timers() == [Due.SENT]
    for _ in range(2):
        assert len(read_whole(world, client)) == 4 * MB
    assert world.connection.pending_bytes == 0


def read_whole(world: World, client: Client) -> bytes:
    """Read the body of an answer with a length, as it arrives."""
    data = b""
    while b"\r\n\r\n" not in data:
        world.turn()
        data += client.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = [int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"content-length:"]
    while len(body) < length:
        world.turn()
        body += client.sock.recv(length - len(body))
    return body


def test_a_file_is_sent_and_closed(world: World, client: Client, tmp_path: Path) -> None:
    """A file is sent with sendfile, in as many turns as its client needs, and closed."""
    (tmp_path / "file").write_bytes(b"x" * 4 * MB)
    with (tmp_path / "file").open("rb") as file:
        exchange = client.ask("GET /")
        exchange.start(200, [("content-length", str(4 * MB))], None)
        exchange.send_file(file.fileno(), 0, 4 * MB)
        exchange.release_later(file)
        exchange.finish()
        assert not file.closed
        assert len(read_whole(world, client)) == 4 * MB
        assert file.closed
    assert world.timers() == [Due.REQUEST]


# The end


def test_an_upload_that_is_not_read_gets_its_answer(world: World, client: Client) -> None:
    """A client that is still sending is not cut off before it could read its answer."""
    client.sock.setblocking(False)
    say_hello(client.ask("POST /", f"Content-Length: {9 * MB}"))
    sent = 0
    while sent < 9 * MB:
        world.turn()
        try:
            sent += client.sock.send(b"x" * (9 * MB - sent))
        except BlockingIOError:
            pass
    client.sock.settimeout(5)
    reply = client.read()
    assert (reply.body, reply.get("connection")) == (b"hello", "close")
    assert world.timers() == [Due.SILENCE]
    client.expect_end()


def test_bytes_that_are_no_request_are_answered(world: World, client: Client) -> None:
    """Bytes that are no request are answered and logged; the connection ends, as nothing after them
    can be trusted."""
    client.send(b"no request\r\n\r\n")
    assert client.read().status == 400
    client.expect_end()
    assert world.statuses() == [400]
    assert world.asked == []


def test_a_client_that_is_too_slow_is_told(world: World, client: Client) -> None:
    """A client that is too slow with its head, or with a body that somebody waits for, gets 408."""
    client.send(b"GET /")
    world.turn()
    assert world.timers() == [Due.HEAD]
    world.let_pass(Due.HEAD)
    assert client.read().status == 408
    client.expect_end()


def test_a_body_that_does_not_come(world: World, client: Client) -> None:
    """A request whose body does not arrive is answered, and its worker is told, also if it still
    waited for one."""
    world.assign(client.ask("POST /", "Content-Length: 5"))
    assert world.timers() == [Due.BODY]
    world.let_pass(Due.BODY)
    assert client.read().status == 408
    assert world.responders[0].detached == ["error"]


def test_a_body_of_what_waited_for_a_worker_is_read_on(world: World, client: Client) -> None:
    """The body of a queued request is not read; it is read on once a worker has the request and
    wants it."""
    exchange = client.ask("POST /", "Content-Length: 10")
    client.send(b"01234")
    world.turn()
    assert world.timers() == [Due.HANGUP]
    assert world.assign(exchange) == b"01234"
    client.send(b"56789")
    world.turn()
    assert world.responders[0].body == b"56789"


def test_an_idle_client_is_closed_without_a_word(world: World, client: Client) -> None:
    """An idle client is closed without an answer, since it asked for nothing."""
    say_hello(client.ask("GET /"))
    assert client.read().status == 200
    world.let_pass(Due.REQUEST)
    client.expect_end()
    assert world.statuses() == [200]


def test_a_client_that_leaves_is_noticed(world: World, client: Client) -> None:
    """If a client leaves while its request is running, whoever has the request is told."""
    world.assign(client.ask("GET /"))
    client.close()
    world.turn()
    assert world.responders[0].detached == ["client"]
    assert world.statuses() == [499]


def test_a_client_that_leaves_unread_is_noticed(world: World, client: Client) -> None:
    """A client whose body is not being read is checked for now and then, so its leaving is
    noticed."""
    client.ask("POST /", f"Content-Length: {MB}").limit_body(MB)
    client.send(b"x" * 1000)
    world.turn()
    assert world.timers() == [Due.HANGUP]
    world.let_pass(Due.HANGUP)
    assert world.timers() == [Due.HANGUP]  # it is stopped
    client.close()
    world.let_pass(Due.HANGUP)
    assert world.statuses() == [499]


@contextmanager
def over_tcp() -> Iterator[tuple[World, Client]]:
    """Over TCP, where the kernel cannot tell a client that shuts down its side from one that
    closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname(), timeout=5)
        world = World(listening.accept()[0])
        try:
            with theirs:
                yield world, Client(theirs, world)
        finally:
            world.connection.abort()
            world.loop.close()


def half_close(world: World, client: Client) -> None:
    client.sock.shutdown(socket.SHUT_WR)
    world.turn()


def test_a_client_that_sends_no_more_is_answered() -> None:
    """A client that shuts down its side gets all that it asked for before, in order; then the
    connection is closed, without an answer to half a request."""
    with over_tcp() as (world, client):
        client.send(request("GET /1") + request("POST /2", body=b"body") + b"GET /3")
        world.turn()
        half_close(world, client)
        for number in (0, 1):
            world.assign(world.asked[number])
            world.responders[number].exchange.release()
            say_hello(world.asked[number])
            assert client.read().body == b"hello"
        client.expect_end()
        assert world.statuses() == [200, 200]


def test_a_client_that_sends_no_more_costs_no_turns() -> None:
    """A client's end stays readable until the connection is closed, and does not wake the loop."""
    with over_tcp() as (world, client):
        world.assign(client.ask("GET /"))
        half_close(world, client)
        begun_s, turns = monotonic(), 0
        while monotonic() < begun_s + 0.3:
            world.loop.run_once(0.1)
            turns += 1
        assert turns <= 5
        assert not world.responders[0].detached


@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_client_that_sends_no_more_has_a_grace(body: bytes) -> None:
    """A client that shut down its side may have left, so it gets a second from when a worker got
    its request, however long it waited before; then whoever has the request is told, and nothing is
    sent."""
    with over_tcp() as (world, client):
        exchange = client.ask("POST /", body=body)
        exchange.hand_over(FakeResponder(exchange), 60.0)
        half_close(world, client)
        world.loop.now += 30.0
        world.let_pass(Due.HANGUP)
        world.assign(exchange)
        assert patience(world) == pytest.approx(1.0, abs=0.1)
        if body:
            return  # reading goes on now, as above
        world.loop.now += 0.9
        world.let_pass(Due.HANGUP)
        assert not world.responders[0].detached
        world.loop.now += 0.2
        world.let_pass(Due.HANGUP)
        assert world.responders[0].detached == ["client"]
        client.expect_end()
        assert world.statuses() == [499]


def patience(world: World) -> float | None:
    exchange = world.connection.exchange
    assert exchange is not None
    return exchange.doubt(1.0)


def test_the_grace_ends_by_itself() -> None:
    """The grace period ends by its own timer, not at some later check."""
    with over_tcp() as (world, client):
        exchange = client.ask("GET /")
        exchange.hand_over(FakeResponder(exchange), 60.0)
        world.assign(exchange)
        begun_s = monotonic()
        client.sock.shutdown(socket.SHUT_WR)
        while not world.responders[0].detached:
            world.loop.run_once(1.0)
        assert 0.9 < monotonic() - begun_s < 1.5


def test_a_client_that_sends_no_more_waits_behind_others() -> None:
    """The queue that has the request is told that the client sends no more."""
    with over_tcp() as (world, client):
        exchange = client.ask("GET /")
        queue = FakeResponder(exchange)
        exchange.hand_over(queue, 60.0)
        half_close(world, client)
        assert queue.doubts == 1


def test_a_long_answer_to_one_that_sends_no_more() -> None:
    """A long answer that has begun continues as long as it takes, and the client gets all of it."""
    with over_tcp() as (world, client):
        exchange = client.ask("GET /")
        world.assign(exchange)
        exchange.stream(200, [], b"a")
        half_close(world, client)
        for _ in range(4):
            world.loop.now += 0.9
            exchange.restart_deadline()  # as the worker does
            exchange.send(b"b")
            world.let_pass(Due.HANGUP)
        exchange.release()
        exchange.finish()
        assert client.read().body == b"abbbb"
        client.expect_end()


def test_what_stays_open_ends_where_nobody_sends() -> None:
    """An event stream may be silent for ever, so none is begun for a client that may have left."""
    with over_tcp() as (world, client):
        exchange = client.ask("GET /")
        world.assign(exchange)
        exchange.stream(200, [("content-type", "text/event-stream")], b"data: 1\n\n")
        half_close(world, client)
        assert world.responders[0].detached == ["client"]


def test_half_of_an_upload_is_nobodys() -> None:
    """If the client shuts down before its body is complete, it has left."""
    for fields in (("Content-Length: 10",), ("Transfer-Encoding: chunked",)):
        with over_tcp() as (world, client):
            client.send(request("POST /", *fields) + b"5\r\nabc")
            world.turn()
            world.assign(world.asked[0])
            half_close(world, client)
            world.turn()
            if world.timers() == [Due.HANGUP]:  # nothing of the body was read
                world.let_pass(Due.HANGUP)
            assert world.responders[0].detached == ["client"]


def test_where_all_connections_are_taken_nobody_is_waited_for() -> None:
    """If all connections are taken, a client that may have left is closed without a grace
    period."""
    with over_tcp() as (world, client):
        world.assign(client.ask("GET /"))
        world.service.admission.is_crowded = True
        half_close(world, client)
        assert world.responders[0].detached == ["client"]


def test_a_body_that_breaks_off_ends_in_a_reset() -> None:
    """A body that breaks off ends in a reset, so that it cannot look complete, even if its end is
    that of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname(), timeout=5)
        world = World(listening.accept()[0])
        with theirs:
            client = Client(theirs, world)
            exchange = client.ask("GET /", version="1.0")
            exchange.start(200, [], None, b"first")
            exchange.fail(ServerFault(500, "app_error", "it raised"))
            with pytest.raises(Cut):
                client.read()
        world.loop.close()


def test_a_reset_client_is_counted_once() -> None:
    """An answer whose write finds the connection broken is logged once, with its status."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname(), timeout=5)
        world = World(listening.accept()[0])
        exchange = Client(theirs, world).ask("GET /")
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        say_hello(exchange)
        assert world.statuses() == [200]
        assert exchange.is_ended
        world.loop.close()


# The shutdown


def drain(world: World) -> None:
    world.service.begin_drain()
    world.connection.drain()


def test_an_idle_connection_stays_for_a_moment(world: World, client: Client) -> None:
    """A client that had its answer just now may have sent its next request, which is answered."""
    world.answer = say_hello
    client.send(request("GET /"))
    assert client.read().get("connection") is None
    drain(world)
    world.turn()
    client.send(request("GET /"))
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_an_idle_connection_is_closed_after_that(world: World, client: Client) -> None:
    """A client that sends nothing more is closed without a word."""
    say_hello(client.ask("GET /"))
    client.read()
    drain(world)
    world.turn()
    world.let_pass(Due.REQUEST)
    client.expect_end()


def test_a_connection_that_was_idle_before_is_closed_at_once(world: World, client: Client) -> None:
    """The moment is counted from the last answer: clients that are idle do not delay the end."""
    say_hello(client.ask("GET /"))
    client.read()
    world.service.timeouts[Due.REQUEST].deadlines[world.connection] -= 1.0
    drain(world)
    client.expect_end()


def test_a_request_behind_a_long_idle_time_is_answered(world: World, client: Client) -> None:
    """Before an idle connection is closed, the runtime looks whether a request has come."""
    world.answer = say_hello
    client.send(request("GET /"))
    client.read()
    world.service.timeouts[Due.REQUEST].deadlines[world.connection] -= 1.0
    client.send(request("GET /"))
    drain(world)
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_a_connection_without_a_request_stays_for_a_moment(world: World, client: Client) -> None:
    """A client that has connected long ago and asked nothing yet has as long, from now on."""
    world.service.timeouts[Due.HEAD].deadlines[world.connection] -= 5.0
    drain(world)
    world.turn()
    say_hello(client.ask("GET /"))
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_half_a_head_may_become_whole(world: World, client: Client) -> None:
    """Of a request that is on its way when the shutdown begins, the rest is awaited."""
    client.send(b"GET / HTTP/1.1\r\nHo")
    world.turn()
    world.service.timeouts[Due.HEAD].deadlines[world.connection] -= 5.0
    drain(world)
    world.turn()
    client.send(b"st: a\r\n\r\n")
    world.turn()
    say_hello(world.asked[-1])
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_half_a_head_is_not_awaited_for_long(world: World, client: Client) -> None:
    """A client whose request does not become whole in time is told, and closed: the end does not
    wait for what else it sends."""
    client.send(b"GET / HTTP/1.1\r\nHo")
    world.turn()
    drain(world)
    assert world.service.timeouts[Due.HEAD].duration_s < 1.0
    world.let_pass(Due.HEAD)
    reply = client.read()
    assert (reply.status, reply.get("connection")) == (408, "close")
    client.expect_end()
    assert not world.service.connections


def test_what_an_answer_has_promised_is_kept(world: World, client: Client) -> None:
    """An answer that began before the shutdown did not say that it is the last one: the request
    that its client sends at its end is answered."""
    exchange = client.ask("GET /")
    exchange.stream(200, [], b"a")
    drain(world)
    exchange.finish()
    reply = client.read()
    assert (reply.body, reply.get("connection")) == (b"a", None)
    say_hello(client.ask("GET /"))
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_the_same_where_connections_are_short(world: World, client: Client) -> None:
    """An answer that began before newcomers had to wait does not end its connection either, and the
    next one says that it does."""
    exchange = client.ask("GET /")
    exchange.stream(200, [], b"a")
    world.service.admission.is_crowded = True
    exchange.finish()
    assert client.read().get("connection") is None
    say_hello(client.ask("GET /"))
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_a_client_that_was_reading_becomes_idle(world: World, client: Client) -> None:
    """A client that takes its answer while the runtime stops has no more time than others then."""
    client.ask("GET /").respond(200, [], b"x" * 4 * MB)
    assert world.timers() == [Due.SENT]
    drain(world)
    assert len(read_whole(world, client)) == 4 * MB
    assert world.service.timeouts[Due.REQUEST].duration_s < 1.0
    world.let_pass(Due.REQUEST)
    client.expect_end()


def test_settings_that_come_during_the_shutdown(world: World, client: Client) -> None:
    """A reload that ends during the shutdown does not make idle connections stay longer."""
    say_hello(client.ask("GET /"))
    client.read()
    drain(world)
    world.live.replace(world.live.now)
    world.turn()
    assert world.timers() == [Due.REQUEST]
    assert world.service.timeouts[Due.REQUEST].duration_s < 1.0
    assert world.service.timeouts[Due.HEAD].duration_s < 1.0


def test_a_request_under_way_is_answered(world: World, client: Client) -> None:
    """A running request is answered, as the last one of its connection."""
    exchange = client.ask("GET /")
    drain(world)
    say_hello(exchange)
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_a_request_that_has_just_come_is_answered(world: World, client: Client) -> None:
    """A request that is still in the kernel when the shutdown begins is not lost."""
    world.answer = say_hello
    client.send(request("GET /"))
    drain(world)
    assert client.read().get("connection") == "close"


def test_requests_that_wait_for_their_turn_are_not_dropped(world: World, client: Client) -> None:
    """Of many pipelined requests the next one is answered, as the last."""
    world.answer = say_hello
    client.send(b"".join(request("GET /") for _ in range(PER_TURN + 10)))
    world.loop.run_once(0)
    assert len(world.asked) == PER_TURN
    drain(world)
    for _ in range(PER_TURN):
        assert client.read().get("connection") is None
    assert client.read().get("connection") == "close"
    client.expect_end()


def test_an_event_stream_is_broken_off(world: World, client: Client) -> None:
    """An event stream is broken off: it would never end, and its client reconnects."""
    exchange = client.ask("GET /")
    world.assign(exchange)
    exchange.stream(200, [["content-type", "text/event-stream"]], b"data: 1\n\n")
    world.connection.drain()
    assert client.read().body == b"data: 1\n\n"
    assert world.responders[0].detached == ["client"]
    client.expect_end()
