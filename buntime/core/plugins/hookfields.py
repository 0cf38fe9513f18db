"""The header fields that a hook may set, read from what a worker sent by the grammar of HTTP.

Refused are fields that frame a message or belong to one connection; fields about who sent the
request, which only the runtime may set; and anything that is not a header field.
"""

from collections import Counter
from collections.abc import Iterable

from buntime.core.access.identityfields import is_identity_field
from buntime.core.access.proxyfields import LABEL_FIELD, is_forwarding
from buntime.core.http1.grammar import HOST, TOKEN, VALUE
from buntime.core.http1.operatorscookie import is_set_by
from buntime.core.http1.section import HOP_BY_HOP, Fields
from buntime.core.values.regex import regex
from buntime.core.values.wording import shown

Changes = tuple[tuple[str, str | None], ...]  # (lower-case name, value or None to remove it)

FRAMING = HOP_BY_HOP | {"content-length", "expect"}
_OF_HANDSHAKE = "sec-websocket-"
_SET_BY_RUNTIME = frozenset(("x-base", "x-request-id", LABEL_FIELD))
_FIELDS_MAX = 100
_BYTES_MAX = 64 * 1024
_NAME = regex(TOKEN)
_VALUE = regex(VALUE)
_HOST = regex(HOST)


class BadVerdict(Exception):
    """A hook returned something forbidden, or no verdict at all; the message says what."""


def read_changes(value: object, *, may_set_host: bool) -> Changes:
    """`{"X-User": "ann", "x-debug": None}`, for a request. Raises BadVerdict."""
    if not isinstance(value, dict):
        raise BadVerdict(f"headers {shown(value)} is not a mapping")
    _check_size(value.items())
    changes: dict[str, str | None] = {}
    plain: set[str] = set()
    for given, text in value.items():
        name = _name(given)
        if plain_name(name) in plain:
            raise BadVerdict(f"header {shown(name)} is set twice")
        plain.add(plain_name(name))
        _check_settable(name, may_set_host)
        changes[name] = None if text is None else _value(name, text)
        if name == "host" and (text is None or not _HOST.fullmatch(changes[name] or "")):
            raise BadVerdict(f"header 'host': {shown(text)} is not a host")
    return tuple(changes.items())


def read_pairs(value: object) -> Fields:
    """`[["Set-Cookie", "a=1"], ...]`, for an answer, in order. Raises BadVerdict."""
    if not isinstance(value, list):
        raise BadVerdict(f"headers {shown(value)} is not a list of pairs")
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadVerdict("headers: each is a pair of a name and a value")
    _check_size(value)
    return tuple((_name(name), _value(name, text)) for name, text in value)


def plain_name(name: str) -> str:
    """What an app may take a field's name for: `"x_user"` -> "x-user"."""
    return name.replace("_", "-")


def check_framing(seen: Iterable[tuple[str, str]], changed: Fields) -> None:
    """The fields that frame an answer's body must be those that the hook saw. Raises BadVerdict."""
    before = Counter((name.lower(), value) for name, value in seen if _frames(name.lower()))
    after = Counter(pair for pair in changed if _frames(pair[0]))
    for name, _ in [*(after - before), *(before - after)]:
        raise BadVerdict(f"header {shown(name)} says how the answer is sent; a hook cannot set it")


def _frames(name: str) -> bool:
    return name in FRAMING or name.startswith(_OF_HANDSHAKE)


def _check_settable(name: str, may_set_host: bool) -> None:
    if name in FRAMING:
        raise BadVerdict(f"header {shown(name)} belongs to the connection; a hook cannot set it")
    if is_identity_field(name):
        raise BadVerdict(f"header {shown(name)} says who the user is: only an identity can set it")
    if is_forwarding(name) or plain_name(name) in _SET_BY_RUNTIME:
        raise BadVerdict(f"header {shown(name)} is set by the runtime only")
    if name == "host" and not may_set_host:
        raise BadVerdict("header 'host' can only be set in stage route")


def _check_size(pairs: Iterable[tuple[object, object]]) -> None:
    sizes = [sum(len(part) for part in pair if isinstance(part, str)) for pair in pairs]
    if len(sizes) > _FIELDS_MAX:
        raise BadVerdict(f"{len(sizes)} headers are too many; {_FIELDS_MAX} are allowed")
    if sum(sizes) > _BYTES_MAX:
        raise BadVerdict(f"its headers have more than {_BYTES_MAX >> 10} KiB")


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadVerdict(f"{shown(value)} is not the name of a header")
    return value.lower()


def _value(name: str, value: object) -> str:
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise BadVerdict(f"header {shown(name)} has a value that cannot be sent")
    if name.lower() == "set-cookie" and is_set_by(value):
        raise BadVerdict(
            "header 'set-cookie': only the runtime sets the cookie of operators' sessions"
        )
    return value.strip(" \t")
