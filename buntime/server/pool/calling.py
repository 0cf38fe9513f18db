"""The calls to services that one worker makes, and those that it is called for.

Calls that it makes have its own numbers, -1, -2 and so on; calls to it are numbered by the counter
of its requests. So the sign of an id says whose call a message belongs to.

The switchboard decides who is called, and what passes between the two; this finds the call that a
message belongs to, and counts messages that change nothing.
"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from buntime import wire
from buntime.core.plugins.callmemory import CallMemory
from buntime.core.plugins.code import HOOKS
from buntime.core.plugins.services import CALLS_MAX
from buntime.core.pool import claims
from buntime.core.pool.smalltalk import SmallTalk
from buntime.core.values.bucket import TokenBucket
from buntime.core.values.protocols import Protocol
from buntime.core.values.tuples import NamedTuple
from buntime.server.pool.channel import Channel, Handler

# Calls that are refused, and tags to forget: each takes as much of the loop's time as a useful
# message, and no request is needed for it. A plugin may have many tags to forget at once.
_FREE_PER_S = 5000.0
_FREE_AT_ONCE = 20_000.0
_REST_S = 0.01  # beyond that
NUMBER_MAX = 1 << 62  # far more than any worker has needed
_TAG_MAX_CHARS = 256
# bytes. What does not fit a payload goes by ITEM; the rest is room for names and an error's text.
_LINE_MAX = 2 * wire.MAX_PAYLOAD
# Answers to calls that a worker makes without reading, a flood: they take memory.
_UNREAD_MAX = 10_000


class Call(Protocol):
    """One call, between two workers. Raises KeyError or ValueError for messages that no worker
    sends; each grant returns whether it changed anything."""

    # Of who calls
    def on_argument(self, payload: bytes) -> None: ...
    def on_caller_grant(self, credit_bytes: int) -> bool: ...
    def on_cancel(self) -> None: ...
    def on_caller_lost(self) -> None: ...

    # Of who is called
    def on_result(self, message: wire.Message, payload: bytes) -> None: ...
    def on_item(self, message: wire.Message, payload: bytes) -> None: ...
    def on_provider_grant(self, credit_bytes: int) -> bool: ...
    def on_provider_leaving(self) -> None: ...
    def on_provider_lost(self) -> None: ...


class Switchboard(Protocol):
    """Connects callers and services."""

    memory: CallMemory

    def on_call(
        self, calling: "Calling", number: int, message: wire.Message, payload: bytes
    ) -> None:
        """A CALL; raises KeyError or ValueError for one that no worker sends."""

    def on_forget(self, plugin: str, tag: str) -> None:
        """A plugin drops verdicts with this tag."""

    def on_hook_failed(
        self, plugin: str, hook: str, why: str, stack: str, *, is_logged: bool
    ) -> None:
        """A hook of a plugin has failed that nobody waits for; `is_logged`: the log takes it."""


class Caller(NamedTuple):
    """The caller, and the services that its manifest uses."""

    name: str  # app:shop, plugin:audit
    uses: frozenset[str]
    plugin: str | None = None  # the name of a plugin


_NOBODY = Caller("nobody", frozenset())


class Calling:
    """The calls of one worker. `made` and `taken` are the calls under way, updated by the
    switchboard's calls; one in `taken` stays until the worker has ended it."""

    __slots__ = (
        "_board",
        "_count",
        "_covers",
        "_free",
        "_talk",
        "_unread",
        "_waiting_bytes",
        "caller",
        "channel",
        "made",
        "noticed",
        "taken",
    )

    def __init__(self, channel: Channel[Any], covers: Callable[[int], bool]) -> None:
        """`covers` says whether the worker may have so many bytes logged."""
        self.channel = channel
        self.noticed = 0  # the notices that it was sent
        self._covers = covers
        self.made: dict[int, Call] = {}
        self.taken: dict[int, Call] = {}
        self._count = 0  # of calls, ever
        self._talk = SmallTalk(0.0)
        self._free = TokenBucket(rate=_FREE_PER_S, burst=_FREE_AT_ONCE, now=0.0)
        self._unread = 0  # answers that wait for the kernel to take what was sent before
        self._waiting_bytes = 0  # that are counted, of what the kernel has not taken
        # once its app is known
        self._board: Switchboard | None = None
        self.caller = _NOBODY

    def __repr__(self) -> str:
        return f"Calling({self.caller.name}, {len(self.made)} made, {len(self.taken)} taken)"

    def connect(self, board: Switchboard | None, caller: Caller) -> None:
        """Its app is known, and with it the caller: no message from the worker changes that."""
        self._board, self.caller = board, caller

    # Called by the switchboard

    @property
    def may_make_more(self) -> bool:
        """Whether it reads the results of its calls: what it does not read takes up memory."""
        return self._unread < CALLS_MAX

    def take(self, number: int, call: Call, message: wire.Message, payload: bytes) -> None:
        """Call it; `number` is new to the channel. Raises ValueError as `line_of` does; then it was
        not called."""
        line = line_of({"type": wire.CALL, "id": number, **message}, payload)
        self.taken[number] = call
        self._count += 1
        self._post(line, payload)

    def post(self, number: int, message: wire.Message, payload: bytes = b"") -> None:
        """Send it a message about a call. Raises ValueError as `line_of` does."""
        line = line_of({**message, "id": number}, payload)
        if self.channel.is_backed_up and number < 0:
            self._unread += 1
        self._post(line, payload)

    @property
    def has_room(self) -> bool:
        """Whether it takes what is sent to it, or there is memory to let that wait."""
        board = self._board
        return not self.channel.is_backed_up or board is None or not board.memory.is_full

    # What the worker says

    def on_call(self, message: wire.Message, payload: bytes) -> None:
        number = claims.whole(message["id"], -NUMBER_MAX, -1)
        if number in self.made or self._board is None:
            raise ValueError("a CALL with the number of another, or before INIT")
        self._count += 1
        if not self.channel.is_backed_up:
            self._unread = 0
        elif self._unread > _UNREAD_MAX:
            raise ValueError("calls, and no reading of what they give")
        self._board.on_call(self, number, message, payload)
        if number not in self.made:  # it was refused
            self._take_free()

    def _take_free(self) -> None:
        """The worker says what needs no request: beyond a rate it is heard more seldom."""
        if not self._free.take(1, monotonic()):
            self.channel.rest(_REST_S)

    def on_result(self, message: wire.Message, payload: bytes) -> None:
        self.taken[claims.whole(message["id"], 1)].on_result(message, payload)

    def on_item(self, message: wire.Message, payload: bytes) -> None:
        number = claims.whole(message["id"], -NUMBER_MAX)
        call = (self.made if number < 0 else self.taken).get(number)
        if call is None:
            self._talk.put_up(self._count)
        elif number < 0:
            call.on_argument(payload)
        else:
            call.on_item(message, payload)

    def on_window(self, number: int, credit_bytes: int) -> bool:
        """False if it belongs to no call."""
        if number >= 0:
            call = self.taken.get(number)
            if call is None:
                return False
            is_news = call.on_provider_grant(credit_bytes)
        else:
            call = self.made.get(number)
            is_news = call is not None and call.on_caller_grant(credit_bytes)
        if not is_news:
            self._talk.put_up(self._count)
        return True

    def on_cancel(self, message: wire.Message) -> None:
        call = self.made.get(claims.whole(message["id"], -NUMBER_MAX, -1))
        if call is None:
            self._talk.put_up(self._count)
        else:
            call.on_cancel()

    def on_notice(self, message: wire.Message) -> None:
        plugin, board, kind = self.caller.plugin, self._board, message["notice"]
        if plugin is None or board is None:
            raise ValueError("a NOTICE of what is no plugin")
        if kind == "forget":
            tag = claims.text(message["tag"])
            if len(tag) > _TAG_MAX_CHARS:
                raise ValueError("a NOTICE with a tag that is too long")
            self._take_free()
            board.on_forget(plugin, tag)
        elif kind == "failed":
            hook = claims.text(message["hook"])
            if hook not in HOOKS:
                raise ValueError("a NOTICE of a hook that there is not")
            why, stack = claims.hook_failure(message)
            self._talk.put_up(self._count + self.noticed)  # each notice can fail once
            is_logged = self._covers(len(why) + len(stack))
            board.on_hook_failed(plugin, hook, why, stack, is_logged=is_logged)
        else:
            raise ValueError("a NOTICE that no plugin sends")

    # Its end

    def leave(self) -> None:
        """It was told to end: calls to it are finished, except for streams."""
        for call in tuple(self.taken.values()):
            call.on_provider_leaving()

    def lose(self) -> None:
        """It has ended."""
        self._on_sent()
        made, taken = self.made, self.taken
        self.made, self.taken = {}, {}
        for call in made.values():
            call.on_caller_lost()
        for call in taken.values():
            call.on_provider_lost()

    # What waits for it

    def _post(self, line: bytes, payload: bytes) -> None:
        channel, board = self.channel, self._board
        channel.post_line(line, payload)
        if channel.is_backed_up and board is not None:
            channel.call_when_sent(self._on_sent)
            waiting_bytes = channel.backlog_bytes + len(line) + len(payload)
            board.memory.change(waiting_bytes - self._waiting_bytes)
            self._waiting_bytes = waiting_bytes

    def _on_sent(self) -> None:
        if self._board is not None:
            self._board.memory.change(-self._waiting_bytes)
        self._waiting_bytes = 0


def line_of(message: wire.Message, payload: bytes = b"") -> bytes:
    """A message as a line that is not too long for any worker.

    Its content came as JSON, possibly too deep to write again, or with numbers that JSON does not
    have. Raises ValueError then.
    """
    if payload:
        message["size"] = len(payload)
    try:
        line = wire.encode(message)
    except RecursionError:
        raise ValueError("a call whose content is nested too deeply") from None
    if len(line) > _LINE_MAX:
        raise ValueError(f"a call with {len(line)} bytes in a line")
    return line


class HasCalling(Protocol):
    """A worker."""

    @property
    def calling(self) -> Calling: ...


def _on_call(worker: HasCalling, message: wire.Message, payload: bytes) -> None:
    worker.calling.on_call(message, payload)


def _on_result(worker: HasCalling, message: wire.Message, payload: bytes) -> None:
    worker.calling.on_result(message, payload)


def _on_item(worker: HasCalling, message: wire.Message, payload: bytes) -> None:
    worker.calling.on_item(message, payload)


def _on_cancel(worker: HasCalling, message: wire.Message, payload: bytes) -> None:
    worker.calling.on_cancel(message)


def _on_notice(worker: HasCalling, message: wire.Message, payload: bytes) -> None:
    worker.calling.on_notice(message)


HANDLERS: Mapping[str, Handler[Any]] = {
    wire.CALL: _on_call,
    wire.RESULT: _on_result,
    wire.ITEM: _on_item,
    wire.CANCEL: _on_cancel,
    wire.NOTICE: _on_notice,
}
