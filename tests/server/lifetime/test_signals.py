"""Signals are handled by the loop, not inside their handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from buntime.server.lifetime.signals import signals_on
from buntime.server.loop.loop import Loop

USED = (signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restores the handlers, so that nothing else is affected."""
    before = [(number, signal.getsignal(number)) for number in USED]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def loop() -> Iterator[Loop]:
    def fail(exc: BaseException) -> None:
        raise exc

    made = Loop(fail)
    yield made
    made.close()


def test_a_runtime_in_the_process_of_tests(loop: Loop) -> None:
    """A runtime leaves SIGTERM ignored; the next test checks what tests/conftest.py does about
    it."""
    with signals_on(loop, {signal.SIGTERM: loop.stop}):
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_leaves_no_signal_ignored_to_others() -> None:
    """A process that the next test starts can be terminated."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_loop_makes_the_calls(loop: Loop) -> None:
    """A signal wakes the loop, which makes this signal's call and no other."""
    called: list[str] = []

    def end() -> None:
        called.append("end")
        loop.stop()

    with signals_on(loop, {signal.SIGHUP: lambda: called.append("hup"), signal.SIGUSR1: end}):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert called == []
        loop.run()
    assert called == ["hup", "hup", "end"]


def test_late_signals_are_ignored(loop: Loop) -> None:
    """After a clean exit a late signal is ignored; the wake-up descriptor is restored."""
    with signals_on(loop, {signal.SIGUSR1: loop.stop}):
        pass
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    assert signal.set_wakeup_fd(-1) == -1
