"""Calls to services of plugins: CALL out, RESULT and ITEM in.

A call waits through a `Mailbox`, which is the current reader of the channel:

    import, on_init     Unattended: who waits reads, and keeps for the engine what is not its own
    while it serves     the engine's: of threads, see mailboxes.py, or of an event loop
    on_terminate, exit  Unattended again; what is not for a call is dropped

`Call.news` counts what came for it; a waiter that has seen less checks again. `on_…` methods run on
the reading thread, all others on the caller's.
"""

from __future__ import annotations

import posix  # for `os`, see main.py
from itertools import count
from time import monotonic

from buntime.sdk.services import DEADLINE_S, ServiceError
from buntime.wire import CALL, CALL_WINDOW, CANCEL, ITEM, NOTICE, RESULT, WINDOW
from buntime.worker.call import Call, ring
from buntime.worker.content import Parcel, cost_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator
    from typing import Any

    from buntime.sdk.services import AsyncCall, Request
    from buntime.wire import Message
    from buntime.worker.call import Home, Mailbox
    from buntime.worker.channel import Channel
    from buntime.worker.engine import Engine
else:
    from _collections import deque

RETURN_BYTES = CALL_WINDOW // 4  # consumed before they are granted again


class Calls:
    """The calls of this process that are under way."""

    mailbox: Mailbox
    unattended: Home

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.is_forked = False
        self._numbers = count(-1, -1)
        self._under_way: dict[int, Call] = {}
        self._abandoned: deque[int] = deque()
        posix.register_at_fork(after_in_child=self._note_fork)

    def _note_fork(self) -> None:
        self.is_forked = True

    # ---- for callers, see sdk/services.py

    def call(self, request: Request) -> Any:
        """Make a call and wait for its result."""
        call = self.begin()
        try:
            seen = call.news  # before each check, so that no news is missed between check and wait
            for _ in self.flow(call, request):
                self.wait(call, seen)
                seen = call.news
            while not call.is_answered:
                self.wait(call, seen)
                seen = call.news
        except BaseException:  # such as KeyboardInterrupt: nobody waits any more
            self.cancel(call)
            raise
        if call.is_stream:
            from buntime.worker.callstreams import Stream  # few calls give one

            return Stream(self, call)
        return call.result()

    def call_async(self, request: Request) -> AsyncCall:
        """Make a call that is awaited."""
        from buntime.worker.asynccalls import Awaited  # brings asyncio, 62 ms

        return Awaited(self, request)

    def forget(self, tag: str) -> None:
        """Drop verdicts with this tag."""
        self._check_process()
        self.mailbox.send({"type": NOTICE, "notice": "forget", "tag": tag})

    # ---- the steps of a call

    def begin(self) -> Call:
        """Register a call. Raises ServiceError if it cannot be made."""
        self._check_process()
        self._let_go()
        call = Call(next(self._numbers))
        self._under_way[call.id] = call
        return call

    def flow(self, call: Call, request: Request) -> Iterator[None]:
        """Send it, as credit allows; yields where news must be waited for."""
        try:
            message = self._head_of(call, request)
            contents = {"args": list(request.args), "kwargs": request.kwargs}
            parcel = Parcel(contents)
        except BaseException:
            self._under_way.pop(call.id, None)
            raise
        payload = parcel.put_into(message, parcel.packed)
        self.mailbox.send(message, payload)
        if parcel.fits():
            return
        for item, piece in parcel.pieces(call.id, is_item=False):
            while call.sent + cost_of(piece) > call.granted and not call.is_answered:
                yield
            if call.is_answered:  # it was refused: nobody needs the rest
                return
            call.sent += cost_of(piece)
            self.mailbox.send(item, piece)

    def _head_of(self, call: Call, request: Request) -> Message:
        message: Message = {
            "type": CALL,
            "id": call.id,
            "service": request.service,
            "method": request.method,
        }
        deadline_s = DEADLINE_S.get()
        timeout_s = request.timeout_s
        if deadline_s is not None:
            left_s = deadline_s - monotonic()
            timeout_s = left_s if timeout_s is None else min(left_s, timeout_s)
        if timeout_s is not None:
            if timeout_s <= 0:
                raise ServiceError("late", "the caller's time ran out before the call")
            message["timeout_ms"] = max(1, round(timeout_s * 1000))
        return message

    def wait(self, call: Call, seen: int) -> None:
        """Block until there may be more news of a call than `seen`."""
        self._check_process()
        self.mailbox.wait(call, seen)

    def take_back(self, call: Call, cost: int) -> None:
        """Give credit for what was taken from a stream."""
        call.unreturned += cost
        if call.unreturned >= RETURN_BYTES and not call.has_ended:
            credit, call.unreturned = call.unreturned, 0
            call.given += credit
            self._grant(call, credit)

    def _grant(self, call: Call, credit: int) -> None:
        self.mailbox.send({"type": WINDOW, "id": call.id, "credit": credit})

    def cancel(self, call: Call) -> None:
        """Announce that nobody waits for a call any more."""
        if self._under_way.pop(call.id, None) is not None and not self.is_forked:
            self.mailbox.send({"type": CANCEL, "id": call.id, "reason": "caller"})

    def abandon(self, call: Call) -> None:
        """Do so soon: for finalizers, which may run while a message is being sent."""
        if not call.has_ended:
            self._abandoned.append(call.id)

    def _let_go(self) -> None:
        while self._abandoned:
            call = self._under_way.get(self._abandoned.popleft())
            if call is not None:
                self.cancel(call)

    def _check_process(self) -> None:
        if self.is_forked:
            raise ServiceError("forked", "a forked child cannot call services; its parent can")

    # ---- for the reader

    def take(self, head: Message, payload: bytes) -> bool:
        """Carry out a message, if it is for a call."""
        kind = head["type"]
        if kind not in (RESULT, ITEM, WINDOW) or head["id"] >= 0:
            return False
        if self._abandoned:
            self._let_go()
        call = self._under_way.get(head["id"])
        if call is not None:  # else it was given up
            self._carry_out(kind, call, head, payload)
            if call.has_ended:
                self._under_way.pop(call.id, None)
            self.mailbox.tell(call)
        return True

    def _carry_out(self, kind: str, call: Call, head: Message, payload: bytes) -> None:
        try:
            if kind == RESULT:
                call.on_result(head, payload)
            elif kind == WINDOW:
                call.granted += head["credit"]
            else:
                cost = call.on_item(head, payload)
                if cost:
                    self._grant(call, cost)
        except (ValueError, KeyError, TypeError) as exc:
            self.cancel(call)
            call.fail(ServiceError("failed", f"the answer cannot be read: {exc}"))

    def attend(self, engine: Engine[Any], mailbox: Mailbox) -> None:
        """From now on let an engine read, and pass on messages for calls."""
        for kind in (RESULT, ITEM, WINDOW):
            others = engine.dispatch.get(kind)

            def carry_out(
                head: Message,
                payload: bytes,
                others: Callable[[Message, bytes], None] | None = others,
            ) -> None:
                if not self.take(head, payload) and others is not None:
                    others(head, payload)

            engine.dispatch[kind] = carry_out
        self.mailbox = mailbox

    def leave_unattended(self) -> None:
        """The engine has stopped reading."""
        self.mailbox = self.unattended
        self.unattended.begin_again()
        self.wake_all()

    def wake_all(self) -> None:
        """Make all waiters check who reads now: one of them may have to."""
        for call in [*self._under_way.values()]:
            ring(call)
