"""The runtime's key: which requests bear it.

Fields are (name, value) as received, in latin-1.
"""

from collections.abc import Iterable, Iterator

from buntime.core.values.digests import are_equal

_KEY_FIELDS = ("x-api-key", "authorization")
_LENGTHS = frozenset(map(len, _KEY_FIELDS))  # rules out most other names without calling lower()


def bears_key(headers: Iterable[tuple[str, str]], key: str | None) -> bool:
    """Whether a request bears `key`, as `X-API-Key` or `Authorization: Bearer`.

    Always false while no key is set. Takes the same time for any two values of one length.
    """
    if not key:
        return False
    secret = key.encode("utf-8", "surrogateescape")
    found = False
    for name, value in headers:
        offered = _offered_key(name.lower(), value) if len(name) in _LENGTHS else None
        if offered is not None:
            found |= are_equal(offered.encode("latin-1", "replace"), secret)
    return found


def has_key_field(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a field may bear a key, by its name alone: a quick answer for most requests."""
    for name, _ in headers:  # noqa: SIM110  # a generator costs more than the loop
        if len(name) in _LENGTHS and name.lower() in _KEY_FIELDS:
            return True
    return False


def offers_key(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request bears any key at all, right or wrong."""
    return any(True for _ in offered_keys(headers))


def offered_keys(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Each key that a request bears, right or wrong."""
    for name, value in headers:
        if len(name) in _LENGTHS:
            offered = _offered_key(name.lower(), value)
            if offered:
                yield offered


def is_key_field(field: tuple[str, str], key: str | None) -> bool:
    """Whether this one field bears the key, which no app should see."""
    return bears_key((field,), key)


def _offered_key(name: str, value: str) -> str | None:
    if name == "x-api-key":
        return value.strip()
    if name == "authorization":
        scheme, _, credentials = value.strip().partition(" ")
        return credentials.strip() if scheme.lower() == "bearer" else None
    return None
