"""Hooks of a plugin's own life: whatever happens to one, its waiter continues exactly once."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from buntime.core.telemetry.pluginmeters import HookMeter
from buntime.server.plugins.asker import LifeHook
from tests.support.fakes import FakeLoop, FakeSink, make_log


class Timer:
    def cancel(self) -> None:
        pass


class Worker:
    """A hook that was asked, and a loop whose only timer is the hook's."""

    def __init__(self) -> None:
        self.loop: Any = FakeLoop()
        self.loop.call_later = self._call_later
        self.asking = self
        self.given_up: list[str] = []
        self.sink = FakeSink()
        self.meter = HookMeter()
        self.ended = 0
        self.hook = LifeHook(
            self.loop, make_log(self.sink), self.meter, "on_shutdown", 5.0, self._end
        )
        self.hook.ask(cast(Any, self))

    def _end(self) -> None:
        self.ended += 1

    def _call_later(self, seconds: float, callback: Any) -> Timer:
        self.pass_time = callback
        return Timer()

    def ask(self, text: str, asker: Any) -> int:
        assert json.loads(f"{{{text}") == {"hook": "on_shutdown", "timeout_ms": 5000}
        return 7

    def give_up(self, number: int, reason: str) -> None:
        self.given_up.append(reason)

    @property
    def counted(self) -> dict[str, int]:
        both = {**self.meter.verdicts, **self.meter.failures}
        return {str(kind): n for kind, n in both.items() if n}


def test_it_is_done() -> None:
    """Success is not logged; the timeout that passes later changes nothing."""
    worker = Worker()
    worker.hook.on_verdict({"action": "done"}, b"")
    worker.pass_time()
    assert (worker.ended, worker.counted, worker.sink.records) == (1, {"done": 1}, [])


@pytest.mark.parametrize(
    ("what", "kind", "error"),
    [
        (
            lambda w: w.hook.on_verdict({"action": "failed", "error": "no"}, b""),
            "raised",
            "no",
        ),
        (lambda w: w.pass_time(), "late", "it took longer than 5 s"),
        (lambda w: w.hook.on_lost(), "died", None),
    ],
    ids=["raised", "late", "died"],
)
def test_it_fails(what: Any, kind: str, error: str | None) -> None:
    """After a failure the waiter continues too, and the log says why, except for a death, which is
    logged elsewhere."""
    worker = Worker()
    what(worker)
    assert (worker.ended, worker.counted) == (1, {kind: 1})
    assert [r.fields["error"] for r in worker.sink.records] == ([error] if error else [])


def test_garbage() -> None:
    """An unknown verdict breaks the protocol."""
    with pytest.raises(ValueError, match="neither done nor failed"):
        Worker().hook.on_verdict({"action": "continue"}, b"")


def test_late_and_then_answered() -> None:
    """An answer after the timeout changes nothing: the hook was given up, and ended once."""
    worker = Worker()
    worker.pass_time()
    worker.hook.on_verdict({"action": "done"}, b"")
    assert (worker.ended, worker.given_up, worker.counted) == (1, ["deadline"], {"late": 1})
