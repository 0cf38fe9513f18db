"""A connection without its socket: its phases, what it waits for, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from buntime.core.errors import ClientFault
from buntime.core.http1.connection import (
    LINGER_MAX_S,
    TRANSITIONS,
    Due,
    Event,
    Phase,
    ServerConnection,
    Step,
)
from buntime.core.http1.head import HeadParser, Limits

GET = b"GET /shop/ HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /shop/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


def fresh() -> ServerConnection:
    return ServerConnection(HeadParser(Limits()))


def begun(raw: bytes = GET) -> ServerConnection:
    """A connection with a request in progress."""
    connection = fresh()
    assert connection.receive(raw, 0.0) is Step.SERVE
    assert connection.next_head() is not None
    return connection


def wanted(
    connection: ServerConnection,
    *,
    has_output: bool = False,
    takes_data: bool = False,
    is_closing: bool = False,
) -> tuple[bool, Due]:
    return connection.wanted(has_output, takes_data, is_closing)


# The table


def test_what_closes_begins_nothing() -> None:
    """After the last answer there is no way back to a request."""
    for phase in (Phase.CLOSING, Phase.LINGERING, Phase.CLOSED):
        assert {Event.REQUEST, Event.NEXT, Event.LINK}.isdisjoint(TRANSITIONS[phase])


def test_every_phase_but_closed_can_end() -> None:
    """A socket may break in any phase, once."""
    for phase in Phase:
        assert (Event.END in TRANSITIONS[phase]) is (phase is not Phase.CLOSED)


# A head


def test_a_head_may_come_in_pieces() -> None:
    """Nothing begins before the empty line; the time for the first head starts at once."""
    connection = fresh()
    assert wanted(connection) == (True, Due.HEAD)
    for index in range(len(GET) - 1):
        assert connection.receive(GET[index : index + 1], 0.0) is Step.SERVE
        assert connection.next_head() is None
        assert wanted(connection) == (True, Due.HEAD)
    connection.receive(GET[-1:], 0.0)
    head = connection.next_head()
    assert head is not None
    assert (head.target, connection.phase) == ("/shop/", Phase.EXCHANGE)
    assert wanted(connection) == (True, Due.NOTHING)


def test_a_refused_head_is_answered() -> None:
    """Bytes that are not a request count as one until answered; then the connection lingers."""
    connection = fresh()
    connection.receive(b"no request\r\n\r\n", 0.0)
    with pytest.raises(ClientFault):
        connection.next_head()
    assert connection.phase is Phase.EXCHANGE
    assert connection.on_answered(False, False, 0.0) is Step.SHUT


def test_a_late_head_is_answered() -> None:
    """A client that began a request is told that it took too long."""
    connection = fresh()
    connection.receive(b"GET /", 0.0)
    assert connection.on_due(Due.HEAD) is Step.REFUSE
    assert connection.phase is Phase.EXCHANGE


def test_an_idle_client_is_not_answered() -> None:
    """An idle client gets no answer: the connection just ends, at any time."""
    assert fresh().on_due(Due.HEAD) is Step.ABORT
    connection = begun()
    connection.on_answered(True, False, 0.0)
    assert connection.on_due(Due.REQUEST) is Step.ABORT


@pytest.mark.parametrize("lines", [b"\r", b"\r\n", b"\r\n\r\n\r"])
def test_empty_lines_are_no_head(lines: bytes) -> None:
    """If only empty lines arrive in the time for a head, the connection ends without an answer."""
    connection = fresh()
    connection.receive(lines, 0.0)
    assert connection.next_head() is None
    assert connection.on_due(Due.HEAD) is Step.ABORT


def test_a_later_head_is_waited_for_from_its_first_byte_on() -> None:
    """A client may be silent for longer between requests than within one."""
    connection = begun()
    connection.on_answered(True, False, 0.0)
    assert wanted(connection) == (True, Due.REQUEST)
    connection.receive(b"G", 0.0)
    assert connection.next_head() is None
    assert wanted(connection) == (True, Due.HEAD)


@pytest.mark.parametrize("pieces", [[b"\r", b"\n"], [b"\r\n"], [b"\r\n\r", b"\n\r", b"\n"]])
@pytest.mark.parametrize("answers", [0, 1])
def test_empty_lines_renew_nothing(pieces: list[bytes], answers: int) -> None:
    """Empty lines do not restart any time limit; the head after them does."""
    connection = fresh()
    for _ in range(answers):
        connection = begun()
        connection.on_answered(True, False, 0.0)
    due = wanted(connection)[1]
    for piece in pieces * 3:
        connection.receive(piece, 0.0)
        assert connection.next_head() is None
        assert wanted(connection) == (True, due)
    connection.receive(b"GE", 0.0)
    assert connection.next_head() is None
    assert wanted(connection) == (True, Due.HEAD)


def test_empty_lines_behind_a_request_are_no_head() -> None:
    """Empty lines after a request do not begin a head, even if they came with it."""
    connection = begun(GET + b"\r\n\r\n")
    assert connection.on_answered(True, False, 0.0) is Step.SERVE
    assert connection.next_head() is None
    assert wanted(connection) == (True, Due.REQUEST)


# A body


def test_a_body_is_read_while_it_is_wanted() -> None:
    """A body with credit is read, and its next byte is awaited."""
    connection = begun(POST)
    assert wanted(connection, takes_data=True) == (True, Due.BODY)
    assert connection.receive(b"012", 0.0) is Step.PUMP
    assert wanted(connection, takes_data=True) == (True, Due.BODY)
    assert connection.on_due(Due.BODY) is Step.FAIL


def test_a_body_that_nobody_wants_stays_in_the_kernel() -> None:
    """One read of an unwanted body is kept; then only a hang-up of the client is watched for."""
    connection = begun(POST)
    assert wanted(connection) == (True, Due.NOTHING)
    connection.receive(b"012", 0.0)
    assert wanted(connection) == (False, Due.HANGUP)


def test_a_body_that_has_ended_is_not_waited_for() -> None:
    """What comes after the body is another request, for which there is no credit."""
    connection = begun(POST)
    connection.receive(b"01234", 0.0)
    assert connection.reader.read_body(100) == b"01234"
    assert wanted(connection, takes_data=True) == (True, Due.NOTHING)
    assert connection.receive(GET, 0.0) is Step.NOTHING
    assert wanted(connection, takes_data=True) == (False, Due.HANGUP)


# Pipelining


def test_requests_that_were_sent_in_a_row_wait() -> None:
    """The next pipelined request begins when the one before it is answered."""
    connection = begun(GET + GET)
    assert connection.on_answered(True, False, 0.0) is Step.SERVE
    assert connection.next_head() is not None
    assert connection.on_answered(True, False, 0.0) is Step.NOTHING
    assert wanted(connection) == (True, Due.REQUEST)


def test_no_request_is_begun_while_output_waits() -> None:
    """No request begins while output waits: a client that does not read costs one answer."""
    connection = begun(GET + GET)
    assert connection.on_answered(True, True, 0.0) is Step.NOTHING
    assert wanted(connection, has_output=True) == (False, Due.SENT)
    assert connection.on_sent(0.0) is Step.SERVE


def test_a_client_may_send_while_output_waits() -> None:
    """While output waits, one more read of the client's data is taken."""
    connection = begun()
    connection.on_answered(True, True, 0.0)
    assert wanted(connection, has_output=True) == (True, Due.SENT)


def test_a_turn_has_a_share_of_requests() -> None:
    """Requests beyond a turn's share wait for the next turn, and reading stops until then."""
    connection = begun(GET + GET)
    assert connection.on_answered(True, False, 0.0) is Step.SERVE
    assert connection.put_off()
    assert wanted(connection) == (False, Due.HEAD)
    assert connection.on_sent(0.0) is Step.NOTHING
    assert connection.go_on(True, 0.0) is Step.NOTHING
    assert connection.go_on(False, 0.0) is Step.SERVE


def test_nothing_is_put_off_where_nothing_is_left() -> None:
    """Nothing is put off if no request is left, or if one is still unanswered."""
    assert not begun(GET + GET).put_off()
    connection = begun()
    connection.on_answered(True, False, 0.0)
    assert not connection.put_off()


# The end


def test_a_last_answer_closes() -> None:
    """If the client has sent nothing more, the connection closes at once, and nothing is lost."""
    assert begun().on_answered(False, False, 0.0) is Step.ABORT


def test_a_last_answer_is_sent_first() -> None:
    """The last answer is sent completely before the connection closes; reading stops meanwhile."""
    connection = begun()
    assert connection.on_answered(False, True, 0.0) is Step.NOTHING
    assert wanted(connection, has_output=True) == (False, Due.SENT)
    assert connection.on_sent(0.0) is Step.ABORT


@pytest.mark.parametrize("raw", [POST, POST + b"012", GET + GET])
def test_a_client_that_still_sends_gets_its_answer(raw: bytes) -> None:
    """With unread bytes the kernel would reset, so we shut down our side and discard them."""
    connection = begun(raw)
    assert connection.on_answered(False, False, 100.0) is Step.SHUT
    assert wanted(connection) == (True, Due.SILENCE)
    assert connection.receive(b"more", 100.0 + LINGER_MAX_S) is Step.NOTHING
    assert connection.receive(b"more", 100.1 + LINGER_MAX_S) is Step.ABORT


def test_a_client_that_was_silent_for_long_is_closed() -> None:
    """Lingering ends when the client is silent for long, or closes."""
    for end in (lambda c: c.on_due(Due.SILENCE), lambda c: c.receive_end(False)):
        connection = begun(POST)
        connection.on_answered(False, False, 0.0)
        assert end(connection) is Step.ABORT


@pytest.mark.parametrize("has_output", [False, True])
def test_half_closing_behind_a_request(has_output: bool) -> None:
    """A half-close looks like a close: the request is answered, then the connection closes.
    Until then nothing is read, since every read would only report the end again."""
    connection = begun()
    assert connection.receive_end(has_output) is Step.NOTHING
    assert connection.awaited_at_rest() is None
    assert wanted(connection, has_output=has_output)[0] is False
    assert wanted(connection) == (False, Due.HANGUP)
    assert connection.on_answered(True, True, 0.0) is Step.NOTHING
    assert wanted(connection, has_output=True) == (False, Due.SENT)
    assert connection.on_sent(0.0) is Step.ABORT


def test_requests_ahead_of_a_half_close() -> None:
    """All requests that came before a half-close are served, even before half a request."""
    for rest in (b"", b"GET /half"):
        connection = begun(GET + GET + rest)
        assert connection.receive_end(False) is Step.NOTHING
        assert connection.on_answered(True, False, 0.0) is Step.SERVE
        assert connection.next_head() is not None
        last = connection.on_answered(True, False, 0.0)
        if rest:
            assert last is Step.SERVE
            assert connection.next_head() is None
            assert connection.on_last(False, 0.0) is Step.SHUT
        else:
            assert last is Step.ABORT


def test_half_closing_in_the_middle_of_a_request() -> None:
    """A request cut short by a half-close is dropped; the client may still read pending answers."""
    assert begun(POST).receive_end(False) is Step.ABORT
    assert begun(POST).receive_end(True) is Step.ABORT
    assert fresh().receive_end(False) is Step.ABORT
    connection = begun()
    connection.on_answered(True, True, 0.0)
    assert connection.receive_end(True) is Step.NOTHING
    assert connection.phase is Phase.CLOSING
    assert connection.on_sent(0.0) is Step.ABORT


def test_a_client_that_takes_nothing_is_closed() -> None:
    """A client that takes nothing for too long, or is found to have left, is disconnected."""
    for due in (Due.SENT, Due.HANGUP):
        assert begun().on_due(due) is Step.ABORT


# WebSockets


def test_what_came_behind_a_handshake_is_the_links() -> None:
    """A client may send its first frame together with the handshake."""
    connection = begun(GET + b"frame")
    assert connection.on_linked() == b"frame"
    assert connection.receive(b"more", 0.0) is Step.CARRY
    assert wanted(connection, takes_data=True) == (True, Due.NOTHING)
    assert wanted(connection) == (False, Due.HANGUP)


def test_a_closing_link_has_some_time() -> None:
    """After our closing frame the client has limited time to answer it."""
    connection = begun()
    connection.on_linked()
    assert wanted(connection, takes_data=True, is_closing=True) == (True, Due.SILENCE)
    assert connection.on_last(False, 0.0) is Step.SHUT


# Any sequence of events


class Socket(RuleBasedStateMachine):
    """The owner of the socket, which does as it is told, with a client that does as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = fresh()
        self.has_output = False
        self.answers = 0
        self.requests = 0

    def do(self, step: Step) -> None:
        if step is Step.SERVE:
            assert not self.has_output
            try:
                while self.connection.phase is Phase.HEAD:
                    if self.connection.next_head() is None:
                        if self.connection.is_half_closed:
                            self.do(self.connection.on_last(False, 0.0))
                        return
                    self.requests += 1
            except ClientFault:
                self.requests += 1
        elif step is Step.REFUSE:
            self.requests += 1
        elif step is Step.ABORT:
            self.connection.end()

    @precondition(lambda self: self.connection.phase is Phase.CLOSED)
    @rule()
    def connect_again(self) -> None:
        self.connection = fresh()
        self.has_output = False
        self.requests = self.answers = 0

    @precondition(lambda self: self.connection.phase is not Phase.CLOSED)
    @rule(data=st.sampled_from([GET, POST, b"01234", GET[:9], GET[9:], b"\r\n", b"\0", GET + GET]))
    def receive(self, data: bytes) -> None:
        if self.connection.wanted(self.has_output, True, False)[0]:
            step = self.connection.receive(data, 0.0)
            if step is not Step.SERVE or not self.has_output:
                self.do(step)

    @precondition(lambda self: self.connection.wanted(self.has_output, True, False)[0])
    @rule()
    def receive_end(self) -> None:
        self.do(self.connection.receive_end(self.has_output))

    @precondition(lambda self: self.connection.phase is Phase.EXCHANGE)
    @rule()
    def read_body(self) -> None:
        try:
            self.connection.reader.read_body(3)
        except ClientFault:
            self.answer(False, False)

    @precondition(lambda self: self.connection.phase is Phase.EXCHANGE)
    @rule(keep_alive=st.booleans(), is_taken=st.booleans())
    def answer(self, keep_alive: bool, is_taken: bool) -> None:
        reader = self.connection.reader
        self.answers += 1
        self.has_output = self.has_output or not is_taken
        may_follow = keep_alive and reader.body_ended and not reader.is_broken
        self.do(self.connection.on_answered(may_follow, self.has_output, 0.0))

    @precondition(lambda self: self.has_output and self.connection.phase is not Phase.CLOSED)
    @rule()
    def sent(self) -> None:
        self.has_output = False
        self.do(self.connection.on_sent(0.0))

    @invariant()
    def rest_is_what_is_wanted_where_nothing_else_is(self) -> None:
        """The quick check agrees with the full one whenever it has an answer."""
        due = self.connection.awaited_at_rest()
        if due is not None:
            for takes_data in (False, True):
                assert self.connection.wanted(False, takes_data, False) == (True, due)

    @rule()
    def put_off(self) -> None:
        """The server has served its share; the next turn comes by itself."""
        self.connection.put_off()

    @precondition(lambda self: self.connection.has_more)
    @rule()
    def go_on(self) -> None:
        self.do(self.connection.go_on(self.has_output, 0.0))

    @precondition(lambda self: self.connection.phase is not Phase.CLOSED)
    @rule(takes_data=st.booleans())
    def time_passes(self, takes_data: bool) -> None:
        _, due = self.connection.wanted(self.has_output, takes_data, False)
        if due is not Due.NOTHING:
            self.do(self.connection.on_due(due))

    @invariant()
    def one_at_a_time(self) -> None:
        """A request begins only when the one before it is answered."""
        under_way = self.connection.phase is Phase.EXCHANGE
        if self.connection.phase is not Phase.CLOSED:
            assert self.requests - self.answers == under_way

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """A connection always waits for something: to read, to write, or for time to pass."""
        if self.connection.phase is not Phase.CLOSED:
            for takes_data in (False, True):
                reads, due = self.connection.wanted(self.has_output, takes_data, False)
                assert reads or due is not Due.NOTHING or self.connection.has_more
                assert (due is Due.SENT) is (
                    self.has_output and self.connection.phase is not Phase.LINGERING
                )


TestSocket = Socket.TestCase
TestSocket.settings = settings(stateful_step_count=20)
