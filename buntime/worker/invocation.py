"""A CALL to a service of this plugin, for both engines: an exchange of arguments and results.

    CALL, ITEM -> arguments -> the method -> what it returns -> RESULT, ITEM

The credit of the results is that of a response's body (`Exchange._granted`).
"""

from __future__ import annotations

from time import monotonic

from buntime.sdk.request import ClientGone
from buntime.sdk.services import CALLER, DEADLINE_S, WAITER, ServiceError
from buntime.wire import ITEM, RESULT, WINDOW
from buntime.worker.content import Assembly, Parcel, cost_of, unpacked
from buntime.worker.exchange import ENDED, SENT, Exchange
from buntime.worker.report import MAX_MESSAGE, complain, describe, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.plugin import Function, Plugin


class Invocation(Exchange):
    """One CALL, until the last of its results is sent."""

    def prepare(self, message: Message, payload: bytes, plugin: Plugin) -> None:
        """Start with its first message."""
        self.message = message
        self._plugin = plugin
        self._arguments: Any = None
        self._assembly: Assembly | None = None
        self._garbage: ValueError | None = None
        try:
            if "total" in message:
                self._assembly = Assembly(message)
            else:
                self._arguments = unpacked([message["args"], message["kwargs"]], payload)
        except (ValueError, KeyError) as exc:
            self._garbage = ValueError(f"the arguments cannot be read: {exc}")

    def on_item(self, payload: bytes) -> None:
        """Take a piece of the arguments, and give credit for more."""
        if self._assembly is None:
            return
        try:
            if self._assembly.add(payload):
                contents = self._assembly.value()
                self._arguments, self._assembly = [contents["args"], contents["kwargs"]], None
                return
        except (ValueError, KeyError, TypeError) as exc:
            self._garbage = ValueError(f"the arguments cannot be read: {exc}")
            return
        credit = {"type": WINDOW, "id": self.id, "credit": cost_of(payload)}
        self._send_message(credit, b"")

    def arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return the arguments, None while some are missing. Raises an error if they are wrong."""
        if self.gone:
            raise self.departure()
        if self._garbage is not None:
            raise self._garbage
        if self._arguments is None:
            return None
        args, kwargs = self._arguments
        return args, kwargs

    def method(self) -> Function:
        """Find the method, and set its caller and deadline. Raises ServiceError."""
        service, name = self.message["service"], self.message["method"]
        method = self._plugin.services.get(service, {}).get(name)
        if method is None:
            raise ServiceError("unknown", f"the service {service} has no method {name}")
        CALLER.set(self.message.get("caller"))
        WAITER.set(self)
        timeout_ms = self.message.get("timeout_ms")
        if timeout_ms:
            DEADLINE_S.set(monotonic() + timeout_ms / 1000)
        return method

    # The way out; generators yield where they must wait for credit.

    def flow_result(self, value: Any) -> Iterator[None]:
        """Send what the method has returned."""
        parcel = Parcel(value)
        message: Message = {"type": RESULT, "id": self.id, "ok": True}
        payload = parcel.put_into(message, {"value": parcel.packed})
        self._send_message(message, payload)
        self.stage = SENT
        if not parcel.fits():
            yield from self._flow_pieces(parcel, is_item=False)
        self._end()

    def begin_stream(self) -> None:
        """Announce that the method yields."""
        self._send_message({"type": RESULT, "id": self.id, "ok": True, "stream": True}, b"")
        self.stage = SENT

    def flow_item(self, value: Any) -> Iterator[None]:
        """Send what the method has yielded."""
        yield from self._flow_pieces(Parcel(value), is_item=True)

    def end_stream(self) -> None:
        """Announce the end."""
        self._send_message({"type": ITEM, "id": self.id, "end": True}, b"")
        self._end()

    def _flow_pieces(self, parcel: Parcel, *, is_item: bool) -> Iterator[None]:
        for message, piece in parcel.pieces(self.id, is_item=is_item):
            while not self.gone and self._sent + cost_of(piece) > self._granted:
                yield
            if self.gone:
                raise self.departure()
            self._sent += cost_of(piece)
            self._send_message(message, piece)

    def fail(self, exc: BaseException) -> None:
        """End it with an error; details that the caller must not know go to stderr."""
        if self.stage is ENDED:
            complain(f"{self.head['target']}, after its result:", exc)
            return
        if isinstance(exc, ServiceError):
            error = {"code": _code_of(exc), "message": text_of(exc)[:MAX_MESSAGE]}
        elif isinstance(exc, ClientGone):
            error = {"code": "late", "message": "nobody waits for this call any more"}
        else:
            complain(f"{self.head['target']} failed", exc)
            error = {"code": "failed", "message": describe(exc)[0]}
        message: Message = {"type": RESULT, "id": self.id, "ok": False, "error": error}
        if self.stage is SENT:
            message = {"type": ITEM, "id": self.id, "end": True, "error": error}
        self._send_message(message, b"")
        self._end()


def _code_of(exc: ServiceError) -> str:
    try:
        return str(exc.code)
    except Exception:  # noqa: BLE001  # a class of the plugin's own
        return "failed"


def head_of(message: Message) -> Message:
    """Return what an exchange needs to know about a CALL."""
    target = f"{message['service']}.{message['method']}"
    return {"id": message["id"], "method": "CALL", "target": target, "end": True}


def refusal(message: Message, code: str, text: str) -> Message:
    """Return the RESULT for a CALL that is not started at all."""
    error = {"code": code, "message": text}
    return {"type": RESULT, "id": message["id"], "ok": False, "error": error}
