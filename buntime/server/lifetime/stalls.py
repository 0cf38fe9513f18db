"""Reports slow turns of the loop, and ends a process whose loop no longer turns.

A thread checks the loop a few times a second. If a turn takes longer than SLOW_S, the thread notes
what the loop's thread is doing; when the turn is over, that goes to the log. If one turn takes the
whole time limit, the stacks of all threads go to the log and to stderr, and the process ends, as it
serves nobody, so that its supervisor starts another one.

Only time in which this thread itself ran counts, check by check, and no check counts for more than
a little. So neither a stopped process, nor a suspended machine, nor a debugger ends it. A loop that
waits for events is not stalled, however long it waits.

Code that computes in C while it holds the interpreter's lock, such as a regular expression, keeps
this thread from checking, too. So the kernel counts the process's processor time: when that alone
has reached the time limit without a check, a signal writes the stacks to stderr and ends the
process.
"""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from time import monotonic

from buntime.core.values.tally import Tally
from buntime.server.loop.loop import SLOW_S, Loop
from buntime.server.telemetry.logs import Log

STALLED_CODE = 70  # sysexits.h: internal software error
_LOOK_S = 0.1
_REST_S = 0.5  # between checks of a loop that does nothing
_TELL_S = 10.0  # between two log records of slow turns
_FRAMES_MAX = 30  # the innermost ones of a stack in the log
_STDERR = 2


class StallWatch:
    """Watches one loop, from `start` to `stop`, which are called on its thread."""

    def __init__(
        self, loop: Loop, log: Log, timeout_s: float, *, flush_log: Callable[[], object]
    ) -> None:
        """`timeout_s` is how long a turn may take; 0 for no limit."""
        self._loop = loop
        self._log = log
        self._timeout_s = timeout_s
        self._flush_log = flush_log
        self._slow = Tally(every_s=_TELL_S)
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stallwatch", daemon=True)
        self._watched = 0  # the loop's thread
        # of the turn checked last: when it began, what it did, how long it takes
        self._begun_s = 0.0
        self._turned_s = 0.0
        self._stack = ""
        self._stalled_s = 0.0

    def start(self) -> None:
        self._watched = threading.get_ident()
        self._loop.on_slow_turn = self._on_slow_turn
        if self._timeout_s:
            # The signal's own action is to end the process: it follows after the stacks.
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            faulthandler.register(signal.SIGPROF, _STDERR, all_threads=True, chain=True)
            signal.setitimer(signal.ITIMER_PROF, self._timeout_s)
        self._thread.start()

    def stop(self) -> None:
        self._is_ending.set()
        self._thread.join()
        self._loop.on_slow_turn = None
        if self._timeout_s:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            faulthandler.unregister(signal.SIGPROF)

    # On the loop's thread

    def _on_slow_turn(self, seconds: float, watchers: Iterable[str]) -> None:
        count = self._slow.add(self._loop.now)
        if not count:
            return
        is_seen = self._begun_s == self._loop.now and self._stack
        self._log.warn(
            "loop.slow_turn",
            "a turn of the event loop took long; all clients waited",
            seconds=round(seconds, 3),
            watchers=sorted(watchers),
            turns=count,
            **({"stack": self._stack} if is_seen else {}),
        )

    # On its own thread

    def _watch(self) -> None:
        looked_s = monotonic()
        pause_s = _LOOK_S
        while not self._is_ending.wait(pause_s):
            if self._timeout_s:
                signal.setitimer(signal.ITIMER_PROF, self._timeout_s)
            now = monotonic()
            # After a longer pause than asked for, nobody knows whether the loop could run.
            passed_s = min(now - looked_s, 2 * pause_s)
            looked_s = now
            is_resting = self._look(now, passed_s)
            pause_s = _REST_S if is_resting else _LOOK_S

    def _look(self, now: float, passed_s: float) -> bool:
        """Return whether the loop waits, and has not turned since the last check."""
        begun_s, turned_s = self._loop.turn_begun_s, self._loop.now
        is_resting = begun_s == 0.0 and turned_s == self._turned_s
        self._turned_s = turned_s
        if begun_s == 0.0 or begun_s != self._begun_s:
            self._begun_s, self._stack, self._stalled_s = begun_s, "", 0.0
            return is_resting
        self._stalled_s += passed_s
        if not self._stack and now - begun_s >= SLOW_S:
            self._stack = _stack_of(self._watched)
        if self._timeout_s and self._stalled_s >= self._timeout_s:
            self._end()
        return False

    def _end(self) -> None:
        faulthandler.dump_traceback(_STDERR, all_threads=True)
        stacks = {thread.name: _stack_of(thread.ident) for thread in threading.enumerate()}
        self._log.error(
            "loop.stalled",
            "the event loop has stopped turning; ending",
            seconds=round(self._stalled_s, 1),
            stack="\n".join(f"{name}:\n{stack}" for name, stack in stacks.items()),
        )
        self._flush_log()
        os._exit(STALLED_CODE)


def _stack_of(thread: int | None) -> str:
    """What a thread is doing now, the innermost call last; "" if it has ended."""
    import traceback  # loads the tokenizer, 2 ms

    frame = sys._current_frames().get(thread or 0)
    return "" if frame is None else "".join(traceback.format_stack(frame)[-_FRAMES_MAX:])
