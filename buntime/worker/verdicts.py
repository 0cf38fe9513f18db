"""A HOOK and its VERDICT, for both engines: an exchange whose answer need not be a response.

    HOOK -> Question -> arguments -> the hook -> what it returns -> VERDICT

If it is a response, it is sent like any other, in pieces and by credit, but with another type.
"""

from __future__ import annotations

from time import monotonic

from buntime.sdk.fields import Headers
from buntime.sdk.hookrequest import AsyncHookRequest, HookRequest, ResponseHead
from buntime.sdk.request import Response
from buntime.sdk.services import DEADLINE_S
from buntime.sdk.verdict import Continue
from buntime.wire import ERROR, NOTICE, RESPONSE, VERDICT
from buntime.worker.plugin import LIFE, NOTICES
from buntime.worker.report import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.exchange import Exchange, Send
    from buntime.worker.plugin import Function, Plugin


class Question:
    """What a HOOK asks: which hook, with which arguments, and how its result is used."""

    def __init__(self, message: Message, plugin: Plugin) -> None:
        self.name: str = message["hook"]
        self.hook = None if self.name in NOTICES else plugin.hooks.get(self.name)
        self._request: Message = message.get("request") or {}
        if "shared" in message:
            self._request = {**message["shared"], **self._request}
        self._response: Message | None = message.get("response")
        self._seen: ResponseHead | None = None  # what the hook gets and may change
        self._headers_before: list[tuple[str, str]] = []  # its headers before the hook
        self._plugin = plugin
        self._timeout_ms = message.get("timeout_ms")

    def head(self, message: Message) -> Message:
        """Return what an exchange needs to know about it."""
        return {
            "id": message["id"],
            "method": self._request.get("method", ""),
            "target": f"{self._request.get('path', '')} ({self.name})",
            "end": message.get("end", True),
        }

    def arguments(self, body: bytes, waiter: Exchange) -> tuple[Any, ...]:
        """Make the arguments of the hook; its time starts now."""
        if self._timeout_ms:
            DEADLINE_S.set(monotonic() + self._timeout_ms / 1000)
        if self.name in LIFE or self.hook is None:
            if self.name == "on_shutdown":
                self._plugin.has_shut_down = True
            return ()
        kind = AsyncHookRequest if self.hook.needs_loop else HookRequest
        has_body = self._plugin.sees_bodies and self._response is None
        request = kind(self._request, body if has_body else None)
        request._are_checked = True
        request._waiter = waiter
        if self._response is None:
            return (request,)
        # Those of the runtime's own answers may have names in any case.
        self._headers_before = [(name.lower(), value) for name, value in self._response["headers"]]
        self._seen = ResponseHead(self._response["status"], Headers.trusted(self._headers_before))
        return request, self._seen

    def is_pass(self, result: Any) -> bool:
        """Whether the verdict on this is the most frequent one: the request goes on, unchanged."""
        return result is None and self.name == "on_request"

    def verdict(self, result: Any) -> Message | Response:
        """Turn what the hook returned into a VERDICT, or return it if it is a Response.

        Raises TypeError or ValueError if it is neither.
        """
        if self.name in LIFE:
            return {"action": "done"}
        if isinstance(result, Response):
            return result
        if self.name == "on_response":
            return self._changes(result)
        if result is None:
            return {"action": "continue"}
        if isinstance(result, Continue):
            return {"action": "continue", **result.message}
        raise TypeError(
            f"{self.name} returned {_what(result)}; it must return None, a Response or a Continue"
        )

    def _changes(self, result: Any) -> Message:
        seen, before = self._seen, self._response
        assert seen is not None
        assert before is not None
        if result is not None and result is not seen:
            raise TypeError(
                f"{self.name} returned {_what(result)}; it must return None or a Response"
            )
        is_same = seen.status == before["status"]  # which may be 101, or what HTTP does not name
        if not is_same and (type(seen.status) is not int or not 200 <= seen.status <= 599):
            raise ValueError(f"the status of a response is 200 to 599, not {seen.status!r}")
        headers = seen.headers.items()
        if is_same and headers == self._headers_before:
            return {"action": "continue"}
        return {"action": "change", "status": seen.status, "headers": headers}


def hook_of(question: Question) -> Function:
    """Return the requested hook. Raises LookupError if the module does not have it.

    The hook of a notice does not count, because nobody asks it.
    """
    if question.hook is None:
        raise LookupError(f"this plugin has no hook {question.name!r}")
    return question.hook


def write_pass(number: int) -> bytes:
    """The VERDICT by which a request goes on, unchanged. Built by hand: most are like this."""
    return b'{"type":"VERDICT","id":%d,"action":"continue"}\n' % number


def as_verdicts(send: Send) -> Send:
    """Return a function that sends the messages of an exchange as those of a hook."""

    def send_verdict(message: Message, payload: bytes | memoryview) -> None:
        kind = message["type"]
        if kind == RESPONSE:
            message = {**message, "type": VERDICT, "action": "respond"}
        elif kind == ERROR:
            message = {
                "type": VERDICT,
                "id": message["id"],
                "action": "failed",
                "error": message["message"],
                "traceback": message["stack"],
            }
        send(message, payload)

    return send_verdict


def failure_of(name: str, exc: BaseException) -> Message:
    """Return the NOTICE for a hook that has failed, and that nobody waits for."""
    error, stack = describe(exc)
    return {"type": NOTICE, "notice": "failed", "hook": name, "error": error, "traceback": stack}


def _what(value: object) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
