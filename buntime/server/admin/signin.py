"""What a session in a browser begins with."""

from typing import Literal

from buntime.core.access.rights import Caller
from buntime.core.values.tuples import NamedTuple


class SignIn(NamedTuple):
    """What a session is to be based on."""

    caller: Caller
    stands_on: bytes
    source: Literal["key", "master", "local", "link"]


def secret_of(key: str) -> bytes:
    """A master or local key, in the form that a session is based on."""
    return key.encode("utf-8", "surrogateescape")
