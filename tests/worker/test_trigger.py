"""What wakes the thread that watches, without the channel's other readers noticing."""

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

if sys.platform != "linux":
    pytest.skip("epoll is of Linux", allow_module_level=True)

from buntime.worker.trigger import Trigger

SOON_S = 10.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def trigger(ends: tuple[socket.socket, socket.socket]) -> Iterator[Trigger]:
    trigger = Trigger(ends[0].fileno())
    yield trigger
    trigger.close()


def waits(trigger: Trigger, seconds: float) -> bool:
    """Whether a wait does not return by itself; it is ended by a pull then."""
    thread = threading.Thread(target=trigger.wait)
    thread.start()
    thread.join(seconds)
    waited = thread.is_alive()
    if waited:
        trigger.pull()
        thread.join(SOON_S)
    assert not thread.is_alive()
    return waited


def test_what_comes_fires_once(trigger: Trigger, ends: tuple[socket.socket, socket.socket]) -> None:
    """It fires for what comes while it is set, or was there already, and then not again."""
    ours, theirs = ends
    for is_there in False, True:
        if is_there:
            theirs.sendall(b"x")
        trigger.set()
        if not is_there:
            theirs.sendall(b"x")
        assert not waits(trigger, SOON_S)
        assert waits(trigger, 0.02)
        assert ours.recv(10) == b"x"


def test_unset(trigger: Trigger, ends: tuple[socket.socket, socket.socket]) -> None:
    """Nothing that comes fires it while it is not set."""
    ends[1].sendall(b"x")
    assert waits(trigger, 0.02)
    trigger.set()
    trigger.unset()
    assert waits(trigger, 0.02)


def test_a_closed_channel_fires_once(
    trigger: Trigger, ends: tuple[socket.socket, socket.socket]
) -> None:
    """Even when it is not set, but not over and over."""
    ends[1].close()
    assert not waits(trigger, SOON_S)
    assert waits(trigger, 0.02)


def test_pulled_before_anybody_waits(trigger: Trigger) -> None:
    """The next thread that waits returns at once, and the one after it waits."""
    trigger.pull()
    assert not waits(trigger, SOON_S)
    assert waits(trigger, 0.02)
