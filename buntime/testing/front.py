"""What the runtime does with a request on its way to an app: the same code, without a server.

bytes of a head -> core/http1/head -> the steps before a worker -> REQUEST
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from buntime.core.access.identityfields import IDENTITY_STARTS
from buntime.core.errors import HttpError
from buntime.core.http1.errorpage import render_error
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits
from buntime.core.http1.window import app_body_too_large
from buntime.core.websocket.handshake import Upgrade, check_upgrade, is_websocket
from buntime.testing.answer import Answer, Framed

if TYPE_CHECKING:
    from buntime.sdk.fields import Headers
    from buntime.testing.sites import Files
    from buntime.wire import Message

_CLIENT = ("127.0.0.1", 50000)
_SERVER = ("127.0.0.1", 8000)


class ParsedRequest(NamedTuple):
    """A request as the runtime has parsed it; `target` is as it was sent."""

    head: Head
    target: str
    request_id: str

    def answered(self, error: HttpError) -> Answer:
        """The runtime's own answer to an error, as outside of development."""
        accept = next((value for name, value in self.head.headers if name == "accept"), "")
        fields, body = render_error(error, self.request_id, accept=accept, shows_detail=False)
        return self.whole(error.status, fields, body)

    def whole(self, status: int, fields: list[tuple[str, str]], body: bytes) -> Answer:
        """An answer that does not come from the app."""
        framed = self.framed(status, fields, len(body))
        framed.answer.body = framed.piece(body)
        return framed.answer

    def framed(self, status: int, fields: list[tuple[str, str]], size: int | None) -> Framed:
        """The head of an answer to it. Raises AnswerError."""
        return Framed(self.head, status, fields, size, request_id=self.request_id)


class Front:
    """What is in front of an app at `base`."""

    def __init__(self, base: str, files: Files | None, *, body_max: int, is_https: bool) -> None:
        self._base = base
        self._files = files
        self._body_max = body_max  # bytes
        self._is_https = is_https
        self._heads = HeadParser(Limits())

    def take(
        self, method: str, target: str, headers: Headers, body_bytes: int
    ) -> tuple[ParsedRequest, Answer | Message]:
        """A request, and either the answer to it, or what the app gets."""
        request = ParsedRequest(Head(method, target, "1.1"), target, secrets.token_hex(8))
        lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        try:
            head = self._heads.parse("\r\n".join([*lines, "", ""]).encode("latin-1"))
            request = ParsedRequest(head, target, head.request_id or request.request_id)
            return request, self._pass_on(request, headers, max(head.content_length, body_bytes))
        except HttpError as error:
            return request, request.answered(error)

    def _pass_on(
        self, request: ParsedRequest, headers: Headers, body_bytes: int
    ) -> Answer | Message:
        head, upgrade = request.head, None
        if self._files is None or not self._files.is_all:
            if body_bytes > self._body_max:
                raise app_body_too_large(self._body_max)
            if is_websocket(head.upgrade):
                upgrade = check_upgrade(head, head.upgrade, compress=False)
        if self._files is not None:
            found = self._files.answer(head, self._base)
            if found is not None:
                return request.whole(*found)
        return self._message(request, headers, upgrade)

    def _message(
        self, request: ParsedRequest, headers: Headers, upgrade: Upgrade | None
    ) -> Message:
        """REQUEST, as server/http1/request writes it.

        Identity fields are passed on: a test may say who has signed in, as a plugin does.
        """
        head = request.head
        sender = Sender(_CLIENT)
        if self._is_https:
            sender = Sender(_CLIENT, "https", head.host, is_forwarded=True)
        fields = sender.passed_fields(head.headers)
        identity = [pair for pair in headers.items() if pair[0].startswith(IDENTITY_STARTS)]
        own = [*identity, ("x-base", self._base), ("x-request-id", request.request_id)]
        message = {
            "method": head.method,
            "target": head.target,
            "base": self._base,
            "scheme": sender.scheme,
            "version": head.version,
            "client": list(_CLIENT),
            "server": list(_SERVER),
            "headers": [list(pair) for pair in (*fields, *sender.forwarded_fields(fields), *own)],
            "request_id": request.request_id,
        }
        if upgrade is not None:
            message |= {"upgrade": "websocket", "subprotocols": list(upgrade.subprotocols)}
        return message
