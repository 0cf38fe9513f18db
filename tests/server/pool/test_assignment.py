"""What an exchange reports to its assignment goes to the worker, and to the assignment's holder."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.pool.assignment import AssignmentError, Event, State
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.assignment import Assignment
from buntime.wire import Message
from tests.support.exchanges import FakeClient

GET = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Side:
    """The worker and its channel: what they were told."""

    def __init__(self) -> None:
        self.posted: list[tuple[Message, bytes]] = []
        self.told: list[str] = []

    def post(self, message: Message, payload: bytes = b"") -> None:
        self.posted.append((message, payload))

    def on_stalled(self, assignment: Assignment, *, is_stalled: bool) -> None:
        self.told.append("stalled" if is_stalled else "goes on")

    def on_let_go(self, assignment: Assignment) -> None:
        self.told.append("let go")

    def on_deadline(self, assignment: Assignment) -> None:
        self.told.append("deadline")


@pytest.fixture
def side() -> Side:
    return Side()


@pytest.fixture
def assignment(side: Side) -> Assignment:
    exchange = FakeClient().request(GET)
    made = Assignment(side, side, 7, exchange)
    exchange.hand_over(made, 30.0)
    return made


def link(exchange: Exchange, code: int, reason: str) -> None:
    exchange.link = cast(Any, SimpleNamespace(code=code, reason=reason))


def test_pieces_of_bodies(assignment: Assignment, side: Side) -> None:
    """Each piece of a body is a message with the request's number."""
    assignment.on_body(b"abc", False)
    assignment.on_message("text", b"hi", True)
    assignment.on_taken(4096)
    assert side.posted == [
        ({"type": "BODY", "id": 7, "size": 3, "end": False}, b"abc"),
        ({"type": "MESSAGE", "id": 7, "kind": "text", "size": 2, "end": True}, b"hi"),
        ({"type": "WINDOW", "id": 7, "credit": 4096}, b""),
    ]


@pytest.mark.parametrize(
    "goes_on",
    [
        lambda it: it.on_taken(4096),
        lambda it: it.on_body(b"x", False),
        lambda it: it.exchange.detach("client"),
    ],
    ids=["taken", "body", "detached"],
)
def test_waiting_for_a_client(
    assignment: Assignment, side: Side, goes_on: Callable[[Assignment], None]
) -> None:
    """The holder is told once that the client stalls, and once that it no longer does, whatever
    ends it."""
    assignment.on_stalled()
    assignment.on_stalled()
    assert side.told == ["stalled"]
    goes_on(assignment)
    assert side.told[:2] == ["stalled", "goes on"]


def test_letting_go(assignment: Assignment, side: Side) -> None:
    """The worker is told once why nobody waits, and the holder that the worker was told."""
    assignment.exchange.detach("client")
    assert assignment.state is State.DETACHED
    assert side.posted == [({"type": "CANCEL", "id": 7, "reason": "client"}, b"")]
    assert side.told == ["let go"]
    assert repr(assignment).startswith("Assignment(7, DETACHED, Exchange(")


def test_letting_go_of_a_websocket(assignment: Assignment, side: Side) -> None:
    """The WebSocket is closed in both directions, with the code and reason that its link knows."""
    link(assignment.exchange, 1001, "bye")
    assignment.on_last_message()
    assignment.let_go("closed")
    told = {"type": "CLOSE", "id": 7, "code": 1001, "reason": "bye"}
    assert [message for message, _ in side.posted] == [
        {**told, "end": False},
        {**told, "end": True},
    ]


def test_a_deadline_is_for_who_holds_it(assignment: Assignment, side: Side) -> None:
    """At a deadline the holder logs, answers and cancels; the assignment itself stays live until
    then."""
    assignment.on_deadline()
    assert (side.told, side.posted, assignment.state) == (["deadline"], [], State.LIVE)


def test_what_is_closed_stays_so(assignment: Assignment) -> None:
    """A second end of a request is a bug, and raises."""
    assignment.step(Event.CLOSE)
    with pytest.raises(AssignmentError, match="CLOSED met CLOSE"):
        assignment.step(Event.CLOSE)
