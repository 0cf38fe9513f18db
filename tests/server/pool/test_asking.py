"""What a plugin's worker is asked, and how it may answer."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from buntime.core.plugins.hookbody import HookBody
from buntime.server.pool.asking import Asking

ON_REQUEST = '"hook":"on_request"}'


class FakeChannel:
    def __init__(self) -> None:
        self.is_open = True
        self.is_backed_up = False
        self.posted: list[dict[str, Any]] = []

    def post(self, message: dict[str, Any], payload: bytes = b"") -> None:
        self.posted.append(message)

    def send_line(self, line: bytes) -> None:
        self.post_line(line)

    def post_line(self, line: bytes, payload: bytes = b"") -> None:
        self.post(json.loads(line), payload)


class FakeAsker:
    """Records what it receives."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_verdict(self, message: dict[str, Any], payload: bytes) -> None:
        self.told.append(message["action"])

    def on_piece(self, payload: bytes, *, end: bool) -> None:
        self.told.append((payload, end))

    def on_lost(self) -> None:
        self.told.append("lost")


@pytest.fixture
def asker() -> FakeAsker:
    return FakeAsker()


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def asking(channel: FakeChannel, asker: FakeAsker) -> Asking:
    asking = Asking(cast(Any, channel))
    asking.ask(7, ON_REQUEST, asker)
    return asking


def verdict(number: object = 7, action: str = "continue", **more: Any) -> dict[str, Any]:
    return {"type": "VERDICT", "id": number, "action": action, **more}


def test_a_question_has_one_verdict(asking: Asking, asker: FakeAsker) -> None:
    """A second verdict on one question breaks the protocol."""
    asking.take_verdict(verdict(), b"")
    assert asker.told == ["continue"]
    assert len(asking) == 0
    with pytest.raises(KeyError):
        asking.take_verdict(verdict(), b"")


@pytest.mark.parametrize("number", [8, "7", -7, True, 7.0, None, [7]])
def test_a_verdict_on_what_was_not_asked(asking: Asking, number: object) -> None:
    """A verdict without a question breaks the protocol, whatever its number."""
    with pytest.raises((KeyError, ValueError)):
        asking.take_verdict(verdict(number), b"")


def test_given_up(asking: Asking, asker: FakeAsker, channel: FakeChannel) -> None:
    """The worker is told once that its question was given up, and its verdict is dropped."""
    asking.give_up(7, "client")
    asking.give_up(7, "client")
    assert [each["type"] for each in channel.posted] == ["HOOK", "CANCEL"]
    asking.take_verdict(verdict(), b"")
    assert asker.told == []


def test_an_answer_by_pieces(asking: Asking, asker: FakeAsker) -> None:
    """The pieces go to whoever takes them, until the last."""
    asking.take_verdict(verdict(action="respond", end=False), b"")
    taker = FakeAsker()
    asking.go_on(7, taker)
    assert asking.take_piece(7, b"a", end=False)
    assert asking.take_piece(7, b"b", end=True)
    assert taker.told == [(b"a", False), (b"b", True)]
    with pytest.raises(KeyError):
        asking.take_piece(7, b"c", end=False)


def test_an_answer_that_breaks_off(asking: Asking) -> None:
    """A second verdict ends the answer, and nothing follows."""
    asking.take_verdict(verdict(action="respond", end=False), b"")
    taker = FakeAsker()
    asking.go_on(7, taker)
    asking.take_verdict(verdict(action="failed", error="boom", traceback=""), b"")
    assert taker.told == ["lost"]
    assert len(asking) == 0


def test_pieces_that_nobody_waits_for(asking: Asking) -> None:
    """Pieces of an answer that was given up are reported, so that they can be limited."""
    asking.take_verdict(verdict(action="respond", end=False), b"")
    asking.go_on(7, FakeAsker())
    asking.give_up(7, "client")
    assert not asking.take_piece(7, b"a", end=False)
    assert not asking.take_piece(7, b"", end=True)


def test_the_worker_ends(asking: Asking, asker: FakeAsker) -> None:
    """When the worker ends the asker is told, once."""
    asking.lose()
    asking.lose()
    assert asker.told == ["lost"]


def test_one_that_does_not_read(asking: Asking, channel: FakeChannel, asker: FakeAsker) -> None:
    """A worker that does not read is asked no more where questions would pile up; the asker hears
    why."""
    for number in range(8, 300):
        asking.ask(number, ON_REQUEST, asker)
        asking.give_up(number, "deadline")
    assert asking.why_not == ""
    channel.is_backed_up = True
    assert asking.why_not.startswith("it has 293 unanswered questions")
    channel.is_open = False
    assert asking.why_not == "its process has ended"


def test_one_that_never_answers(asking: Asking, asker: FakeAsker) -> None:
    """A worker that reads but never answers has a limit too."""
    for number in range(8, 10_007):
        asking.ask(number, ON_REQUEST, asker)
    assert asking.why_not


def test_one_that_is_stuck(asking: Asking, asker: FakeAsker) -> None:
    """A worker is stuck if many verdicts in a row are late over a long time; a single verdict in
    between shows that it is not."""
    for number in range(8, 50):
        asking.ask(number, ON_REQUEST, asker)
    assert not any(asking.on_late(number, 1.0, 0.0) for number in range(8, 28))
    assert not asking.on_late(28, 1.0, 9.9)
    asking.take_verdict(verdict(8, "failed"), b"")
    assert not asking.on_late(29, 1.0, 10.0)
    assert not any(asking.on_late(number, 1.0, 15.0) for number in range(30, 48))
    assert not asking.on_late(48, 1.0, 19.9)
    assert asking.on_late(49, 1.0, 20.0)


# A question's body


def put(asking: Asking, asker: FakeAsker, size: int) -> None:
    """Ask question 8, about a request with a body of this size."""
    content = b"x" * size
    body = HookBody(size, lambda start, end: content[start:end])
    asking.ask(8, ON_REQUEST, asker, body)


def sent(channel: FakeChannel) -> tuple[int, bool]:
    """How many bytes of the body were sent, and whether that was all."""
    of_it = [each for each in channel.posted if each["id"] == 8]
    return sum(each["size"] for each in of_it), of_it[-1]["end"]


def test_a_body_goes_with_its_question(
    asking: Asking, asker: FakeAsker, channel: FakeChannel
) -> None:
    """A small body is in the same message, and so is an empty one."""
    put(asking, asker, 5)
    assert [each["type"] for each in channel.posted[1:]] == ["HOOK"]
    assert sent(channel) == (5, True)
    put(asking, asker, 0)
    assert channel.posted[-1]["end"] is True


def test_a_body_goes_under_credit(asking: Asking, asker: FakeAsker, channel: FakeChannel) -> None:
    """A window's worth of the body is sent first, then as much as is granted."""
    put(asking, asker, 300_000)
    assert sent(channel) == (131_072, False)
    assert asking.take_credit(8, 1000)
    assert sent(channel) == (132_072, False)
    assert asking.take_credit(8, 1 << 40)
    assert sent(channel) == (300_000, True)
    assert not asking.take_credit(8, 1000)
    assert not asking.take_credit(7, 1000)


def test_a_worker_waits_for_more_of_a_body(asking: Asking, asker: FakeAsker) -> None:
    """The worker may report once per state of the body that it waits for more."""
    put(asking, asker, 300_000)
    assert asking.take_waits(8, 131_072, 0)
    assert not asking.take_waits(8, 131_072, 0)
    assert not asking.take_waits(8, 300_000, 0)
    assert not asking.take_waits(7, 0, 0)


def test_a_worker_that_waits_grants_credit(
    asking: Asking, asker: FakeAsker, channel: FakeChannel
) -> None:
    """More of the body follows, and nothing where the report is no news."""
    put(asking, asker, 300_000)
    assert asking.take_waits(8, 131_072, 1000)
    assert sent(channel) == (132_072, False)
    assert not asking.take_waits(8, 131_072, 1000)
    assert sent(channel) == (132_072, False)


@pytest.mark.parametrize("end", ["verdict", "given up"])
def test_nobody_waits_for_the_rest_of_a_body(asking: Asking, asker: FakeAsker, end: str) -> None:
    """After the verdict, or when the client has left, nothing more of the body is sent."""
    put(asking, asker, 300_000)
    if end == "verdict":
        asking.take_verdict(verdict(8), b"")
    else:
        asking.give_up(8, "client")
    assert not asking.take_credit(8, 65_536)
