"""Asks a worker for the stacks of its threads and tasks, and logs them: why did it take so long?

    on time        nothing is asked
    too late       first signal -> the worker's own handler answers, holding the GIL
    no answer      second signal -> faulthandler answers from C, also while the GIL is held there
    no answer      the log says so: the process is stopped, or in the kernel, or not started yet

`worker/stacks` explains this order. Until a worker has set its handlers it ignores both signals,
because it inherits that from the runtime (see `ignore_stacks_signals`).
"""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping

from buntime.server.loop.loop import READ, Loop, Timer
from buntime.server.telemetry.logs import Log
from buntime.wire import STACKS_END, STACKS_SIGNALS

_POLITE_S = 0.4  # for the first signal; a busy machine may need a while
_BLUNT_S = 0.2
_READ_BYTES = 64 * 1024
_PAUSE_S = 0.05  # between two reads of unrequested output: an app may write without end
_TEXT_MAX_BYTES = 128 * 1024  # as one record of the log
_NO_ANSWER = "no answer: the process is stopped, or in a system call, or was just started"

Fields = Mapping[str, object]


def ignore_stacks_signals() -> None:
    """Called in the runtime: a worker that has just been started inherits this, and survives
    them."""
    for number in STACKS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Stacks:
    """The stacks of one worker: the runtime's end of their pipe."""

    def __init__(self, loop: Loop, descriptor: int, send_signal: Callable[[int], None]) -> None:
        """Takes over `descriptor`, the reading end. `send_signal` is for the worker's process."""
        self._loop = loop
        self._descriptor = descriptor
        self._is_watched = True
        self._send_signal = send_signal
        self.last = ""  # what was told last
        # of the question that is open
        self._log: Log | None = None
        self._late: list[Fields] = []
        self._then: list[Callable[[str], None]] = []
        self._text = b""
        self._timer: Timer | None = None
        os.set_blocking(descriptor, False)
        loop.register(descriptor, READ, self)

    def ask(self, log: Log, late: Fields, then: Callable[[str], None] | None = None) -> None:
        """Log the stacks with the fields `late` of a request; `then` gets them afterwards.

        Requests that are late at the same time share one record, which has the fields of the first
        and the ids of the others.
        """
        self._late.append(late)
        if then is not None:
            self._then.append(then)
        if self._timer is None:
            self._log = log
            self._text = b""
            self._forget_unread()
            self._watch()
            self._send_signal(STACKS_SIGNALS[0])
            self._timer = self._loop.call_later(_POLITE_S, self._insist)

    def on_ready(self, events: int) -> None:
        if self._descriptor < 0 or not self._is_watched:
            return  # closed or paused earlier in this turn of the loop
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.abort()
        elif self._timer is None:  # an answer that came too late
            self._pause()
        else:
            self._text = (self._text + data)[:_TEXT_MAX_BYTES]
            if data.endswith(STACKS_END):
                self._tell()

    def abort(self) -> None:
        """The process is dead: log what it has reported, and close the pipe."""
        if self._descriptor < 0:
            return
        if self._is_watched:
            self._loop.unregister(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        if self._timer is not None:
            self._tell()

    def _pause(self) -> None:
        self._is_watched = False
        self._loop.unregister(self._descriptor)
        self._loop.call_later(_PAUSE_S, self._watch)

    def _watch(self) -> None:
        if self._descriptor >= 0 and not self._is_watched:
            self._is_watched = True
            self._loop.register(self._descriptor, READ, self)

    def _forget_unread(self) -> None:
        """What a paused pipe holds answers an earlier question, if any."""
        if self._descriptor >= 0 and not self._is_watched:
            with contextlib.suppress(BlockingIOError):
                os.read(self._descriptor, _READ_BYTES)

    def _insist(self) -> None:
        if not self._text:
            self._send_signal(STACKS_SIGNALS[1])
        self._timer = self._loop.call_later(_BLUNT_S, self._tell)

    def _tell(self) -> None:
        assert self._timer is not None
        assert self._log is not None
        self._timer.cancel()
        self._timer = None
        late, self._late = self._late, []
        then, self._then = self._then, []
        fields = dict(late[0])
        # An app that is late with loading belongs to no request.
        if others := [each["request_id"] for each in late[1:] if "request_id" in each]:
            fields["others"] = others
        stack = self._text.rstrip(STACKS_END).decode("utf-8", "replace").strip() or _NO_ANSWER
        self.last = stack
        self._log.warn(
            "worker.stacks", "stacks of a worker that took too long", **fields, stack=stack
        )
        for call in then:
            call(stack)
