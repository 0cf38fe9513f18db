"""The opening handshake of WebSocket (RFC 6455 4.2), on a head checked by `core/http1/`.

    GET /chat/ HTTP/1.1                  check_upgrade(head, head.upgrade) -> Upgrade
    Upgrade: websocket
    Sec-WebSocket-Key: ...               the app says which subprotocol, and more fields
    <-                                   accept_response(upgrade, ...) -> bytes
    HTTP/1.1 101 Switching Protocols     then frames: WebSocket(upgrade.agreement)

A head that is not a handshake, or one of another version, gets 426, which says what is spoken here;
a malformed handshake gets 400.
"""

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING

from buntime.core.errors import ClientFault
from buntime.core.http1.answer import AnswerError, write_fields
from buntime.core.http1.grammar import TOKEN
from buntime.core.http1.head import Head
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

if TYPE_CHECKING:
    from buntime.core.websocket.deflate import Agreement

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_VERSION = "13"
_KEY = regex(r"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_TOKEN = regex(TOKEN)
_PREFIX = "sec-websocket-"
_SUBPROTOCOL = _PREFIX + "protocol"
_LIST_MAX_CHARS = 2048  # of extensions, or of subprotocols; browsers send 45, or some tokens


class Upgrade(NamedTuple):
    """A valid handshake: what the client offers, and what was agreed about compression."""

    key: str
    subprotocols: tuple[str, ...]  # in the client's order of preference
    agreement: "Agreement | None"


def is_websocket(upgrade: str) -> bool:
    """Is WebSocket among the protocols of an Upgrade field? `"h2c, websocket"` -> True"""
    return "websocket" in [name.strip() for name in upgrade.lower().split(",")]


def check_upgrade(head: Head, upgrade: str, *, compress: bool = True) -> Upgrade:
    """What the client wants, from the head of a handshake (RFC 6455 4.2.1).

    `upgrade` is the value of Upgrade where Connection names it, else "". With `compress` false
    every offer of compression is declined. Raises ClientFault (400, 426).
    """
    if not is_websocket(upgrade):
        raise _upgrade_required("this address speaks WebSocket; send a handshake of RFC 6455")
    if head.method != "GET" or head.version != "1.1":
        raise _malformed(f"it must be GET and HTTP/1.1, not {head.method} and HTTP/{head.version}")
    if head.has_body:  # its bytes would be taken for frames
        raise _malformed("it must not have a body")
    fields = _collect(head)
    if fields.get("version") != [_VERSION]:
        raise _upgrade_required(f"Sec-WebSocket-Version must be {_VERSION}, once")
    keys = fields.get("key", [])
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise _malformed("Sec-WebSocket-Key must be 16 bytes in base64, once")
    # Its frames may be compressed. A start-up needs none of this.
    from buntime.core.websocket.deflate import negotiate, parse_offers

    extensions = ", ".join(fields.get("extensions", []))
    if len(extensions) > _LIST_MAX_CHARS:
        raise _malformed("Sec-WebSocket-Extensions is too long")
    try:
        offers = parse_offers(extensions)
    except ValueError as exc:
        raise _malformed(f"Sec-WebSocket-Extensions has {exc}") from exc
    return Upgrade(
        key=keys[0],
        subprotocols=_parse_subprotocols(fields.get("protocol", [])),
        agreement=negotiate(offers) if compress else None,
    )


def accept_response(
    upgrade: Upgrade,
    subprotocol: str | None,
    extra_headers: Iterable[tuple[str, str] | list[str]],
    *,
    date: str,
    request_id: str,
) -> bytes:
    """The head that opens the WebSocket; `date` is an IMF-fixdate.

    Raises ValueError for a subprotocol that was not offered, AnswerError for a field of
    `extra_headers` that cannot be sent.
    """
    head = (
        "HTTP/1.1 101 Switching Protocols\r\n"
        "upgrade: websocket\r\n"
        "connection: Upgrade\r\n"
        f"sec-websocket-accept: {accept_key(upgrade.key)}\r\n"
    )
    lines = [head]
    extra = list(extra_headers)
    write_fields(lines, extra)  # a Content-Length among them goes unsent, RFC 9110 8.6
    for name, _ in extra:
        if name.lower().startswith(_PREFIX):
            raise AnswerError(f"header {shown(name)} belongs to the handshake; use `subprotocol`")
    if subprotocol is not None:
        if subprotocol not in upgrade.subprotocols:
            offered = ", ".join(upgrade.subprotocols) or "none"
            raise ValueError(
                f"subprotocol {shown(subprotocol)} was not offered; offered: {offered}"
            )
        lines.append(f"sec-websocket-protocol: {subprotocol}\r\n")
    if upgrade.agreement is not None:
        lines.append(f"sec-websocket-extensions: {upgrade.agreement.answer}\r\n")
    lines.append(f"x-request-id: {request_id}\r\ndate: {date}\r\n\r\n")
    return "".join(lines).encode("latin-1")


def with_subprotocol(
    fields: Iterable[tuple[str, str] | list[str]], subprotocol: str | None
) -> list[tuple[str, str]]:
    """The fields of the head that opens it, in the form that hooks see."""
    seen = [(name, value) for name, value in fields]
    return seen if subprotocol is None else [*seen, (_SUBPROTOCOL, subprotocol)]


def split_subprotocol(
    fields: Iterable[tuple[str, str] | list[str]],
) -> tuple[str | None, list[tuple[str, str]]]:
    """The subprotocol, and the other fields: the reverse of `with_subprotocol`."""
    pairs = [(name, value) for name, value in fields]
    chosen = next((value for name, value in pairs if name == _SUBPROTOCOL), None)
    return chosen, [(name, value) for name, value in pairs if name != _SUBPROTOCOL]


def accept_key(key: str) -> str:
    """The proof that this server has read the handshake (RFC 6455 4.2.2, 5.4)."""
    import hashlib  # loads OpenSSL, see core/values/digests.py

    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def _collect(head: Head) -> dict[str, list[str]]:
    """The Sec-WebSocket fields: `{"key": ["dGhl..."], "version": ["13"]}`."""
    fields: dict[str, list[str]] = {}
    for name, value in head.headers:
        if name.startswith(_PREFIX):
            fields.setdefault(name.removeprefix(_PREFIX), []).append(value.strip(" \t"))
    return fields


def _parse_subprotocols(values: list[str]) -> tuple[str, ...]:
    """RFC 6455 4.1, item 10: tokens, each at most once."""
    listed = ",".join(values)
    if len(listed) > _LIST_MAX_CHARS:
        raise _malformed("Sec-WebSocket-Protocol is too long")
    stripped = [element.strip(" \t") for element in listed.split(",")]
    names = [name for name in stripped if name]  # RFC 9110 5.6.1.2: skip empty elements
    for name in names:
        if _TOKEN.fullmatch(name) is None:
            raise _malformed(f"the subprotocol {name!r} is not a token")
    if len(set(names)) < len(names):
        raise _malformed("Sec-WebSocket-Protocol names a subprotocol twice")
    return tuple(names)


def _upgrade_required(message: str) -> ClientFault:
    return ClientFault(
        426,
        "upgrade_required",
        message,
        headers=(("Upgrade", "websocket"), ("Sec-WebSocket-Version", _VERSION)),
    )


def _malformed(message: str) -> ClientFault:
    return ClientFault(
        400, "bad_handshake", f"the WebSocket handshake is malformed: {message}", closes=True
    )
