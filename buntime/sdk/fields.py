"""Names with values, in order and with repeats: headers, query, form; and the decoding of URLs.

Everything an app uses for each request is here, so this module and `message` import nothing
expensive: no `re` (12 ms), `typing` (11 ms), `urllib.parse` (18 ms). That is why names and values
are checked with `str.strip` and `str.isprintable`, which are also faster than a regex.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Generic, TypeVar, overload

    V = TypeVar("V")
    D = TypeVar("D")
else:
    V = None

    class Generic:
        """Stands in for `typing.Generic`, whose import costs as much as the interpreter."""

        __slots__ = ()

        def __class_getitem__(cls, _item):
            return cls


_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# RFC 9110 5.6.2: token = 1*tchar
TOKEN = "!#$%&'*+-.^_`|~" + _DIGITS + _LETTERS
# What a header's value must not contain; tab and obs-text (0x80 to 0xff) are allowed, RFC 9110 5.5.
_CONTROLS = frozenset(map(chr, [*range(9), *range(10, 32), 127]))
_HEX = b"0123456789abcdefABCDEF"
_SHORT_BYTES = 16 * 1024  # longer is a form's field: no request line is so long by default
# What may be in a URI unencoded, RFC 3986 2.2 and 2.3; "%" too, because it may be encoded already.
URI = "-._~:/?#[]@!$&'()*+,;=%" + _DIGITS + _LETTERS


class _ByteOfHex(dict[bytes, "bytes | None"]):
    """b"2f" -> b"/", and None for anything but such a pair; fills itself, to at most 484 entries.

    A look-up is three times as fast as int(..., 16), and the table need not be built at once.
    """

    def __missing__(self, digits: bytes) -> bytes | None:
        if len(digits) != 2 or digits.strip(_HEX):
            return None
        byte = self[digits] = bytes.fromhex(digits.decode("ascii"))
        return byte


_BYTE_OF_HEX = _ByteOfHex()


class BadBody(ValueError):
    """The body is not what its type says, or not what the app asked for: answered with 400."""


class Fields(Generic[V]):
    """An ordered multi-mapping: `f["a"]` is the first value of `a`, `getall("a")` are all.

    `items()`, iteration and `len` cover each pair, so a repeated name appears repeatedly.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = list(pairs)

    @staticmethod
    def _key(name: str) -> str:
        return name

    def __getitem__(self, name: str) -> V:
        key = self._key(name)
        for other, value in self._pairs:
            if other == key:
                return value
        raise KeyError(name)

    if TYPE_CHECKING:

        @overload
        def get(self, name: str) -> V | None: ...

        @overload
        def get(self, name: str, default: D) -> V | D: ...

    def get(self, name: str, default: D | None = None) -> V | D | None:
        """Return the first value of `name`, or `default`."""
        key = self._key(name)
        for other, value in self._pairs:
            if other == key:
                return value
        return default

    def getall(self, name: str) -> list[V]:
        """Return every value of `name`, in order: `[]` if there is none."""
        key = self._key(name)
        return [value for other, value in self._pairs if other == key]

    def items(self) -> list[tuple[str, V]]:
        """Return the pairs in order, repeats included."""
        return self._pairs.copy()

    def keys(self) -> list[str]:
        """Return the name of each pair; with this, `dict(fields)` holds the first values."""
        return [name for name, _ in self._pairs]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        key = self._key(name)
        for other, _ in self._pairs:  # noqa: SIM110  # any() takes three times as long
            if other == key:
                return True
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Fields) and type(other) is type(self):
            return bool(self._pairs == other._pairs)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal by content, which may change in Headers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


class Query(Fields[str]):
    """The fields after the `?` of a target."""

    __slots__ = ()


class File:
    """A file that came in a form.

    `filename` is what the client sent: a label, never a path to write to; "" if nobody chose a
    file. `content_type` is also what the client sent, `data` has the bytes.
    """

    __slots__ = ("content_type", "data", "filename")

    def __init__(self, filename: str, content_type: str, data: bytes) -> None:
        self.filename = filename
        self.content_type = content_type
        self.data = data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, File):
            return NotImplemented
        mine = (self.filename, self.content_type, self.data)
        return mine == (other.filename, other.content_type, other.data)

    def __hash__(self) -> int:
        return hash((self.filename, self.content_type, self.data))

    def __repr__(self) -> str:
        return f"File({self.filename!r}, {self.content_type!r}, {len(self.data)} bytes)"


class Form(Fields["str | File"]):
    """The fields of a form: text as `str`, files as `File`."""

    __slots__ = ()


class Headers(Fields[str]):
    """Header fields: names in any case, order and repeats kept, everything checked when set.

    `Headers({"Accept": "*/*"})`, `Headers([("set-cookie", "a=1"), ("set-cookie", "b=2")])`.
    A name that is not a token, or a value with control characters or with characters that no header
    can carry (above U+00FF), is a ValueError that names the header.
    """

    __slots__ = ()

    def __init__(
        self, pairs: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None = None
    ) -> None:
        if pairs is None:
            self._pairs = []
        elif isinstance(pairs, Headers):
            self._pairs = pairs._pairs.copy()
        else:
            items = getattr(pairs, "items", None)
            self._pairs = [_checked(*pair) for pair in (items() if items else pairs)]

    @classmethod
    def trusted(cls, pairs: Iterable[Iterable[str]]) -> Headers:
        """Wrap pairs that are already checked and whose names are in lower case."""
        headers = cls.__new__(cls)
        headers._pairs = [(name, value) for name, value in pairs]
        return headers

    @staticmethod
    def _key(name: str) -> str:
        return name.lower()

    def add(self, name: str, value: str) -> None:
        """Append a field, keeping others of the same name."""
        self._pairs.append(_checked(name, value))

    def set(self, name: str, value: str) -> None:
        """Set `name` to this one value, at the position of the first; drop the others."""
        pair = _checked(name, value)
        key = pair[0]
        places = [place for place, (other, _) in enumerate(self._pairs) if other == key]
        if not places:
            self._pairs.append(pair)
            return
        self._pairs[places[0]] = pair
        for place in reversed(places[1:]):
            del self._pairs[place]

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.remove(name)

    def remove(self, name: str) -> None:
        """Drop every field called `name`; it is no error if there is none."""
        key = name.lower()
        self._pairs = [pair for pair in self._pairs if pair[0] != key]


def is_token(text: str) -> bool:
    """Return whether `text` is a token as defined in RFC 9110 5.6.2."""
    return bool(text) and not text.strip(TOKEN)


def _checked(name: Any, value: Any) -> tuple[str, str]:
    """Return the pair as it is stored; raises ValueError or TypeError if it is not allowed."""
    if not isinstance(name, str) or not isinstance(value, str):
        kinds = f"{type(name).__name__} and {type(value).__name__}"
        raise TypeError(f"header {name!r}: name and value must be str, not {kinds}")
    if not is_token(name):
        raise ValueError(f"header {name!r}: the name is not a token (RFC 9110 5.6.2)")
    # Nearly every value is printable ASCII: two calls in C and done.
    if not (value.isascii() and value.isprintable()):
        for character in value:
            if character in _CONTROLS or character > "\xff":
                raise ValueError(
                    f"header {name!r}: the value holds {character!r}, which no header can carry"
                )
    return name.lower(), value.strip(" \t")


def unquote(raw: bytes) -> bytes:
    """Decode percent-encoding: `b"a%20b"` -> `b"a b"`. Malformed parts stay unchanged."""
    if b"%" not in raw:
        return raw
    if len(raw) > _SHORT_BYTES:
        from buntime.sdk.escapes import unquote_long  # brings re, 12 ms, which few requests need

        return unquote_long(raw)
    head, *rest = raw.split(b"%")
    pieces = [head]
    for piece in rest:
        byte = _BYTE_OF_HEX[piece[:2]]
        pieces += (b"%", piece) if byte is None else (byte, piece[2:])
    return b"".join(pieces)


def quote(text: str, safe: str) -> str:
    """Percent-encode (as UTF-8) each character that is not in `safe`."""
    if not text.strip(safe):
        return text
    return "".join(
        character if character in safe else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in text
    )


def urlencoded_pairs(raw: bytes, errors: str) -> list[tuple[str, str]]:
    """Decode `b"a=1&b=x+y"` -> `[("a", "1"), ("b", "x y")]`.

    Follows the WHATWG URL standard, except that `errors` says what happens to bytes that are not
    UTF-8: "replace", or "strict" for a UnicodeDecodeError.
    """
    pairs = []
    for piece in raw.replace(b"+", b" ").split(b"&"):
        if piece:
            name, _, value = map(unquote, piece.partition(b"="))
            pairs.append((name.decode("utf-8", errors), value.decode("utf-8", errors)))
    return pairs
