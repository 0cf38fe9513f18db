"""One request and its answer, with a client and a responder that are not sockets."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from buntime.core.apps.app import App
from buntime.core.apps.manifest import parse_manifest
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.http1.lifecycle import HELD, State
from buntime.core.telemetry.records import AccessEntry
from buntime.core.values.ways import LifecycleError
from buntime.core.websocket.handshake import Upgrade
from buntime.wire import DOWNLOAD_WINDOW, DOWNLOAD_WINDOW_MAX, UPLOAD_WINDOW
from tests.support.apps import make_app
from tests.support.exchanges import FakeClient, FakeResponder

GET = b"GET /shop/ HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
POST = b"POST /shop/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n%b\r\n"

ROOT = Path(__file__).resolve().parents[3]
MANIFEST, _ = parse_manifest(b"", path="buntime.yaml", body_default=1000, body_max=1000)
SHOP = App("shop", None, Path("/apps/shop"), "app.py", MANIFEST, Path("/apps/shop"))


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


# The responder


def test_a_whole_answer_ends_it(client: FakeClient) -> None:
    """The runtime's own answer needs no responder."""
    exchange = client.request(GET)
    exchange.respond(200, [], b"hello")
    assert exchange.is_ended
    assert client.ended == [True]
    assert client.written.endswith(b"\r\n\r\nhello")
    assert [entry.status for entry in client.fake_service.entries] == [200]


def test_what_the_access_log_is_told(client: FakeClient) -> None:
    """An entry has the fields of its class in their order, as if they were named."""
    exchange = client.request(GET.replace(b"/shop/", b"/shop/?x=1"))
    exchange.route_to(make_app("shop", "1.0.0"), base="/shop")
    exchange.assign(FakeResponder(exchange), "w1", 1)
    exchange.release()
    exchange.respond(201, [], b"hello")
    [entry] = client.fake_service.entries
    assert type(entry) is AccessEntry
    assert entry == AccessEntry(
        time=pytest.approx(time(), abs=60),
        request_id="id",
        method="GET",
        host="a",
        path="/shop/?x=1",
        app="shop",
        version="1.0.0",
        worker="w1",
        status=201,
        bytes=5,
        ms=entry.ms,
        client="10.0.0.1",
        trace_id="",
        span_id="",
    )


def test_it_goes_from_the_queue_to_a_worker(client: FakeClient) -> None:
    """Each hand-over replaces the previous responder, which is not told."""
    exchange = client.request(GET)
    queued, worker = FakeResponder(exchange), FakeResponder(exchange)
    exchange.hand_over(queued, 30.0)
    line, body = exchange.assign(worker, "w1", 7)
    message = json.loads(line)
    assert (message["id"], message["target"], message["end"], body) == (7, "/shop/", True, b"")
    assert exchange.responder is worker
    assert (exchange.worker_name, exchange.tries) == ("w1", 1)
    assert queued.detached == []


def test_what_is_given_back_may_be_handed_over_again(client: FakeClient) -> None:
    """A request that nobody has begun to answer can be handed to another responder."""
    exchange = client.request(GET)
    exchange.hand_over(FakeResponder(exchange), 30.0)
    exchange.take_back()
    assert (exchange.state, exchange.responder) == (State.WAITING, None)
    exchange.hand_over(FakeResponder(exchange), 30.0)
    assert exchange.state is State.HANDED_OVER


def test_what_is_answered_is_never_handed_over(client: FakeClient) -> None:
    """Once the client has a head, no other worker can answer."""
    exchange = client.request(GET)
    exchange.assign(FakeResponder(exchange), "w1", 1)
    exchange.stream(200, [], b"first")
    for again in (lambda: exchange.assign(FakeResponder(exchange), "w2", 1), exchange.take_back):
        with pytest.raises(LifecycleError):
            again()


def test_a_client_that_leaves_is_told_to_the_responder(client: FakeClient) -> None:
    """A request whose client left is logged with 499, and the worker may stop."""
    exchange = client.request(GET)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    client.abort()
    assert worker.detached == ["client"]
    assert [entry.status for entry in client.fake_service.entries] == [499]


def test_a_client_that_is_gone_at_the_answer_is_counted_once(client: FakeClient) -> None:
    """If a whole answer finds the connection broken, the exchange does not end a second time."""
    exchange = client.request(GET)
    client.is_gone = True
    exchange.respond(200, [], b"hello")
    assert len(client.fake_service.entries) == 1
    assert client.fake_service.meters.of_none.requests[2] == 1


def test_only_what_is_sent_counts(client: FakeClient) -> None:
    """An app may answer HEAD with the first piece of a body, which is not sent, and not logged."""
    exchange = client.request(GET.replace(b"GET", b"HEAD"))
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    exchange.stream(200, [], b"hello")
    assert client.written.endswith(b"\r\n\r\n")
    assert exchange.is_ended
    assert [entry.bytes for entry in client.fake_service.entries] == [0]


class Ground:
    """What lets a WebSocket stay open."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_open(self) -> bool:
        self.told.append("open")
        return True

    def on_end(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_websocket_that_does_not_open(client: FakeClient, is_gone: bool) -> None:
    """What it depends on hears of its opening before its end, and of none if its client is gone."""
    exchange = client.request(GET)
    exchange.offer_upgrade(Upgrade("x", (), None))
    exchange.stand_on(ground := Ground())
    exchange.assign(FakeResponder(exchange), "w1", 1)
    client.is_gone = is_gone
    link: Any = SimpleNamespace(on_end=lambda: None)
    exchange.accept(lambda: link, None, [])
    client.abort()
    assert ground.told == (["end"] if is_gone else ["open", "end"])


# Failures


def test_a_failure_detaches_its_responder(client: FakeClient) -> None:
    """An error of the runtime is answered instead of by whoever had the request."""
    exchange = client.request(GET)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    exchange.fail(ServerFault(504, "app_timeout", "too slow"))
    assert worker.detached == ["error"]
    assert client.written.startswith(b"HTTP/1.1 504 ")
    assert exchange.is_ended


def test_a_failure_behind_the_head_cuts(client: FakeClient) -> None:
    """A body that breaks off must not look complete: the connection is reset."""
    exchange = client.request(GET)
    exchange.assign(FakeResponder(exchange), "w1", 1)
    exchange.stream(200, [], b"first")
    exchange.fail(ServerFault(500, "app_error", "it raised"))
    assert (client.cuts, exchange.is_ended) == (1, True)


def test_an_answer_that_cannot_be_sent_is_a_502(client: FakeClient) -> None:
    """An answer that cannot be sent is the app's fault, and the log says why."""
    exchange = client.request(GET)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    exchange.stream(200, [["x-a", "1\r\nset-cookie: evil"]], b"")
    assert client.written.startswith(b"HTTP/1.1 502 ")
    assert client.fake_service.errors == ["app.answer_invalid"]
    assert worker.detached == ["error"]


# The request's body


def test_the_first_piece_goes_with_the_request(client: FakeClient) -> None:
    """The part of the body that has arrived is the REQUEST's payload; the rest follows as it
    arrives."""
    exchange = client.request(POST % b"" + b"01234")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(10)
    worker = FakeResponder(exchange)
    line, body = exchange.assign(worker, "w1", 1)
    message = json.loads(line)
    assert (message["size"], message["end"], body) == (5, False, b"01234")
    assert exchange.upload_credit == UPLOAD_WINDOW - 5
    client.reader.receive(b"56789")
    exchange.pump()
    assert worker.body == b"56789"


def test_100_continue_waits_for_the_app(client: FakeClient) -> None:
    """A client that asks first gets 100 Continue when the app reads, and only once."""
    exchange = client.request(POST % b"Expect: 100-continue\r\n")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(10)
    exchange.assign(FakeResponder(exchange), "w1", 1)
    assert (exchange.upload_credit, client.written) == (0, b"")
    exchange.on_waits(0, UPLOAD_WINDOW)
    exchange.grant_upload(UPLOAD_WINDOW)
    assert client.written == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_body_beyond_the_apps_limit_is_refused(client: FakeClient) -> None:
    """A body beyond the limit is refused at the hand-over; the previous responder keeps the
    request."""
    exchange = client.request(POST % b"" + b"0123456789")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(9)
    queued = FakeResponder(exchange)
    exchange.hand_over(queued, 30.0)
    with pytest.raises(ClientFault):
        exchange.assign(FakeResponder(exchange), "w1", 1)
    assert exchange.responder is queued


def test_nothing_is_granted_to_what_has_ended(client: FakeClient) -> None:
    """A WINDOW that crossed the request's end gives no credit to the next request's body."""
    exchange = client.request(GET)
    exchange.respond(200, [], b"")
    exchange.grant_upload(UPLOAD_WINDOW)
    assert exchange.upload_credit == 0


# Time


def test_a_slow_client_does_not_cost_the_apps_time(client: FakeClient) -> None:
    """While the app has sent all that it may, its timeout restarts."""
    exchange = client.request(GET)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    client.holds = True
    exchange.stream(200, [], b"x" * (DOWNLOAD_WINDOW - 1))
    exchange.send(b"x")
    exchange.on_timeout()
    assert worker.deadlines == 0
    client.pending_bytes = 0
    exchange.on_flushed()
    exchange.on_timeout()
    assert worker.deadlines == 1


def test_the_worker_of_a_slot_may_send_ahead(client: FakeClient) -> None:
    """The worker may send as much as can wait at all; beyond that its slot is lent out while the
    client takes nothing."""
    exchange = client.request(GET)
    exchange.route_to(SHOP, base="/shop")
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    client.holds = True
    exchange.stream(200, [], b"x" * DOWNLOAD_WINDOW)
    assert (worker.taken, worker.stalls) == (DOWNLOAD_WINDOW_MAX - DOWNLOAD_WINDOW, 0)
    exchange.send(b"x" * worker.taken)
    assert worker.stalls == 1
    assert client in client.fake_service.held_answers


@pytest.mark.parametrize("fields", [[("content-type", "text/event-stream")], []])
def test_what_has_no_end_is_not_held(client: FakeClient, fields: list[tuple[str, str]]) -> None:
    """An event stream gets no extra memory, since its worker stays anyway; nor does any answer once
    all of it is taken."""
    exchange = client.request(GET)
    exchange.route_to(SHOP, base="/shop")
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    client.holds = True
    if not fields:
        client.fake_service.held_answers.take(client)
    exchange.stream(200, fields, b"x")
    exchange.send(b"x" * (DOWNLOAD_WINDOW - 1))
    assert (worker.taken, worker.stalls) == (0, 1)


def test_the_worker_of_a_slot_waits_for_a_body(client: FakeClient) -> None:
    """The slot is lent out if the app has read all that arrived, and asks for more."""
    exchange = client.request(POST % b"" + b"01")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(10)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    exchange.on_waits(1, 0)
    assert worker.stalls == 0
    exchange.on_waits(2, 0)
    assert worker.stalls == 1


def test_a_slow_client_hides_no_app_that_sends_nothing(client: FakeClient) -> None:
    """If bytes wait for the client but the app could still send more, the app is the late one."""
    exchange = client.request(GET)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    client.holds = True
    exchange.stream(200, [], b"x" * (DOWNLOAD_WINDOW - 1))
    exchange.on_timeout()
    assert worker.deadlines == 1


def test_an_app_that_waits_for_the_body_is_not_late(client: FakeClient) -> None:
    """An app is not late while it waits for the body: once it reads, and only while it has read all
    that arrived."""
    exchange = client.request(POST % b"" + b"01")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(10)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    deadlines = []
    for step in (
        lambda: None,
        lambda: exchange.grant_upload(UPLOAD_WINDOW),
        lambda: exchange.on_waits(2, 0),
        lambda: client.reader.receive(b"34"),
        lambda: exchange.on_waits(3, 0),
        lambda: exchange.on_waits(4, 0),
        lambda: client.reader.receive(b"56789x"),
    ):
        step()
        exchange.pump()
        before = worker.deadlines
        exchange.on_timeout()
        deadlines.append(worker.deadlines - before)
    assert deadlines == [1, 1, 0, 1, 1, 0, 1]


def test_only_what_the_app_waited_for_gives_it_time(client: FakeClient) -> None:
    """A body that drips in extends no deadline if the app does not read."""
    exchange = client.request(POST % b"")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(10)
    worker = FakeResponder(exchange)
    exchange.hand_over(FakeResponder(exchange), 30.0)
    exchange.assign(worker, "w1", 1)
    loop = client.fake_service.loop
    loop.now += 31
    client.reader.receive(b"0")
    exchange.pump()
    loop.timeouts(30.0).expire(loop.now)
    assert worker.deadlines == 1


def test_an_event_stream_may_be_silent(client: FakeClient) -> None:
    """An event stream's timeout stops at its head, and its duration says nothing about the app's
    speed."""
    exchange = client.request(GET)
    exchange.hand_over(FakeResponder(exchange), 30.0)
    exchange.stream(200, [["Content-Type", "text/event-stream"]], b"")
    assert exchange.is_event_stream
    assert len(client.service.loop.timeouts(30.0)) == 0
    exchange.break_off()
    assert client.written.endswith(b"0\r\n\r\n")
    assert client.ended == [False]


# Ownership


def test_nobody_else_writes_its_fields() -> None:
    """Other modules change an exchange only through its methods."""
    sources = {path: path.read_bytes() for path in (ROOT / "buntime" / "server").rglob("*.py")}
    written = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path, source in sources.items()
        if re.search(rb"exchange_*\s*\.", source)  # the others need not be parsed
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store | ast.Del)
        and ast.unparse(node.value).split(".")[-1].strip("_") == "exchange"
    ]
    assert written == []


# Any order of events


class Life(RuleBasedStateMachine):
    """An exchange whose pipeline, queue, workers and client do what they may, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.client = FakeClient()
        self.client.holds = True
        self.responders: list[FakeResponder] = []
        self.exchange = self.client.request(b"POST /shop/ HTTP/1.1\r\nHost: a\r\n" + CHUNKED)
        self.exchange.route_to(SHOP, base="/shop")
        self.exchange.limit_body(100_000)

    def is_in(self, *states: State) -> bool:
        return self.exchange.state in states

    def responder(self) -> FakeResponder:
        self.responders.append(FakeResponder(self.exchange))
        return self.responders[-1]

    # The responder

    @precondition(lambda self: self.is_in(State.WAITING, State.HANDED_OVER))
    @rule()
    def hand_over(self) -> None:
        self.exchange.hand_over(self.responder(), 30.0)

    @precondition(lambda self: self.is_in(State.WAITING, State.HANDED_OVER))
    @rule()
    def assign(self) -> None:
        try:
            self.exchange.assign(self.responder(), "w1", 1)
        except ClientFault as fault:
            self.exchange.fail(fault)

    @precondition(lambda self: self.is_in(State.HANDED_OVER))
    @rule()
    def take_back(self) -> None:
        self.exchange.take_back()

    @precondition(lambda self: self.is_in(State.HANDED_OVER, State.STREAMING))
    @rule()
    def release(self) -> None:
        self.exchange.release()

    # The answer

    @precondition(lambda self: self.is_in(State.WAITING))
    @rule(body=st.binary(max_size=10))
    def respond(self, body: bytes) -> None:
        self.exchange.respond(200, [], body)

    @precondition(lambda self: self.is_in(State.HANDED_OVER))
    @rule(fields=st.sampled_from(([], [["content-length", "4"]], [["x-a", "\n"]])))
    def stream(self, fields: list[list[str]]) -> None:
        self.exchange.stream(200, fields, b"ab")

    @rule(size=st.sampled_from([1, 2, 100_000]))
    def send(self, size: int) -> None:
        try:
            self.exchange.send(b"x" * size)
        except ValueError:  # more than its credit: the channel gives up such a worker
            self.fail()

    @precondition(lambda self: not self.is_in(State.STREAMING))
    @rule()
    def finish(self) -> None:
        self.exchange.finish()

    @rule()
    def fail(self) -> None:
        self.exchange.fail(ServerFault(500, "app_error", "it raised"))

    @rule()
    def cut(self) -> None:
        self.exchange.cut()

    # The client

    @rule(data=st.sampled_from([b"5\r\n01234\r\n", b"0\r\n\r\n", b"no chunk", b"9000\r\n"]))
    def receive(self, data: bytes) -> None:
        self.client.reader.receive(data)
        self.exchange.pump()

    @rule(credit=st.integers(0, 200_000))
    def grant(self, credit: int) -> None:
        self.exchange.grant_upload(credit)

    @rule(takes=st.sampled_from([1, 50_000, 1_000_000]))
    def flushed(self, takes: int) -> None:
        self.client.pending_bytes = max(0, self.client.pending_bytes - takes)
        self.exchange.on_flushed()

    @rule()
    def leave(self) -> None:
        self.client.abort()

    @rule()
    def breaks(self) -> None:
        """The next write will find the connection broken."""
        self.client.is_gone = True

    @rule()
    def time_passes(self) -> None:
        self.exchange.on_timeout()

    # Invariants

    @invariant()
    def it_ends_once(self) -> None:
        assert len(self.client.fake_service.entries) == self.exchange.is_ended
        assert len(self.client.ended) <= 1

    @invariant()
    def a_responder_has_it_in_some_states_alone(self) -> None:
        assert (self.exchange.responder is not None) is (self.exchange.state in HELD)

    @invariant()
    def each_is_detached_once_at_most(self) -> None:
        """And is told nothing afterwards, see FakeResponder."""
        assert all(len(each.detached) <= 1 for each in self.responders)

    @invariant()
    def credit_is_never_negative(self) -> None:
        assert self.exchange.upload_credit >= 0
        assert all(each.taken >= 0 for each in self.responders)

    @invariant()
    def no_deadline_is_left_behind(self) -> None:
        if self.exchange.is_ended:
            assert len(self.client.service.loop.timeouts(30.0)) == 0


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=20)


def test_an_app_that_waits_widens_the_window(client: FakeClient) -> None:
    """The credit that it grants with its report counts: what has come is handed on, and it is the
    app that is waited for again."""
    exchange = client.request(POST % b"" + b"01")
    exchange.route_to(SHOP, base="/shop")
    exchange.limit_body(10)
    worker = FakeResponder(exchange)
    exchange.assign(worker, "w1", 1)
    client.reader.receive(b"34")
    assert exchange.on_waits(2, UPLOAD_WINDOW)
    assert (worker.body, worker.stalls) == (b"34", 0)
    assert exchange.upload_credit == 2 * UPLOAD_WINDOW - 4
    assert exchange.on_waits(4, 4)
    assert worker.stalls == 1
    assert exchange.upload_credit == 2 * UPLOAD_WINDOW
