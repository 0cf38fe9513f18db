"""Runs steps that each wait for something as if they were one function.

    def steps():                              # a generator
        found = yield in_thread(lambda: look())
        yield after(loop, 0.1)

The generator yields an `Ask`, which is started and gives its result later, on the loop's thread. If
the result is an exception, it is raised at that `yield`.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from buntime.server.loop.loop import Loop

Then = Callable[[Any], None]
Ask = Callable[[Then], None]
Steps = Generator[Ask, Any, None]


def in_thread(loop: Loop, work: Callable[[], object]) -> Ask:
    """For work that may block: runs `work` in a thread."""
    return lambda then: loop.run_blocking(work, then)


def after(loop: Loop, seconds: float) -> Ask:
    """Wait this long."""

    def ask(then: Then) -> None:
        loop.call_later(seconds, lambda: then(None))

    return ask


def holding(loop: Loop, lock: AbstractContextManager[None], steps: Steps) -> Steps:
    """The steps, with a lock held that is taken and given back in a thread."""
    with ExitStack() as held:  # has nothing left to do unless nobody resumes the steps
        yield in_thread(loop, lambda: held.enter_context(lock))
        try:
            yield from steps
        except Exception:
            yield in_thread(loop, held.close)
            raise
        yield in_thread(loop, held.close)


def run(steps: Steps) -> None:
    """Start the steps. What the generator does not catch is a bug, and is raised where its last
    result arrived."""
    _resume(steps, None)


def _resume(steps: Steps, result: Any) -> None:
    try:
        ask = steps.throw(result) if isinstance(result, BaseException) else steps.send(result)
    except StopIteration:
        return
    ask(lambda answer: _resume(steps, answer))


class Turns:
    """One turn at a time for each name, or a number of turns in all; others wait in line."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._taken: dict[str, int] = {}
        self._lines: dict[str, list[Then]] = {}

    def __repr__(self) -> str:
        return f"Turns({self._taken})"

    def take(self, name: str = "") -> Ask:
        """Wait for a turn; give it back with `leave`."""

        def ask(then: Then) -> None:
            if self._taken.get(name, 0) < self._at_once:
                self._taken[name] = self._taken.get(name, 0) + 1
                then(None)
            else:
                self._lines.setdefault(name, []).append(then)

        return ask

    def leave(self, name: str = "") -> None:
        """Give the turn to the next in line."""
        line = self._lines.get(name)
        if line:
            then = line.pop(0)
            if not line:
                del self._lines[name]
            then(None)
            return
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]
