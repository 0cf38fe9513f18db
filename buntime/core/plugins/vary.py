"""What a cached verdict depends on besides the request's line: `vary` in a Continue.

    vary=["authorization", "cookie:session", "client"]

The value of each is part of the cache's key, so a verdict is never used for a request that differs
in one; a missing value is a value too.
"""

from buntime.core.http1.grammar import TOKEN
from buntime.core.http1.section import Fields
from buntime.core.plugins.hookfields import BadVerdict
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

_SOURCES_MAX = 16
_TOKEN = regex(TOKEN)
_CLIENT = "client"
_COOKIE = "cookie:"
# Around names and values of cookies, as hooks read them (sdk/cookies.py). Were others stripped too,
# a client could have a verdict kept for a cookie that the hook did not see in its request.
_BLANKS = " \t"


Values = tuple[tuple[str, ...], ...]


class Source(NamedTuple):
    """One source: ("header", "authorization"), ("cookie", "session"), ("client", "")."""

    kind: str
    name: str


def read_vary(value: object) -> tuple[Source, ...]:
    """The sources that a hook names, sorted, because their order means nothing. Raises
    BadVerdict."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _SOURCES_MAX:
        raise BadVerdict(f"vary {shown(value)} is not a list of at most {_SOURCES_MAX} texts")
    return tuple(sorted({_source(each) for each in value}))


def values_of(sources: tuple[Source, ...], fields: Fields, client: str) -> Values:
    """A request's values for each source: all values of a repeated field, in order; () for none."""
    return tuple(_value_of(source, fields, client) for source in sources)


def _source(value: object) -> Source:
    if value == _CLIENT:
        return Source("client", "")
    if not isinstance(value, str):
        raise BadVerdict(f"vary: {shown(value)} is not text")
    kind, name = (
        ("cookie", value[len(_COOKIE) :]) if value.startswith(_COOKIE) else ("header", value)
    )
    if not _TOKEN.fullmatch(name):
        raise BadVerdict(
            f'vary: {shown(value)} is neither a header nor like "cookie:session", nor client'
        )
    return Source(kind, name if kind == "cookie" else name.lower())


def _value_of(source: Source, fields: Fields, client: str) -> tuple[str, ...]:
    if source.kind == "client":
        return (client,)
    if source.kind == "header":
        return tuple(value for name, value in fields if name == source.name)
    return tuple(
        value.strip(_BLANKS)
        for name, line in fields
        if name == "cookie"
        for pair in line.split(";")
        for key, equals, value in [pair.partition("=")]
        if equals and key.strip(_BLANKS) == source.name
    )
