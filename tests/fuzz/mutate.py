"""Changes inputs at random: bytes, tokens that parsers care about, parts of other inputs."""

from __future__ import annotations

import random
from collections.abc import Sequence

# One in each line, as Python escapes of bytes.
TOKENS = [
    text.encode("latin-1").decode("unicode_escape").encode("latin-1")
    for text in r"""
\r\n
\n
\r
\r\n\r\n
\x00
\x20
\t
\r\n\x20
:
,
;
=
%
%00
%2f
..
//
#
?
*
@
\xff
\x80
\x7f
Content-Length: 5\r\n
Content-Length: +5\r\n
content-length:5,5\r\n
Transfer-Encoding: chunked\r\n
Transfer-Encoding:\tchunked\r\n
Transfer-Encoding : chunked\r\n
Transfer-Encoding: identity\r\n
TE: trailers\r\n
Host: a\r\n
Host:\r\n
Host: a, b\r\n
Expect: 100-continue\r\n
Connection: close\r\n
Connection: keep-alive, host\r\n
Upgrade: websocket\r\n
0\r\n\r\n
5\r\nhello\r\n
ffffffffffffffffff\r\n
5;a=b\r\n
-1\r\n
0x5\r\n
 HTTP/1.1\r\n
 HTTP/1.0\r\n
 HTTP/2.0\r\n
OPTIONS *
CONNECT a:1
http://a/
http://a@b/
https://[::1]:80/
{"type":"BODY"}\n
"size":
18446744073709551616
1e9
NaN
[[[[[[[[
\\ud800
""".strip("\n").split("\n")
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
