"""One call to a service, and the parts of `Calls` (calls.py) that others use."""

from __future__ import annotations

import _thread

from buntime.sdk.services import ServiceError
from buntime.wire import CALL_WINDOW
from buntime.worker.content import Assembly, cost_of, unpacked
from buntime.worker.followers import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from buntime.sdk.services import Request
    from buntime.wire import Message
    from buntime.worker.channel import Channel
    from buntime.worker.engine import Engine

    class Mailbox(Protocol):
        """The current reader of the channel."""

        def send(self, message: Message, payload: bytes | memoryview = b"", /) -> None: ...
        def wait(self, call: Call, seen: int, /) -> None: ...
        def tell(self, call: Call, /) -> None: ...

    class Home(Mailbox, Protocol):
        """The reader if no engine reads; it holds `reading`."""

        reading: _thread.LockType

        def begin_again(self) -> None: ...

    class Caller(Protocol):
        """The calls of this process; calls.py documents the methods."""

        channel: Channel
        mailbox: Mailbox
        unattended: Home

        def call(self, request: Request) -> Any: ...
        def begin(self) -> Call: ...
        def flow(self, call: Call, request: Request) -> Iterator[None]: ...
        def wait(self, call: Call, seen: int) -> None: ...
        def take_back(self, call: Call, cost: int) -> None: ...
        def cancel(self, call: Call) -> None: ...
        def abandon(self, call: Call) -> None: ...
        def take(self, head: Message, payload: bytes) -> bool: ...
        def attend(self, engine: Engine[Any], mailbox: Mailbox) -> None: ...
        def leave_unattended(self) -> None: ...
        def wake_all(self) -> None: ...
else:
    from _collections import deque


class Call(Job):
    """One call, until its end has come."""

    may_lead = True

    def __init__(self, number: int) -> None:
        self.id = number
        self.alarm = _thread.allocate_lock()  # released at news, for threads that wait
        self.alarm.acquire()
        self.waiters: list[Callable[[], None]] = []  # the same for tasks
        # the way out
        self.granted = CALL_WINDOW
        self.sent = 0
        # what came
        self.is_answered = False
        self.is_stream = False
        self.has_ended = False
        self.value: Any = None
        self.error: ServiceError | None = None
        self.items: deque[tuple[Any, int]] = deque()  # with the credit to return
        self.unreturned = 0
        # credit for what comes; no counter is written by both sides
        self.came = 0
        self.given_at_once = 0
        self.given = 0  # by the consumer of the items
        self._assembly: Assembly | None = None

    def on_result(self, head: Message, payload: bytes) -> None:
        """Take a RESULT."""
        if not head["ok"]:
            self.fail(ServiceError(head["error"]["code"], head["error"]["message"]))
        elif head.get("stream"):
            self.is_stream = self.is_answered = True
        elif "total" in head:
            self._assembly = Assembly(head)
        else:
            self.value = unpacked(head["value"], payload)
            self.is_answered = self.has_ended = True

    def on_item(self, head: Message, payload: bytes) -> int:
        """Take an ITEM; returns how much credit to return at once."""
        if "total" in head:
            self._assembly = Assembly(head)
        cost = cost_of(payload)
        self.came += cost
        if self.came > CALL_WINDOW + self.given_at_once + self.given:
            raise ValueError("more than its credit")
        if payload and self._assembly is not None:
            if not self._assembly.add(payload):
                self.given_at_once += cost
                return cost
            value, self._assembly = self._assembly.value(), None
            if self.is_stream:
                self.items.append((value, cost))
            else:
                self.value = value
                self.is_answered = self.has_ended = True
        if head.get("end"):
            error = head.get("error")
            if error is not None:
                self.fail(ServiceError(error["code"], error["message"]))
            self.has_ended = True
        return 0

    def fail(self, error: ServiceError) -> None:
        """End it, after what came before."""
        self.error = error
        self.is_answered = self.has_ended = True

    def result(self) -> Any:
        """Return what came, or raise it."""
        if self.error is not None and not self.is_stream:
            raise self.error
        return self.value

    def next_item(self) -> tuple[Any, int] | None:
        """Take an item; None if there is none yet. Raises StopIteration or ServiceError."""
        if self.items:
            return self.items.popleft()
        if not self.has_ended:
            return None
        raise self.error or StopIteration


def ring(call: Call) -> None:
    """Wake waiting threads and tasks."""
    for wake in call.waiters:
        wake()
    if call.alarm.locked():
        try:
            call.alarm.release()
        except RuntimeError:  # another thread was quicker
            return
