"""permessage-deflate (RFC 7692): what to agree on with a client, and zlib in both directions.

wsproto's own PerMessageDeflate (1.3.2) is not used, because it

- treats the rest of a compressed message as plain after a ping between two fragments,
- loses what follows a block with BFINAL (RFC 7692 7.2.3.5), then fails the next message,
- raises ValueError for an offer of `client_max_window_bits=x`, and accepts parameters that are
  unknown, repeated or lack their value, where RFC 7692 5.1 wants the offer declined,
- inflates without a limit: a frame of 64 KiB becomes 64 MiB in one step,
- takes 256 KiB of memory to compress, and makes "ok" longer.

Memory of a connection, per direction, from its first compressed message on:

    deflating   38 KiB: a window of 2^12 bytes with memory level 5
    inflating   11 KiB if the client grants client_max_window_bits (browsers do), else 39 KiB
"""

import re
import zlib

from buntime.core.http1.grammar import TOKEN
from buntime.core.values.regex import regex
from buntime.core.values.tuples import QuickTuple

NAME = "permessage-deflate"

# The window for sending, also requested of clients that allow it. 2^12 bytes and memory level 5
# compress chat messages to 11 % and prose to 46 % of their size; zlib's defaults, 2^15 and 8, to 11
# % and 44 % with seven times the memory.
WINDOW_BITS = 12
_MEMORY_LEVEL = 5
# 40 MB/s of prose where zlib's default, 6, does 27 and saves 3 % more; small ones cost 4 us.
_LEVEL = 3
# zlib cannot deflate raw with a window of 2^8 bytes, so such an offer is declined; it can inflate.
_SERVER_WINDOW_BITS_MIN = 9
_INFLATE_WINDOW_BITS_MIN = 9
_LARGEST_WINDOW_BITS = 15

# RFC 7692 7.2.1: ends a sync flush; removed from each message and added back to inflate it.
_TAIL = b"\x00\x00\xff\xff"
# Bytes given to zlib at once. It copies its unread input, so a bomb given as a whole would be
# copied for each piece that is taken from it.
_STEP = 4096
# A new stream takes 1.7 us, and two bytes end one: 64 KiB of these would keep the loop for 55 ms.
_ENDS_FREE = 16
_BYTES_PER_END = 512

# RFC 6455 9.1: extension-token *( ";" token [ "=" ( token | quoted-string ) ] )
_OFFER = regex(rf"[ \t]*({TOKEN})[ \t]*")
_PARAMETER = regex(rf';[ \t]*({TOKEN})[ \t]*(?:=[ \t]*(?:({TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*)?')
_EMPTY = regex(r"[ \t,]*")  # RFC 9110 5.6.1.2: empty elements of a list are skipped
_QUOTED_PAIR = regex(r"\\(.)")
_BITS = regex(r"[89]|1[0-5]")

_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_SERVER_BITS = "server_max_window_bits"
_CLIENT_BITS = "client_max_window_bits"


class Offer(QuickTuple):
    """One extension that a client offers, with its parameters in order: ("server_...", "10")."""

    name: str
    parameters: tuple[tuple[str, str | None], ...]


class Agreement(QuickTuple):
    """How both sides compress; `answer` is the Sec-WebSocket-Extensions value that says so."""

    answer: str
    server_keeps_context: bool
    client_keeps_context: bool
    server_window_bits: int
    client_window_bits: int


def parse_offers(value: str) -> list[Offer]:
    """`"permessage-deflate; client_max_window_bits, x"` -> two offers (RFC 6455 9.1).

    Raises ValueError where the value does not follow the grammar.
    """
    offers = []
    position = _skip(value, 0)
    while position < len(value):
        name = _OFFER.match(value, position)
        if name is None:
            raise ValueError(f"no extension's name at character {position}")
        position = name.end()
        parameters = []
        while (found := _PARAMETER.match(value, position)) is not None:
            parameters.append((found[1].lower(), _parameter_value(found)))
            position = found.end()
        if position < len(value) and value[position] != ",":
            raise ValueError(f"a malformed extension parameter at character {position}")
        offers.append(Offer(name[1].lower(), tuple(parameters)))
        position = _skip(value, position)
    return offers


def _skip(value: str, position: int) -> int:
    empty = _EMPTY.match(value, position)
    return empty.end() if empty is not None else position


def _parameter_value(found: re.Match[str]) -> str | None:
    if found[3] is None:
        return found[2]
    # RFC 6455 9.1: what was quoted must be a token too.
    unquoted = _QUOTED_PAIR.sub(r"\1", found[3])
    if re.fullmatch(TOKEN, unquoted) is None:
        raise ValueError(f"the extension parameter {found[1]} is not a token")
    return unquoted


def negotiate(offers: list[Offer]) -> Agreement | None:
    """The first acceptable offer of permessage-deflate, in the client's order of preference."""
    for offer in offers:
        if offer.name == NAME:
            agreement = _agree(offer)
            if agreement is not None:
                return agreement
    return None


def _agree(offer: Offer) -> Agreement | None:
    """None where the offer is invalid or cannot be met, so that the next one is tried (7.1)."""
    given = dict(offer.parameters)
    if len(given) < len(offer.parameters) or not given.keys() <= {
        *_FLAGS,
        _SERVER_BITS,
        _CLIENT_BITS,
    }:
        return None
    if any(given.get(flag) is not None for flag in _FLAGS):
        return None
    answer = [NAME, *(flag for flag in _FLAGS if flag in given)]
    server_bits, client_bits = WINDOW_BITS, _LARGEST_WINDOW_BITS
    if _SERVER_BITS in given:
        bits = given[_SERVER_BITS]
        if bits is None or _BITS.fullmatch(bits) is None or int(bits) < _SERVER_WINDOW_BITS_MIN:
            return None
        server_bits = min(int(bits), WINDOW_BITS)
        answer.append(f"{_SERVER_BITS}={server_bits}")
    if _CLIENT_BITS in given:
        hint = given[_CLIENT_BITS] or str(_LARGEST_WINDOW_BITS)
        if _BITS.fullmatch(hint) is None:
            return None
        client_bits = min(int(hint), WINDOW_BITS)
        answer.append(f"{_CLIENT_BITS}={client_bits}")
    return Agreement(
        answer="; ".join(answer),
        server_keeps_context=_FLAGS[0] not in given,
        client_keeps_context=_FLAGS[1] not in given,
        server_window_bits=server_bits,
        client_window_bits=client_bits,
    )


class Deflater:
    """Compresses the messages of one connection; a message may come in any number of pieces."""

    __slots__ = ("_keeps_context", "_window_bits", "_zlib")

    def __init__(self, window_bits: int, *, keeps_context: bool) -> None:
        self._window_bits = window_bits
        self._keeps_context = keeps_context
        self._zlib: zlib._Compress | None = None

    def compress(self, data: bytes, end: bool) -> bytes:
        """What to send for this piece; b"" while zlib holds it back."""
        if self._zlib is None:
            self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._window_bits, _MEMORY_LEVEL)
        compressed = self._zlib.compress(data)
        if end:
            compressed = (compressed + self._zlib.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]
            if not self._keeps_context:
                self._zlib = None
        return compressed


class Inflater:
    """Inflates the messages of one connection, never more at once than requested."""

    __slots__ = (
        "_ends",
        "_ends_left",
        "_input",
        "_keeps_context",
        "_position",
        "_restarted",
        "_window_bits",
        "_zlib",
        "is_drained",
    )

    def __init__(self, window_bits: int, *, keeps_context: bool) -> None:
        # per connection
        self._window_bits = max(window_bits, _INFLATE_WINDOW_BITS_MIN)
        self._keeps_context = keeps_context
        self._zlib: zlib._Decompress | None = None
        # per message
        self._restarted = False  # a block with BFINAL ended the stream: its context is gone
        # per piece of a message
        self._input = b""
        self._position = 0
        self._ends = False
        self._ends_left = 0  # how many more streams may end in it
        self.is_drained = True

    def feed(self, data: bytes, end: bool) -> None:
        """Take the next piece of a message; the previous one must have been taken completely."""
        self._input = data + _TAIL if end else data
        self._position = 0
        self._ends = end
        self._ends_left = _ENDS_FREE + len(data) // _BYTES_PER_END
        self.is_drained = False

    def take(self, limit: int) -> bytes:
        """1 to `limit` bytes, which is above 0; fewer only at the end of the piece.

        Raises zlib.error for data that is not deflate, or in which too many streams end.
        """
        taken = []
        while limit:
            if self._zlib is None:
                self._zlib = zlib.decompressobj(-self._window_bits)
            step = self._input[self._position : self._position + _STEP]
            inflated = self._zlib.decompress(step, limit)
            if self._zlib.eof:
                # RFC 7692 7.2.3.5: after BFINAL a new stream begins, in this message or the next.
                unread = self._zlib.unused_data
                self._zlib = None
                self._restarted = True
                self._ends_left -= 1
                if self._ends_left < 0:
                    raise zlib.error("it ends and begins again too often")
            else:
                unread = self._zlib.unconsumed_tail
            self._position += len(step) - len(unread)
            taken.append(inflated)
            limit -= len(inflated)
            # A full output may mean that more is pending, even if all input is read.
            if limit and self._position == len(self._input):
                self._finish()
                break
        return b"".join(taken)

    def _finish(self) -> None:
        self.is_drained = True
        self._input = b""
        self._position = 0
        if self._ends:
            if not self._keeps_context or self._restarted:
                self._zlib = None
            self._restarted = False
