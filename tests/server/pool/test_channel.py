"""Bytes to messages and messages to bytes, over a socketpair."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from buntime.server.loop.loop import Loop
from buntime.server.pool.channel import Channel
from buntime.wire import MAX_LINE, Decoder, Message, encode


class Listener:
    """Keeps the messages that arrive."""

    def __init__(self) -> None:
        self.got: list[tuple[Message, bytes]] = []
        self.closed: list[str] = []
        self.takes_s = 0.0  # for each message

    def on_channel_closed(self, why: str) -> None:
        self.closed.append(why)

    def on_channel_broken(self, why: str) -> None:
        self.closed.append(why)

    def on_note(self, message: Message, payload: bytes) -> None:
        if message.get("bad"):
            raise ValueError("it must not say so")
        self.got.append((message, payload))
        until = time.monotonic() + self.takes_s
        while time.monotonic() < until:
            pass


HANDLERS = {"NOTE": Listener.on_note}


class Ends:
    """Both ends of a channel."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.listener = Listener()
        self.channel = Channel(self.loop, ours, self.listener, HANDLERS)

    def say(self, data: bytes) -> None:
        self.theirs.sendall(data)
        self.loop.run_once(0.5)

    def hear(self) -> bytes:
        try:
            return self.theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.channel.abort()
        self.theirs.close()
        self.loop.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()
    assert made.errors == []


# Outgoing, before the turn ends


def test_a_line_is_sent_at_once_where_nothing_else_is(ends: Ends) -> None:
    """In a turn with one event it leaves at once, all that follows at the end of the turn.

    One event may stand for many: that of a crowd's selector does, and an answer may free many
    requests that wait.
    """
    ends.loop.is_quiet = True
    ends.channel.send_line(b"a\n")
    assert ends.hear() == b"a\n"
    ends.channel.send_line(b"b\n")
    ends.channel.send_line(b"c\n")
    assert ends.hear() == b""
    ends.loop.run_once(0)
    assert ends.hear() == b"b\nc\n"


def test_a_line_that_is_sent_at_once_overtakes_nothing(ends: Ends) -> None:
    """It follows what this turn has posted, and what the kernel did not take."""
    ends.loop.is_quiet = True
    ends.channel.post_line(b"a\n")
    ends.channel.send_line(b"b\n")
    assert ends.hear() == b""
    ends.loop.run_once(0)
    assert ends.hear() == b"a\nb\n"
    large = b"x" * (1 << 22)
    ends.channel.post_line(large)
    ends.loop.run_once(0)
    assert ends.channel.is_backed_up
    ends.loop.is_quiet = True
    ends.channel.send_line(b"c\n")
    got = b""
    while len(got) < len(large) + 2:
        got += ends.hear()
        ends.loop.run_once(0)
    assert got == large + b"c\n"


# Incoming


def test_a_message_is_handled_by_its_type(ends: Ends) -> None:
    """A message is handled, with its payload, once all of it is there."""
    ends.say(encode({"type": "NOTE", "n": 1}) + encode({"type": "NOTE", "size": 3}) + b"ab")
    assert ends.listener.got == [({"type": "NOTE", "n": 1}, b"")]
    ends.say(b"c")
    assert ends.listener.got[1] == ({"type": "NOTE", "size": 3}, b"abc")


def test_bytes_may_come_one_by_one(ends: Ends) -> None:
    """It does not matter where the kernel cuts the stream."""
    data = encode({"type": "NOTE", "size": 3}) + b"\n{}" + encode({"type": "NOTE"})
    for at in range(len(data)):
        ends.say(data[at : at + 1])
    assert [payload for _, payload in ends.listener.got] == [b"\n{}", b""]


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\n",
        b"[]\n",
        b'{"type":5}\n',
        b'{"type":"NOTE","size":-1}\n',
        b'{"type":"OTHER"}\n',
        b'{"type":"NOTE","bad":1}\n',
        b"\xff\xfe\n",
        b"x" * (MAX_LINE + 2),
    ],
    ids=["no JSON", "no object", "no type", "size", "unknown", "not allowed", "no UTF-8", "long"],
)
def test_garbage_closes_it(ends: Ends, garbage: bytes) -> None:
    """Invalid input closes the channel once, and nothing after it counts."""
    ends.theirs.setblocking(True)
    view = memoryview(garbage + b'\n{"type":"NOTE"}\n')
    while view and ends.channel.is_open:
        sent = ends.theirs.send(view[:65536])
        view = view[sent:]
        ends.loop.run_once(0.5)
    assert not ends.channel.is_open
    (why,) = ends.listener.closed
    assert why.startswith("it sent garbage")
    assert ends.listener.got == []


def test_messages_before_garbage_count(ends: Ends) -> None:
    """Messages before a protocol error still count."""
    ends.say(encode({"type": "NOTE"}) + b'{"type":"OTHER"}\n')
    assert len(ends.listener.got) == 1
    assert not ends.channel.is_open


def test_the_other_side_closes(ends: Ends) -> None:
    """The end of the other side is reported once."""
    ends.theirs.shutdown(socket.SHUT_WR)
    ends.loop.run_once(0.5)
    ends.loop.run_once(0.0)
    assert ends.listener.closed == ["it closed its channel"]


def test_drain_takes_what_was_sent_last(ends: Ends) -> None:
    """A process that has died may have answered just before."""
    for number in range(3):
        ends.theirs.sendall(encode({"type": "NOTE", "n": number}))
    ends.theirs.close()
    ends.channel.drain()
    assert [message["n"] for message, _ in ends.listener.got] == [0, 1, 2]
    assert not ends.channel.is_open
    ends.channel.drain()  # a second time does no harm


# Outgoing


def test_a_turn_takes_a_bounded_number_of_messages(ends: Ends) -> None:
    """A side that writes much at once does not hold up others; all of it arrives, in order."""
    ends.theirs.setblocking(True)
    sent = b"".join(encode({"type": "NOTE", "at": at}) for at in range(2000))
    ends.say(sent)
    assert 0 < len(ends.listener.got) < 1000
    for _ in range(20):
        ends.loop.run_once(0)
    assert [message["at"] for message, _ in ends.listener.got] == [*range(2000)]


def test_slow_messages_share_a_turn(ends: Ends) -> None:
    """A turn that has handled messages for 1 ms leaves the others to later turns, in order. At the
    worker's end all of them are delivered at once."""
    ends.theirs.setblocking(True)
    ends.listener.takes_s = 0.0004
    ends.say(b"".join(encode({"type": "NOTE", "at": at}) for at in range(100)))
    turns = [len(ends.listener.got)]
    for _ in range(3):
        ends.loop.run_once(0)
        turns.append(len(ends.listener.got) - sum(turns))
    assert [count for count in turns if count > 8] == []
    assert sum(turns) > 8
    ends.theirs.close()
    ends.channel.drain()
    assert [message["at"] for message, _ in ends.listener.got] == [*range(100)]


class Slowed(Listener):
    """Has the channel rest at each message that says so."""

    channel: Channel[Listener] | None = None

    def on_note(self, message: Message, payload: bytes) -> None:
        super().on_note(message, payload)
        if message.get("rest") and self.channel is not None:
            self.channel.rest(message["rest"])


SLOWED = {"NOTE": lambda listener, message, payload: listener.on_note(message, payload)}


@pytest.fixture
def slowed(ends: Ends) -> Slowed:
    """The listener of a channel that takes rests."""
    ends.channel.abort()
    ends.theirs.close()
    ours, ends.theirs = socket.socketpair()
    ours.setblocking(False)
    ends.theirs.setblocking(False)
    listener = Slowed()
    listener.channel = ends.channel = Channel(ends.loop, ours, listener, SLOWED)
    return listener


def note(number: int, **fields: object) -> bytes:
    return encode({"type": "NOTE", "number": number, **fields})


def numbers(listener: Listener) -> list[int]:
    return [message["number"] for message, _ in listener.got]


def test_a_rest(ends: Ends, slowed: Slowed) -> None:
    """A few more messages are taken, and then none; the loop sleeps, and what is sent leaves."""
    ends.say(b"".join(note(number, rest=30.0 if number == 3 else 0) for number in range(100)))
    assert numbers(slowed) == [*range(8)]
    ends.theirs.sendall(note(100))
    ends.channel.post({"type": "NOTE"})
    ends.loop.run_once(0)
    assert ends.hear() == encode({"type": "NOTE"})
    began = time.monotonic()
    ends.loop.run_once(0.02)
    assert time.monotonic() - began >= 0.02
    assert numbers(slowed) == [*range(8)]


def test_after_a_rest(ends: Ends, slowed: Slowed) -> None:
    """Nothing is lost, and the order stays."""
    ends.say(b"".join(note(number, rest=0.01) for number in range(40)))
    ends.theirs.sendall(note(40))
    while len(slowed.got) < 41:
        ends.loop.run_once(1.0)
    assert numbers(slowed) == [*range(41)]


def test_a_rest_with_a_backlog(ends: Ends, slowed: Slowed) -> None:
    """The channel goes on sending what the kernel did not take, and listens again later."""
    ends.channel.post_line(b"x" * (1 << 22))
    ends.say(note(0, rest=0.02))
    got = 0
    while got < 1 << 22:
        ends.loop.run_once(0)
        got += len(ends.hear())
    ends.theirs.sendall(note(1))
    while len(slowed.got) < 2:
        ends.loop.run_once(1.0)
    assert numbers(slowed) == [0, 1]


@pytest.mark.parametrize("is_drained", [False, True])
def test_a_channel_that_ends_in_a_rest(ends: Ends, slowed: Slowed, *, is_drained: bool) -> None:
    """What was sent before still counts if the process has died, and nothing comes later."""
    rests = [0.01, *[0] * 7, *[0.01] * 42]
    ends.say(b"".join(note(number, rest=rest) for number, rest in enumerate(rests)))
    taken = len(slowed.got)
    if is_drained:
        ends.channel.drain()
    else:
        ends.channel.abort()
    ended: list[bool] = []
    ends.loop.call_later(0.05, lambda: ended.append(True))
    while not ended:
        ends.loop.run_once(1.0)
    assert numbers(slowed) == [*range(50 if is_drained else taken)]


def test_drain_of_a_closed_channel(ends: Ends) -> None:
    """What had waited for a later turn when it was closed is gone, and nobody waits for it."""
    ends.theirs.setblocking(True)
    ends.listener.takes_s = 0.0004
    ends.say(b"".join(encode({"type": "NOTE", "at": at}) for at in range(100)))
    count = len(ends.listener.got)
    assert 0 < count < 100
    ends.channel.abort()
    ends.channel.drain()
    ends.loop.run_once(0)
    assert len(ends.listener.got) == count


def test_drain_takes_no_more_than_is_there(ends: Ends) -> None:
    """Another process that holds the other end and keeps writing holds up nobody."""
    ends.theirs.setblocking(True)
    begun, ended = threading.Event(), threading.Event()

    def write_on() -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                ends.theirs.sendall(encode({"type": "NOTE"}) * 100)
                begun.set()

    writer = threading.Thread(target=write_on)
    writer.start()
    assert begun.wait(10)
    ends.channel.drain()
    ended.set()
    writer.join()
    assert not ends.channel.is_open
    assert len(ends.listener.got) <= 1000


def test_drain_takes_a_bounded_number_of_messages(ends: Ends) -> None:
    """Of a full socket only so many are delivered that the loop is not held up."""
    ends.theirs.setblocking(False)
    sent, line = 0, encode({"type": "NOTE"})
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += ends.theirs.send(line * 100)
    assert sent > 3000 * len(line)
    ends.channel.drain()
    assert not ends.channel.is_open
    assert len(ends.listener.got) == 1000


def test_what_is_posted_in_a_turn_leaves_together(ends: Ends) -> None:
    """Nothing is sent before the end of the turn, and then everything in one go."""
    ends.channel.post({"type": "ONE"})
    ends.channel.post({"type": "TWO", "size": 2}, b"hi")
    assert ends.hear() == b""
    ends.loop.run_once(0.0)
    assert ends.hear() == b'{"type":"ONE"}\n{"type":"TWO","size":2}\nhi'


def test_what_the_kernel_does_not_take_waits(ends: Ends) -> None:
    """Everything arrives in order, however slowly the other side reads."""
    decoder = Decoder()
    heard: list[tuple[Message, bytes]] = []
    sizes = [60_000, 10, 60_000, 0, 60_000]
    for turn in range(20):
        for size in sizes:
            ends.channel.post({"type": "N", "turn": turn, "size": size}, b"x" * size)
        ends.loop.run_once(0.0)
    assert "0 bytes wait" not in repr(ends.channel)
    while len(heard) < 20 * len(sizes):
        heard += decoder.feed(ends.hear())
        ends.loop.run_once(0.0)
    assert [(m["turn"], len(p)) for m, p in heard] == [(t, s) for t in range(20) for s in sizes]
    assert repr(ends.channel) == "Channel(open, 0 bytes wait)"


@pytest.mark.parametrize("is_flushed_first", [False, True], ids=["by its event", "by a post"])
def test_who_waits_until_all_is_sent_is_called(ends: Ends, is_flushed_first: bool) -> None:
    """They are called once, whatever has had the rest sent: the socket's event, or another post."""
    called: list[str] = []
    while not ends.channel.is_backed_up:
        ends.channel.post({"type": "N", "size": 60_000}, b"x" * 60_000)
        ends.loop.run_once(0.0)
    ends.channel.call_when_sent(lambda: called.append("sent"))
    ends.loop.run_once(0.0)
    assert called == []
    while ends.channel.is_backed_up:
        ends.hear()
        if is_flushed_first:  # something else has posted before the loop has seen the event
            ends.channel.post({"type": "N"})
            ends.channel.flush()
        else:
            ends.loop.run_once(0.0)
    ends.loop.run_once(0.0)
    assert called == ["sent"]


def test_posting_to_a_closed_channel(ends: Ends) -> None:
    """Messages for a closed channel are dropped: the worker's process reports its death."""
    ends.channel.abort()
    ends.channel.post({"type": "N"})
    ends.loop.run_once(0.0)
    assert repr(ends.channel) == "Channel(closed, 0 bytes wait)"


def test_sending_to_a_side_that_has_gone(ends: Ends) -> None:
    """A broken pipe raises nothing: the end is read, or reported by the process."""
    ends.channel.post({"type": "N"})
    ends.theirs.close()
    ends.loop.run_once(0.0)
    ends.loop.run_once(0.0)
    assert ends.listener.closed == ["it closed its channel"]


def test_a_closed_channel_holds_nobody(ends: Ends) -> None:
    """A closed channel's listener is freed at once, not by the garbage collector."""
    gc.disable()
    try:
        listener = Listener()
        ours, theirs = socket.socketpair()
        channel = Channel(ends.loop, ours, listener, HANDLERS)
        freed = weakref.ref(listener)
        channel.abort()
        theirs.close()
        del listener
        assert freed() is None
    finally:
        gc.enable()
