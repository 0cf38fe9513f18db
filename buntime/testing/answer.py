"""An answer of an app, as its client would see it."""

import json
from collections.abc import Collection
from email.utils import formatdate
from typing import Any

from buntime.core.http1.answer import Answer as FramedAnswer
from buntime.core.http1.answer import phrase_of
from buntime.core.http1.head import Head
from buntime.sdk.fields import Headers

Pairs = Collection[tuple[str, str] | list[str]]


class Answer:
    """A whole answer: `status` (int), `headers` (names in any case), `body` (bytes)."""

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        """The body decoded by its charset, UTF-8 by default; what cannot be decoded becomes
        U+FFFD."""
        return self.body.decode(charset_of(self.headers), "replace")

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON. If it is not JSON, raises ValueError, which shows what came."""
        try:
            return json.loads(self.body)
        except ValueError as exc:
            kind = self.headers.get("content-type", "no content type")
            raise ValueError(f"the answer is not JSON ({kind}): {self.body[:200]!r}") from exc

    def __repr__(self) -> str:
        return f"<Answer {self.status} {phrase_of(self.status)}, {len(self.body)} bytes>"


class Framed:
    """The answer to a request as the runtime would send it, except for the framing.

    Raises AnswerError if the runtime would refuse the app's answer.
    """

    def __init__(
        self, head: Head, status: int, fields: Pairs, size: int | None, *, request_id: str
    ) -> None:
        self._answer = FramedAnswer(
            head,
            status,
            fields,
            size,
            date=formatdate(usegmt=True),
            request_id=request_id,
            keep_alive=True,
        )
        lines = self._answer.head.decode("latin-1").split("\r\n")[1:-2]
        pairs = (line.partition(":") for line in lines)
        self.answer = Answer(status, Headers([(name, value) for name, _, value in pairs]))

    def piece(self, data: bytes) -> bytes:
        """A piece of the body, as much as the client gets. Raises AnswerError."""
        return data if self._answer.frame(data) else b""

    def finish(self) -> None:
        """The body has ended. Raises AnswerError if bytes are missing."""
        self._answer.finish()


def charset_of(headers: Headers) -> str:
    """The charset of a body, one that Python knows; `utf-8` by default."""
    _, _, rest = headers.get("content-type", "").lower().partition("charset=")
    name = rest.partition(";")[0].strip(" \"'")
    try:
        return "utf-8" if not name else ("".encode(name) and name) or name
    except LookupError:
        return "utf-8"
