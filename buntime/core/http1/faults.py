"""The answers to bytes that are not a valid head; `Limits` has the errors about size."""

from buntime.core.errors import ClientFault
from buntime.core.http1.grammar import REQUEST_LINE, TOKEN_BYTES
from buntime.core.values.regex import regex

# What no head may contain: with this an incomplete head can be refused early.
ILLEGAL = regex(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?=[^\n])|(?<!\r)\n")
_FOLD = regex(rb"\r\n[ \t]")
_REQUEST_LINE = regex(REQUEST_LINE)
_FIELD_START = regex(TOKEN_BYTES + rb":")


METHOD_MAX = 32  # characters; the longest registered method has 17
_LONG_METHOD = regex(rb"(?:%b){%d}" % (TOKEN_BYTES[:-1], METHOD_MAX + 1))
_METHOD = regex(TOKEN_BYTES + rb" ")


def bad_request(message: str) -> ClientFault:
    """A 400 that ends its connection: what follows malformed bytes cannot be trusted."""
    return ClientFault(400, "bad_request", message, closes=True)


def method_too_long() -> ClientFault:
    """RFC 9112 3: nobody implements a method that is longer than any known one."""
    message = f"the method has more than {METHOD_MAX} characters"
    return ClientFault(501, "method_too_long", message, closes=True)


def line_too_long(line: bytes, most: int) -> ClientFault:
    """The error for a request line that begins like this and exceeds `most` bytes."""
    if _LONG_METHOD.match(line):
        return method_too_long()
    if not _METHOD.match(line):
        return bad_request("the request line is not METHOD TARGET HTTP/x.y")
    return ClientFault(
        414, "target_too_long", f"the request line is longer than {most} bytes", closes=True
    )


def malformed(raw: bytes) -> ClientFault:
    """Which rule of the grammar a head breaks; only called once it is refused."""
    if _FOLD.search(raw):
        return bad_request("a field line is folded (RFC 9112 5.2)")
    line, _, fields = raw.partition(b"\r\n")
    illegal = ILLEGAL.search(raw)
    if illegal is not None:
        return bad_request(f"a control character or bare line end, byte {illegal.start()}")
    if _REQUEST_LINE.fullmatch(line) is None:
        return bad_request("the request line is not METHOD TARGET HTTP/x.y")
    for number, field in enumerate(fields.split(b"\r\n"), 1):
        if field and _FIELD_START.match(field) is None:
            return bad_request(f"header line {number} is not NAME: VALUE")
    return bad_request("the request head is malformed")
