"""Which connection is closed for a new client, over real sockets, with no worker behind."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import cast

import pytest

from buntime.core.http1 import addresses
from buntime.core.http1.connection import PER_TURN
from buntime.core.http1.forwarded import Proxies
from buntime.core.settings.endpoint import TcpEndpoint, UnixEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.core.telemetry.meters import Meters
from buntime.server.http1 import admission, newcomer
from buntime.server.http1.binding import open_bindings
from buntime.server.http1.connection import Connection
from buntime.server.http1.ending import reset_at_close
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.listener import Listener
from buntime.server.http1.service import Service
from buntime.server.loop.loop import READ, WRITE, Loop, ready_now
from tests.support.fakes import FakeSink, make_log
from tests.support.harness import wait_until
from tests.support.rawclient import Cut, RawClient, request

MOST = 2
LARGE_BYTES = 8 << 20  # more than the kernel buffers for a client that does not read
LONG_S = 1.0  # enough to count as idle


class FakeLink:
    """An open WebSocket, as far as it matters here."""

    is_closing = False
    wants_data = False

    def on_end(self) -> None: ...


def hello(exchange: Exchange) -> None:
    exchange.respond(200, [], b"hello")


class House:
    """Two listeners that share room for MOST clients."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        environ = {"RUNTIME_WORKER_DIRS": "/apps"}
        read = load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)
        self.service = Service(self.loop, LiveSettings(read), make_log(self.sink), Meters())
        self.service.admission.connections_max = MOST
        self.asked: list[Exchange] = []
        self.answer: Callable[[Exchange], None] = hello
        places = (TcpEndpoint("127.0.0.1", 0), TcpEndpoint("127.0.0.1", 0))
        self.bindings = open_bindings(places)
        self.listeners = [
            Listener(self.service, self._handle, binding) for binding in self.bindings
        ]
        self.service.on_room = self._on_room
        self.socks: list[socket.socket] = []

    def come(self, data: bytes = b"", at: int = 0, source: str = "127.0.0.1") -> RawClient:
        """Connect to one of the listeners, from this address, and send."""
        address = self.bindings[at].address
        assert address is not None
        sock = socket.create_connection(address, timeout=5, source_address=(source, 0))
        self.socks.append(sock)
        sock.sendall(data)
        return RawClient(sock)

    def wait_for_newcomer(self) -> None:
        """Wait until somebody is in the kernel's backlog of the first listener."""
        found, _, _ = select.select([self.bindings[0].sock], [], [], 5)
        assert found

    def turn_until(self, is_true: Callable[[], bool]) -> None:
        def look() -> bool:
            self.loop.run_once(0)
            return is_true()

        wait_until(look, what="the loop's work")

    def settle(self, client: RawClient) -> None:
        """Turn until this client has its answer."""
        self.turn_until(lambda: has_come(client))
        assert client.read().status == 200

    def events(self) -> list[str]:
        return [event for event in self.sink.events() if event.startswith("connections.")]

    def close(self) -> None:
        for listener in self.listeners:
            listener.abort()
        for connection in tuple(self.service.connections):
            connection.abort()
        for sock in self.socks:
            sock.close()
        self.loop.close()

    def _handle(self, exchange: Exchange) -> None:
        self.asked.append(exchange)
        self.answer(exchange)

    def _on_room(self) -> None:
        for listener in self.listeners:
            listener.resume()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()
    assert house.errors == []


def has_come(client: RawClient) -> bool:
    """Whether the client has received anything, or the end."""
    client.sock.setblocking(False)
    try:
        client.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        client.sock.settimeout(5)
    return True


def is_closed(client: RawClient) -> bool:
    try:
        return client.receive() == b""
    except Cut:
        return True


class FirstIsBroken(socket.socket):
    """A listening socket. With the first client that it accepts nothing can be done."""

    is_first = True

    def accept(self) -> tuple[socket.socket, object]:
        sock, address = super().accept()
        if self.is_first:
            self.is_first = False
            with open("/dev/null", "rb") as null:  # it cannot be watched, nor has it options
                os.dup2(null.fileno(), sock.fileno())
        return sock, address


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_client_with_whom_nothing_can_be_done(house: House, tmp_path: Path, kind: str) -> None:
    """It is let go, and others are accepted. The system may refuse to set an option of a socket, or
    to watch it."""
    unix = UnixEndpoint(str(tmp_path / "sock"))
    (binding,) = open_bindings([unix if kind == "unix" else TcpEndpoint("127.0.0.1", 0)])
    binding.sock = FirstIsBroken(fileno=binding.sock.detach())
    house.bindings.append(binding)
    house.listeners.append(Listener(house.service, hello, binding))
    clients = [socket.socket(binding.sock.family) for _ in range(2)]
    house.socks += clients
    for client in clients:
        client.settimeout(5)
        client.connect(binding.sock.getsockname())
        client.sendall(request("GET /"))
    house.settle(RawClient(clients[1]))
    assert len(house.service.connections) == 1
    # One to which no option can be set has left; that one cannot be watched is no client's fault.
    assert [type(error) for error in house.errors] == [PermissionError] * (kind == "unix")
    house.errors.clear()


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "no descriptor"), ValueError("no")])
def test_a_door_that_fails(house: House, tmp_path: Path, error: Exception) -> None:
    """The client is let go, the log has the error, and others are let in."""
    came: list[socket.socket] = []

    def judge(sock: socket.socket) -> None:
        came.append(sock)
        if len(came) == 1:
            raise error

    (binding,) = open_bindings([UnixEndpoint(str(tmp_path / "sock"))])
    house.bindings.append(binding)
    house.listeners.append(Listener(house.service, hello, binding, door=judge))
    for is_let_in in (False, True):
        client = socket.socket(socket.AF_UNIX)
        house.socks.append(client)
        client.settimeout(5)
        client.connect(binding.sock.getsockname())
        client.sendall(request("GET /"))
        if is_let_in:
            house.settle(RawClient(client))
        else:
            house.turn_until(lambda each=client: has_come(RawClient(each)))  # type: ignore[misc]
            assert is_closed(RawClient(client))
        assert len(house.service.connections) == is_let_in
        assert house.errors == [error]
    assert came[0].fileno() == -1
    house.errors.clear()


def test_the_one_that_was_idle_the_longest_goes(house: House) -> None:
    """The connection that was idle the longest is closed, counted from its last answer and not by
    its age."""
    first, second = house.come(request("GET /")), house.come(request("GET /"))
    house.settle(first)
    house.settle(second)
    first.send(request("GET /again"))
    house.settle(first)
    third = house.come(request("GET /"))
    house.settle(third)
    assert is_closed(second)
    assert not has_come(first)
    assert house.service.admission.displaced.total == 1
    assert house.events() == ["connections.displaced"]


def test_nobody_goes_for_nobody(house: House) -> None:
    """At the limit everybody stays until another client comes."""
    clients = [house.come(request("GET /")) for _ in range(MOST)]
    for client in clients:
        house.settle(client)
    house.listeners[0].on_ready(READ)
    assert len(house.service.connections) == MOST
    assert house.events() == []


def test_one_goes_for_one(house: House) -> None:
    """A newcomer takes one connection's place, and the others stay."""
    clients = [house.come(request("GET /")) for _ in range(MOST)]
    for client in clients:
        house.settle(client)
    house.settle(house.come(request("GET /")))
    for _ in range(10):
        house.loop.run_once(0)
    assert [has_come(client) for client in clients] == [True, False]
    assert len(house.service.connections) == MOST


def test_a_request_that_has_just_come_is_answered(house: House) -> None:
    """A request that has just arrived is answered, even if its connection was next to go and was
    not read yet."""
    clients = [house.come(request("GET /")) for _ in range(MOST)]
    for client in clients:
        house.settle(client)
    clients[0].send(request("GET /again"))
    house.come()
    house.wait_for_newcomer()
    house.loop.now += LONG_S
    house.listeners[0].on_ready(READ)
    assert clients[0].read().status == 200
    assert is_closed(clients[1])


def test_half_a_head_goes_whatever_has_come_of_it(house: House) -> None:
    """A connection with half a head is closed: its bytes are read first, and make no request."""
    clients = [house.come(b"GET / HTTP/1.1\r\nX-A: ") for _ in range(MOST)]
    house.turn_until(lambda: len(house.service.connections) == MOST)
    clients[0].send(b"more of it")
    house.settle(house.come(request("GET /")))
    assert is_closed(clients[0])
    assert not has_come(clients[1])


def test_busy_ones_stay(house: House) -> None:
    """If all are busy newcomers wait, which is logged once. Both listeners open again when one has
    gone."""
    house.answer = lambda exchange: None
    busy = [house.come(request("GET /")) for _ in range(MOST)]
    house.turn_until(lambda: len(house.asked) == MOST)
    waiting = [house.come(request("GET /"), at) for at in (0, 1)]
    house.turn_until(lambda: house.service.admission._full.total > 6)  # both have looked again
    assert house.service.admission.is_crowded
    assert house.events() == ["connections.full"]
    assert len(house.service.connections) == MOST
    for client, exchange in zip(busy, tuple(house.asked), strict=True):
        hello(exchange)
        reply = client.read()
        assert (reply.status, reply.get("connection")) == (200, "close")
        client.expect_end()
        count = len(house.asked)
        house.turn_until(lambda count=count: len(house.asked) > count)
    for exchange in house.asked[MOST:]:
        hello(exchange)
    assert [client.read().get("connection") for client in waiting] == [None, None]
    assert not house.service.admission.is_crowded


def test_who_may_have_left_goes_first(house: House) -> None:
    """Of the clients that have shut down their side, the first one goes, before any that is merely
    idle, and even if its request is running."""
    idle = house.come(request("GET /"))
    house.turn_until(lambda: len(house.asked) == 1)
    house.answer = lambda exchange: None
    doubtful = house.come(request("GET /"))
    house.turn_until(lambda: len(house.asked) == 2)
    doubtful.sock.shutdown(socket.SHUT_WR)
    house.turn_until(lambda: len(house.service.admission.doubtful) == 1)
    house.answer = hello
    newcomer = house.come(request("GET /"))
    house.turn_until(lambda: len(house.asked) == 3)
    assert newcomer.read().status == 200
    doubtful.expect_end()
    assert idle.read().status == 200
    assert not has_come(idle)
    assert not house.service.admission.doubtful


def large(exchange: Exchange) -> None:
    """A whole large answer."""
    exchange.respond(200, [], bytes(LARGE_BYTES))


def half(exchange: Exchange) -> None:
    """A large answer of which more is to follow."""
    exchange.start(200, [], 2 * LARGE_BYTES, bytes(LARGE_BYTES))


def rest_of(client: RawClient) -> int:
    """How many bytes come until the connection ends."""
    size = 0
    with contextlib.suppress(Cut):
        while data := client.receive():
            size += len(data)
    return size


def stalled(house: House, answer: Callable[[Exchange], None]) -> list[RawClient]:
    """MOST clients that take nothing of a large answer, the first one for the longest time."""
    house.answer = answer
    clients = []
    for number in range(MOST):
        clients.append(house.come(request("GET /")))
        house.turn_until(lambda number=number: len(house.asked) == number + 1)
    house.answer = hello
    assert all(connection.pending_bytes for connection in house.service.connections)  # type: ignore[attr-defined]  # they are connections
    return clients


@pytest.mark.parametrize("answer", [large, half])
def test_who_takes_nothing_goes_where_nobody_is_idle(
    house: House, answer: Callable[[Exchange], None]
) -> None:
    """If nobody is idle, the client that has taken nothing for the longest time goes after a
    moment."""
    first, second = stalled(house, answer)
    waiting = house.come(request("GET /"))
    house.turn_until(lambda: house.service.admission.is_crowded)
    assert len(house.asked) == MOST
    house.service.admission.stall_s = 0.0
    house.settle(waiting)
    assert rest_of(first) < LARGE_BYTES
    assert house.service.admission.displaced.total == 1
    assert len(second.receive()) > 0


def test_who_has_taken_something_stays(house: House) -> None:
    """What a client has taken counts, though it waits to be handled: another one goes."""
    first, second = stalled(house, large)
    connections = cast("set[Connection]", house.service.connections)
    first.sock.setblocking(False)

    def has_taken() -> bool:
        with contextlib.suppress(BlockingIOError):
            while first.sock.recv(1 << 20):
                pass
        return any(ready_now(each._sock, WRITE) for each in connections)

    wait_until(has_taken)
    house.service.admission.stall_s = 0.0
    assert not house.service.admission.make_room()
    assert house.service.admission.make_room()
    first.sock.setblocking(True)
    first.sock.settimeout(5)
    house.turn_until(lambda: has_come(first))
    assert len(connections) == MOST - 1
    assert rest_of(second) < LARGE_BYTES


def test_a_moment_is_enough_while_newcomers_wait(house: House) -> None:
    """Otherwise those who connect faster than others are found to be stalled fill the backlog."""
    house.service.admission.short_stall_s = 0.0
    first, _ = stalled(house, large)
    house.settle(house.come(request("GET /")))  # its wait makes the next look stricter
    assert rest_of(first) < LARGE_BYTES
    assert house.service.admission.stall_s > LONG_S


def test_many_that_may_be_slow_hide_nobody(house: House) -> None:
    """Exempt clients may have been stalled for longest, however many they are."""
    streams = 20
    house.service.admission.connections_max = streams + 1
    house.answer = lambda exchange: None
    for number in range(streams):
        house.come(request("GET /"))
        house.turn_until(lambda number=number: len(house.asked) == number + 1)
    for exchange in house.asked:
        exchange.is_event_stream = True
        exchange.client.write(bytes(LARGE_BYTES))
    house.answer = large
    goes = house.come(request("GET /"))
    house.turn_until(lambda: len(house.asked) == streams + 1)
    house.answer = hello
    house.service.admission.stall_s = 0.0
    house.settle(house.come(request("GET /")))
    assert rest_of(goes) < LARGE_BYTES
    assert len(house.service.connections) == streams + 1


@pytest.mark.parametrize("what", ["event stream", "WebSocket"])
def test_what_may_be_slow_stays(house: House, what: str) -> None:
    """A client that may be slow stays; another goes that has been stalled for less time."""
    house.answer = lambda exchange: None
    stays = house.come(request("GET /"))
    house.turn_until(lambda: len(house.asked) == 1)
    exchange = house.asked[0]
    if what == "event stream":
        exchange.is_event_stream = True
    else:
        exchange.link = FakeLink()
    exchange.client.write(bytes(LARGE_BYTES))
    house.answer = large
    goes = house.come(request("GET /"))
    house.turn_until(lambda: len(house.asked) == 2)
    house.answer = hello
    house.service.admission.stall_s = 0.0
    house.settle(house.come(request("GET /")))
    assert rest_of(goes) < LARGE_BYTES
    exchange.is_event_stream, exchange.link = False, None
    assert stays.receive() != b""


def test_requests_in_a_row_end_where_others_wait(house: House) -> None:
    """Of many pipelined requests, the next one is the last if others wait."""
    house.answer = lambda exchange: None
    busy = [house.come(request("GET /") * 3 * PER_TURN) for _ in range(MOST)]
    house.turn_until(lambda: len(house.asked) == MOST)
    waiting = house.come(request("GET /"))
    house.turn_until(lambda: house.service.admission.is_crowded)
    hello(house.asked[0])
    assert busy[0].read().get("connection") == "close"
    house.answer = hello
    house.settle(waiting)


def test_a_handler_that_raises_harms_nobody_else(house: House) -> None:
    """If the handler raises for a request on a connection that should go, only that connection
    ends."""
    clients = [house.come(request("GET /")) for _ in range(MOST)]
    for client in clients:
        house.settle(client)

    def fail(exchange: Exchange) -> None:
        house.answer = hello
        raise RuntimeError("a fault")

    house.answer = fail
    clients[0].send(request("GET /again"))
    coming = house.come(request("GET /"))
    house.wait_for_newcomer()
    house.loop.now += LONG_S
    house.listeners[0].on_ready(READ)
    house.settle(coming)
    assert is_closed(clients[0])
    assert not has_come(clients[1])
    assert [str(error) for error in house.errors] == ["a fault"]
    house.errors.clear()


def test_who_has_just_come_has_a_moment(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many clients that connect at once do not displace one another before they are read."""
    monkeypatch.setattr(admission, "_HEAD_GRACE_S", 60.0)  # a busy machine may take longer
    clients = [house.come() for _ in range(MOST)]
    house.turn_until(lambda: len(house.service.connections) == MOST)
    late = house.come(request("GET /"))
    for client in clients:
        client.send(request("GET /"))
        house.settle(client)
    house.settle(late)


def test_who_asks_for_nothing_goes_first(house: House) -> None:
    """A client that has asked for nothing goes before those that had an answer and have been idle
    longer."""
    first = house.come(request("GET /"))
    house.settle(first)
    silent = house.come()
    house.turn_until(lambda: len(house.service.connections) == MOST)
    coming = house.come(request("GET /"))
    house.wait_for_newcomer()
    house.loop.now += LONG_S
    house.listeners[0].on_ready(READ)
    house.settle(coming)
    assert is_closed(silent)
    assert not has_come(first)


def test_who_asks_again_and_again_stays_no_longer(house: House) -> None:
    """A client that keeps asking goes too: if somebody waits, its answer says that it is the
    last."""
    clients = [house.come(request("GET /")) for _ in range(MOST)]
    for client in clients:
        house.settle(client)
    late = house.come(request("GET /"))
    house.turn_until(lambda: house.service.admission.is_crowded)
    clients[1].send(request("GET /again"))
    house.settle(late)
    ends = [client for client in clients if has_come(client)]
    assert ends
    assert "connections.full" not in house.events()


def test_a_limit_that_was_lowered_is_reached(house: House) -> None:
    """After the limit was lowered, idle connections are closed when somebody comes, until the limit
    is met."""
    clients = [house.come(request("GET /")) for _ in range(MOST)]
    for client in clients:
        house.settle(client)
    house.service.admission.connections_max = 1
    house.settle(house.come(request("GET /")))
    assert len(house.service.connections) == 1
    assert all(map(is_closed, clients))


def test_who_comes_and_leaves_costs_little(house: House) -> None:
    """After the first few of a batch, a client that has already left gets no connection: a backlog
    full of such clients keeps nobody waiting."""
    house.service.admission.connections_max = 1000
    for _ in range(200):
        house.come().sock.close()
    late = house.come(request("GET /"))
    house.loop.run_once(1.0)
    assert house.service.accepted == 201
    assert len(house.service.connections) <= 9
    house.settle(late)


def test_who_resets_behind_others_is_none(house: House) -> None:
    """A reset, or a request followed by an end, is told apart from a silent end."""
    house.service.admission.connections_max = 1000
    for _ in range(20):
        house.come()
    gone = house.come()
    reset_at_close(gone.sock)
    gone.sock.close()
    asks = house.come(request("GET /"))
    asks.sock.shutdown(socket.SHUT_WR)
    house.turn_until(lambda: house.service.accepted == 22)
    house.turn_until(lambda: len(house.asked) == 1)


LONE = "127.0.0.2"  # the address of a client with one connection


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three connections are many."""
    monkeypatch.setattr(addresses, "MANY", 2)
    monkeypatch.setattr(addresses, "FEW", 1)


def full_of_busy(house: House, most: int) -> list[RawClient]:
    """So many clients at one address with a request each that is not answered."""
    house.service.admission.connections_max = most
    house.answer = lambda exchange: None
    clients = [house.come(request("GET /")) for _ in range(most)]
    house.turn_until(lambda: len(house.asked) == most)
    return clients


@pytest.mark.usefixtures("few")
def test_who_is_alone_need_not_wait_for_a_crowd(house: House) -> None:
    """Newcomers of a client with many connections are let in after all others that wait, and none
    of them is lost."""
    full_of_busy(house, 4)
    crowd = [house.come(request("GET /crowd")) for _ in range(3)]
    house.turn_until(lambda: house.listeners[0].waiting == 3)
    alone = house.come(request("GET /alone"), source=LONE)
    house.turn_until(lambda: house.listeners[0].waiting == 4)
    hello(house.asked[0])
    house.turn_until(lambda: len(house.asked) == 5)
    assert house.asked[4].head.path == "/alone"
    house.answer = hello
    for exchange in house.asked[1:]:
        hello(exchange)
    for client in (alone, *crowd):
        house.settle(client)
    assert house.listeners[0].waiting == 0


@pytest.mark.usefixtures("few")
def test_a_client_gives_way_while_it_has_many(house: House) -> None:
    """With its third connection all three give way, with its last one no more. Its requests are
    answered all the time."""
    house.service.admission.connections_max = 10
    clients = [house.come(request("GET /")) for _ in range(3)]
    for client in clients:
        house.settle(client)
    alone = house.come(request("GET /"), source=LONE)
    house.settle(alone)

    def giving_way() -> int:
        return sum(each._gives_way for each in house.service.connections)  # type: ignore[attr-defined]  # they are connections

    assert giving_way() == 3
    for client in (*clients, alone):
        client.send(request("GET /"))
        house.settle(client)
    for client in clients[1:]:
        client.sock.close()
    house.turn_until(lambda: len(house.service.connections) == 2)
    assert giving_way() == 0
    for client in (clients[0], alone):
        client.send(request("GET /"))
        house.settle(client)


def test_only_so_many_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are in the kernel's backlog until there is a place, and are answered as well."""
    monkeypatch.setattr(newcomer, "_MOST", 3)
    full_of_busy(house, MOST)
    coming = [house.come(request("GET /")) for _ in range(8)]
    house.turn_until(lambda: house.listeners[0].waiting == 2)  # as many as may be connected
    for _ in range(20):
        house.loop.run_once(0.01)
    assert house.service.accepted == MOST + 2
    house.answer = hello
    for exchange in tuple(house.asked):
        hello(exchange)
    for client in coming:
        house.settle(client)


def test_who_leaves_while_waiting_takes_no_place(house: House) -> None:
    """Whoever waited behind it gets the place."""
    full_of_busy(house, MOST)
    gone = [house.come() for _ in range(2)]
    house.turn_until(lambda: house.listeners[0].waiting == 2)
    for client in gone:
        client.sock.close()
    house.answer = hello
    hello(house.asked[0])
    house.settle(house.come(request("GET /")))
    assert house.listeners[0].waiting == 0
    assert len(house.service.connections) <= MOST


def test_who_leaves_while_waiting_makes_room_to_wait(house: House) -> None:
    """Even if the one in front stays: otherwise whoever comes is in the kernel's backlog, where
    all wait in one row."""
    full_of_busy(house, 4)
    waits = house.come(request("GET /"))
    gone = [house.come() for _ in range(3)]
    house.turn_until(lambda: house.listeners[0].waiting == 4)
    for client in gone:
        client.sock.close()
    last = house.come(request("GET /"))
    house.turn_until(lambda: house.service.accepted == 9)
    assert house.listeners[0].waiting == 2
    house.answer = hello
    hello(house.asked[0])
    for client in (waits, last):
        house.settle(client)


def test_who_has_left_does_not_count_for_the_limit_of_an_address(house: House) -> None:
    """A client that gives up waiting may come again."""
    house.service.client_limit.adopt(5, Proxies(()))
    full_of_busy(house, 4)
    waits = house.come(request("GET /"), source=LONE)
    gone = house.come()
    house.turn_until(lambda: house.listeners[0].waiting == 2)
    gone.sock.close()
    again = house.come(request("GET /"))
    house.turn_until(lambda: house.service.accepted == 7)
    house.answer = hello
    hello(house.asked[0])
    for client in (waits, again):
        house.settle(client)


def test_those_who_wait_are_let_in_at_the_end(house: House) -> None:
    """A listener that ends loses nobody that it has accepted: they may have sent a request."""
    full_of_busy(house, MOST)
    waits = [house.come(request("GET /")) for _ in range(2)]
    house.turn_until(lambda: house.listeners[0].waiting == 2)
    house.answer = hello
    house.listeners[0].abort()
    for client in waits:
        house.settle(client)


def test_those_who_wait_count_for_the_limit_of_an_address(house: House) -> None:
    """Otherwise one client could fill all places to wait at."""
    house.service.client_limit.adopt(MOST + 1, Proxies(()))
    full_of_busy(house, MOST)
    house.come(request("GET /"))
    house.turn_until(lambda: house.listeners[0].waiting == 1)
    refused = house.come(request("GET /"))
    house.turn_until(lambda: has_come(refused))
    assert refused.read().status == 429
    assert house.listeners[0].waiting == 1


def test_without_descriptors_it_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody can be accepted, it tries again after a while, and not in each turn."""
    monkeypatch.setattr("buntime.server.http1.listener._NO_DESCRIPTORS_S", 0.05)
    tried: list[float] = []

    class Failing:
        """A listening socket of a process that has no descriptor left."""

        def accept(self) -> None:
            tried.append(monotonic())
            raise OSError(errno.EMFILE, "too many open files")

        def fileno(self) -> int:
            return house.bindings[0].sock.fileno()

    working = house.listeners[0]._sock
    house.listeners[0]._sock = Failing()  # type: ignore[assignment]  # as a socket
    client = house.come(request("GET /"))
    house.turn_until(lambda: len(tried) == 3)
    assert tried[2] - tried[0] >= 0.1
    house.listeners[0]._sock = working
    house.settle(client)
