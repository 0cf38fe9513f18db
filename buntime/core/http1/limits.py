"""The limits of a head, applied to a complete one or while more of it is to come."""

from buntime.core.errors import ClientFault
from buntime.core.http1.faults import ILLEGAL, line_too_long, malformed
from buntime.core.values.tuples import NamedTuple


class HeadTooLarge(ClientFault):
    """431; `head` is what has come of it, for those who know more about it."""

    def __init__(self, message: str, head: bytes) -> None:
        super().__init__(431, "headers_too_large", message, closes=True)
        self.head = head


class Limits(NamedTuple):
    """The limits: bytes of the first line, bytes and number of the fields."""

    request_line_max_bytes: int = 8 * 1024
    headers_max_bytes: int = 64 * 1024
    header_fields_max: int = 100

    def check(self, raw: bytes) -> None:
        """Refuse a complete head that is too large. Raises ClientFault (400, 414, 431, 501)."""
        if len(raw) <= self.request_line_max_bytes and len(raw) <= self.headers_max_bytes:
            return
        line_end = raw.find(b"\r\n")
        if line_end > self.request_line_max_bytes:
            raise line_too_long(raw, self.request_line_max_bytes)
        if len(raw) - line_end - 4 > self.headers_max_bytes:
            raise self._headers_too_large(raw)

    def check_incomplete(self, buffer: bytes, scanned: int) -> None:
        """Refuse early what can no longer become a valid head.

        The first `scanned` bytes were already checked. Raises ClientFault (400, 414, 431, 501).
        """
        line_end = buffer.find(b"\r\n", 0, self.request_line_max_bytes + 2)
        if line_end < 0 and len(buffer) > self.request_line_max_bytes + 1:  # one may be its CR
            raise line_too_long(buffer, self.request_line_max_bytes)
        if line_end >= 0 and len(buffer) - line_end > self.headers_max_bytes + 2:
            raise self._headers_too_large(buffer)
        illegal = ILLEGAL.search(buffer, max(0, scanned - 1))
        if illegal is not None:
            raise malformed(buffer)

    def check_count(self, fields: int) -> None:
        """Refuse too many fields. Raises ClientFault (431)."""
        if fields > self.header_fields_max:
            raise ClientFault(
                431,
                "too_many_headers",
                f"more than {self.header_fields_max} header fields",
                closes=True,
            )

    def _headers_too_large(self, head: bytes) -> ClientFault:
        message = f"the header fields take more than {self.headers_max_bytes} bytes"
        return HeadTooLarge(message, head)
