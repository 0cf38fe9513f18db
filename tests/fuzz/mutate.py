"""Changes inputs at random: bytes, tokens that parsers care about, pieces of other inputs."""

from __future__ import annotations

import random
from collections.abc import Sequence

TOKENS = [
    *[
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\0",
        b" ",
        b"\t",
        b"\r\n ",
        b":",
        b",",
        b";",
        b"=",
        b'"',
    ],
    *[b"%", b"%00", b"%2f", b"..", b"//", b"/", b"#", b"?", b"*", b"@", b"\xff", b"\x80", b"\x7f"],
    *[b"Content-Length: 5\r\n", b"Content-Length: +5\r\n", b"content-length:5,5\r\n"],
    *[b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b"TE: trailers\r\n"],
    *[b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding : chunked\r\n"],
    *[b"Host: a\r\n", b"Host:\r\n", b"Host: a, b\r\n", b"Expect: 100-continue\r\n"],
    *[b"Connection: close\r\n", b"Connection: keep-alive, host\r\n", b"Upgrade: websocket\r\n"],
    *[
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"ffffffffffffffffff\r\n",
        b"5;a=b\r\n",
        b"-1\r\n",
        b"0x5\r\n",
    ],
    *[b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"GET ", b"OPTIONS * ", b"CONNECT "],
    *[b"http://a/", b"http://a@b/", b"https://[::1]:80/", b"{", b"}", b'{"type":"BODY"}\n'],
    *[b'"size":', b"18446744073709551616", b"-1", b"1e9", b"NaN", b"[[[[[[[[", b"\\ud800"],
]


def mutate(chance: random.Random, seeds: Sequence[bytes], longest: int = 4096) -> bytes:
    """One of the seeds, changed a few times."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        _change(chance, data, seeds)
    return bytes(data[:longest])


def _change(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = chance.randint(0, len(data))
    to = min(len(data), at + chance.choice((1, 2, 4, 16, 64)))
    match chance.randrange(7):
        case 0:
            data[at:to] = bytes([chance.randrange(256)])
        case 1:
            data[at:at] = chance.choice(TOKENS)
        case 2:
            data[at:to] = chance.choice(TOKENS)
        case 3:
            del data[at:to]
        case 4:
            data[at:at] = data[at:to] * chance.choice((1, 2, 50))
        case 5:
            other = chance.choice(seeds)
            begin = chance.randint(0, len(other))
            data[at:] = other[begin:]
        case 6:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(9)))


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """The data, cut at random."""
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.choice((0, 1, 2, 5, 20))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
