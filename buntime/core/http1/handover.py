"""The header fields that an app gets, as the JSON in its REQUEST (see `wire`).

    Host: a              ["host","a"],["x-forwarded-proto","http"],
    X-Forwarded-For: b   ["x-forwarded-for","192.0.2.1"],["x-forwarded-host","a"],

Without a proxy the result depends only on the fields received, and clients repeat those, so it is
cached. Encoding a REQUEST was the most expensive part of a small request: 44,000 of 300,000
instructions.

What all requests of a client repeat is the second object of the line, see `wire`:

    {"type":"REQUEST","id":7,"target":"/a/","client":["192.0.2.1",5000],"request_id":"a-1",...}
    {"method":"GET","base":"/a","scheme":"http","version":"1.1","server":...,"headers":...}

The worker keeps it decoded, so it is made for what comes again alone: what has come once is sent in
one piece. A section of fields that comes again is the same object (see `head`), so it is known by
its identity, together with everything else that the text is made of.
"""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache

from buntime.core.http1.forwarded import Address, Sender
from buntime.core.http1.head import Head
from buntime.core.http1.section import Fields
from buntime.core.values.tuples import NamedTuple
from buntime.wire import quote

_SMALL_BYTES = 2048  # per field section; 256 of them take 5 MiB where everything has to be escaped
_REPEATED_MAX = 512  # 2 MiB


_repeated: dict[Hashable, tuple[Fields, bytes]] = {}  # b"": it has come once


class _Direct(NamedTuple):
    """The result for fields that came without a proxy."""

    passed: str
    host: str  # X-Forwarded-Host, if there is a Host
    is_less: bool


def write_fields_for_app(head: Head, headers: Fields, sender: Sender) -> tuple[str, bool]:
    """The fields of a request for its app; `headers` are those of `head`, or a subset.

    Returns their JSON, each followed by a comma, and whether some fields were left out because only
    a proxy may send them.
    """
    if sender.is_forwarded:
        fields = sender.passed_fields(headers)
        return _write(fields + sender.forwarded_fields(fields)), False
    known = _known if head.fields_bytes <= _SMALL_BYTES else _make
    passed, host, is_less = known(headers)
    client = sender.client
    return passed + _forwarded_fields(sender.scheme, client[0] if client else "") + host, is_less


def _make(headers: Fields) -> _Direct:
    fields = Sender(None).passed_fields(headers)
    forwarded = Sender(None).forwarded_fields(fields)
    host = [pair for pair in forwarded if pair[0] == "x-forwarded-host"]
    return _Direct(_write(fields), _write(host), len(fields) < len(headers))


_known = lru_cache(maxsize=256)(_make)


@lru_cache(maxsize=1024)
def _forwarded_fields(scheme: str, address: str) -> str:
    return _write(
        [("x-forwarded-proto", scheme), ("x-forwarded-for", address)][: 1 + bool(address)]
    )


def _write(fields: Iterable[tuple[str, str]]) -> str:
    return "".join([f"[{quote(name)},{quote(value)}]," for name, value in fields])


def repeated(
    head: Head,
    sender: Sender,
    server: Address | None,
    base: str,
    added: str,
    write_fields: Callable[[], str],
) -> bytes:
    """The second object of the line for a request with the fields of `head`; b"" if it has none.

    `added` are fields for the app as JSON, with a comma behind each. `write_fields` writes those
    that came with the request in this way.
    """
    if head.fields_bytes > _SMALL_BYTES:
        return b""
    fields = head.headers
    client, scheme, host, _, is_forwarded = sender
    address = client[0] if client else ""
    of_line = head.method, head.version, base
    key = (id(fields), *of_line, added, address, scheme, host, is_forwarded, server)
    found = _repeated.get(key)  # it holds its fields, so no others have that id
    if found is None:
        if len(_repeated) >= _REPEATED_MAX:
            del _repeated[next(iter(_repeated))]
        _repeated[key] = fields, b""
        return b""
    if found[1]:
        return found[1]
    text = (
        f'{{"method":"{head.method}","base":{quote(base)},"scheme":"{scheme}",'
        f'"version":"{head.version}","server":{quote_address(server)},'
        f'"headers":[{write_fields()}{added}["x-base",{quote(base)}]]}}\n'
    ).encode("ascii")
    _repeated[key] = fields, text
    return text


def quote_address(address: Address | None) -> str:
    """An address as JSON."""
    return f"[{quote(address[0])},{address[1]}]" if address is not None else "null"
