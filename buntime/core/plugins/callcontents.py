"""Checks what the two sides of a call send, and puts it into the form for the other side.

Neither side is trusted: each message must be one that a worker may send in this state of the call.
The runtime checks nothing else; whether arguments and results make sense is up to the receiver.

    provider's   RESULT                      ITEM
    AWAITED      whole, error ─> ENDED       -
                 large ─> PIECES
                 stream ─> STREAM
    PIECES       -                           the last piece, an error ─> ENDED
    STREAM       -                           end ─> ENDED
    ENDED        -                           -
"""

from typing import Any

from buntime.core.plugins.callwindow import STEP_BYTES
from buntime.core.pool import claims
from buntime.core.values.enums import Enum
from buntime.wire import CONTENT_MAX, MESSAGE_OVERHEAD, Message

# For each piece but the last: the receiver grants credit for each piece, so tiny ones would make an
# honest worker send just as many messages.
PIECE_LEAST_BYTES = STEP_BYTES

# Nesting of lists and objects. Each side's Python has its own limit, from about 900 on; one that
# cannot read what it is sent ends. Workers send up to 200, see `content.DEPTH_MAX` there.
DEPTH_MAX = 250
_CODE_MAX_CHARS = 64
_MESSAGE_MAX_CHARS = 8 * 1024


class Arguments:
    """The arguments of one call. Raises ValueError, as `take` does."""

    __slots__ = ("_left_bytes", "fields")

    def __init__(self, message: Message) -> None:
        self.fields: dict[str, Any]
        if "total" in message:
            self.fields = _sizes(message)
            self._left_bytes = message["total"]
            if message.get("size"):
                raise ValueError("a CALL with a payload that follows by ITEM")
        else:
            args, kwargs = message["args"], message["kwargs"]
            if type(args) is not list or type(kwargs) is not dict:
                raise ValueError("a CALL whose arguments are none")
            _check_depth([args, kwargs])
            self.fields = {"args": args, "kwargs": kwargs}
            self._left_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Take a piece of them."""
        self._left_bytes = _left(self._left_bytes, size_bytes)


class State(Enum):
    """How far the answer has come."""

    AWAITED = "awaited"
    PIECES = "pieces"
    STREAM = "stream"
    ENDED = "ended"


class Answer:
    """The answer to one call."""

    __slots__ = ("_left_bytes", "state")

    def __init__(self) -> None:
        self.state = State.AWAITED
        self._left_bytes = 0  # of the content that has begun

    def begin(self, message: Message, size_bytes: int) -> Message:
        """Take a RESULT. Raises KeyError or ValueError where it is not valid here."""
        if self.state is not State.AWAITED:
            raise ValueError("a second RESULT")
        if not claims.flag(message["ok"]):
            checked: Message = {"ok": False, "error": _error(message["error"])}
            self.state = State.ENDED
        elif claims.flag(message.get("stream", False)):
            checked = {"ok": True, "stream": True}
            self.state = State.STREAM
        elif "total" in message:
            checked = {"ok": True, **_sizes(message)}
            self._left_bytes = message["total"]
            self.state = State.PIECES
        else:
            _check_depth(message["value"])
            self.state = State.ENDED
            return {"ok": True, "value": message["value"]}
        if size_bytes:
            raise ValueError("a RESULT with a payload that has no place")
        return checked

    def go_on(self, message: Message, size_bytes: int) -> Message:
        """Take an ITEM. Raises KeyError or ValueError as `begin` does."""
        if self.state not in (State.PIECES, State.STREAM):
            raise ValueError("an ITEM before its RESULT")
        if claims.flag(message.get("end", False)):
            return self._end(message, size_bytes)
        begins = not self._left_bytes
        if begins:
            checked = _sizes(message)
            self._left_bytes = message["total"]
        elif "total" in message:
            raise ValueError("an ITEM in the midst of another")
        else:
            checked = {}
        self._left_bytes = _left(self._left_bytes, size_bytes)
        if self.state is State.PIECES and not self._left_bytes:
            self.state = State.ENDED
        return checked

    def _end(self, message: Message, size_bytes: int) -> Message:
        error = message.get("error")
        if size_bytes or (error is None and (self.state is State.PIECES or self._left_bytes)):
            raise ValueError("an ITEM that ends what has not come")
        self.state = State.ENDED
        return {"end": True} if error is None else {"end": True, "error": _error(error)}


def cost_of(size_bytes: int) -> int:
    """How much credit an ITEM costs."""
    return size_bytes + MESSAGE_OVERHEAD if size_bytes else 0


def _check_depth(value: Any) -> None:
    """Raises ValueError for a value that is nested too deeply for some worker."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for each in level if type(each) in (list, dict)
                 for inner in (each.values() if type(each) is dict else each)]  # fmt: skip
        if not level:
            return
    raise ValueError("a call whose content is nested too deeply")


def _left(left_bytes: int, size_bytes: int) -> int:
    """What remains of a content after a piece of it."""
    if not min(PIECE_LEAST_BYTES, left_bytes) <= size_bytes <= left_bytes or not size_bytes:
        raise ValueError(f"an ITEM of {size_bytes} bytes where {left_bytes} are left")
    return left_bytes - size_bytes


def _sizes(message: Message) -> Message:
    total = claims.whole(message["total"], 1, CONTENT_MAX)
    return {"text": claims.whole(message["text"], 1, total), "total": total}


def _error(error: Any) -> dict[str, str]:
    if type(error) is not dict:
        raise ValueError("an error that is not a code and message")
    code, message = claims.text(error["code"]), claims.text(error["message"])
    return {"code": code[:_CODE_MAX_CHARS], "message": message[:_MESSAGE_MAX_CHARS]}
