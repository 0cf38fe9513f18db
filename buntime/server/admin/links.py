"""One-time sign-in links: kept in memory, by their hash, for a quarter of an hour."""

import os

from buntime.core.access.sessions import TOKEN_BYTES, digest_of, token_of

LINK_S = 15 * 60.0
_LINKS_MAX = 100


class Links:
    """The links that are not used yet. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._ends: dict[bytes, float] = {}  # in the order they were made

    def __repr__(self) -> str:
        return f"Links({len(self._ends)})"

    def make(self, now: float) -> str:
        """A token for a link; if there are too many, the oldest is dropped."""
        token = token_of(os.urandom(TOKEN_BYTES))
        if len(self._ends) == _LINKS_MAX:
            del self._ends[next(iter(self._ends))]
        self._ends[digest_of(token)] = now + LINK_S
        return token

    def use(self, token: str, now: float) -> bool:
        """Whether the token is valid; it is valid once."""
        if not token.isascii():
            return False
        end = self._ends.pop(digest_of(token), None)
        return end is not None and now < end
