"""Receives an archive in a request into an unnamed file, and takes it out of a form.

Two may arrive at a time; others wait for their turn. Imported with the pages.
"""

import re
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from buntime.core.errors import ClientFault, HttpError
from buntime.core.http1.window import body_too_large
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.call import Call
from buntime.server.admin.receiving import Receiving
from buntime.server.deploys.course import Turns
from buntime.server.deploys.disk import storage_fault
from buntime.server.loop.loop import Loop

if TYPE_CHECKING:
    from buntime.server.deploys.upload import Upload

_FORM = re.compile(r'multipart/form-data;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70})).*', re.I)


def archive_too_large(limit_bytes: int) -> ClientFault:
    """413 for an archive above RUNTIME_UPLOAD_MAX."""
    return body_too_large(
        limit_bytes, "remove what the app does not need, or raise RUNTIME_UPLOAD_MAX"
    )


Then = Callable[["Upload | HttpError"], None]


class Archives:
    """Receives archives. `turns` are shared by all that go to one place."""

    def __init__(self, loop: Loop, live: LiveSettings, turns: Turns) -> None:
        self._loop = loop
        self._live = live
        self._turns = turns

    def check_head(self, call: Call) -> None:
        """Check the head before asking for the body. Raises ClientFault (400, 413)."""
        head, most = call.exchange.head, self._live.now.upload_max_bytes
        if head.content_length > most:
            raise archive_too_large(most)
        if not head.has_body:
            raise ClientFault(
                400, "archive_missing", "send the archive, a tar.gz or a zip, as the body"
            )

    def take(
        self,
        call: Call,
        file: IO[bytes],
        digest: str | None,
        *,
        on_begin: Callable[[], None],
        then: Then,
    ) -> None:
        """Receive the archive into `file`, see `upload.open_upload`.

        `on_begin` is called at its turn. `digest` is the SHA-256 it must have. `then` gets the
        upload, or the fault.
        """
        self._turns.take()(
            lambda _: call.guard(lambda: self._receive(call, file, digest, on_begin, then))
        )

    def _receive(
        self,
        call: Call,
        file: IO[bytes],
        digest: str | None,
        on_begin: Callable[[], None],
        then: Then,
    ) -> None:
        # hashlib and tempfile would take 5 ms of a start.
        from buntime.server.deploys.upload import Upload

        def received(fault: HttpError | None) -> None:
            self._turns.leave()
            if fault is None and digest not in (None, upload.digest):
                fault = ClientFault(
                    400,
                    "digest_mismatch",
                    "the archive does not match its Content-Digest",
                )
            if fault is not None:
                upload.close()
                call.guard(lambda: then(fault))
            else:
                self._unwrap(call, upload, then)

        upload = Upload(self._loop, file, received)
        on_begin()
        receiving = Receiving(call.exchange, upload)
        upload.more = receiving.more
        receiving.begin(self._live.now.upload_max_bytes, archive_too_large)

    def _unwrap(self, call: Call, upload: "Upload", then: Then) -> None:
        """Take the archive out of a form that a browser sent."""
        boundary = _boundary(call)
        if boundary is None:
            call.guard(lambda: then(upload))
            return

        def unwrapped(result: object) -> None:
            if isinstance(result, OSError):
                result = storage_fault(result)
            if isinstance(result, HttpError):
                upload.close()
                then(result)
                return
            if isinstance(result, BaseException):
                raise result
            then(upload)

        self._loop.run_blocking(
            lambda: upload.unwrap(boundary), lambda result: call.guard(lambda: unwrapped(result))
        )


def _boundary(call: Call) -> str | None:
    """The boundary of a form that a browser sent; None for a plain archive."""
    found = _FORM.fullmatch(call.header("content-type") or "")
    return (found[1] or found[2]) if found is not None else None
