"""Operators' sessions in a browser: how long each lasts, and whose it is.

A session depends on the key it was made with. With a key of the keyring it has that key's current
rights and ends with it; with the master or local key it ends when that key changes. `proof` shows
that: an HMAC of the key under the session's own token, which is not stored. What is stored
therefore opens nothing and reveals nothing about a key that could be guessed.

    token   43 characters of base64url, 32 random bytes: the cookie
    digest  SHA-256 of the token: what is stored, and how a session is found
    csrf    what writes must bear in a header, which no other site's page can read

Times are seconds since 1970, because sessions outlive the runtime's process.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Literal

from buntime.core.values.digests import are_equal, mac, sha256
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

TOKEN_BYTES = 32
IDLE_S = 12 * 3600.0
LIFE_S = 7 * 24 * 3600.0
SESSIONS_MAX = 1000
OF_ONE_MAX = 50  # sessions per key; one more ends the one that was idle longest
_TOKEN = regex(r"[A-Za-z0-9_-]{43}")

Origin = Literal["key", "master", "local", "link"]


class Session(NamedTuple):
    """One sign-in."""

    digest: bytes
    source: Origin
    name: str  # of the key, "laptop"; otherwise "master", "local" or "link"
    proof: bytes
    created_at: float
    used_at: float
    expires_at: float | None = None  # when its key expires

    def __repr__(self) -> str:
        return f"Session({self.source} {self.name!r}, since {self.created_at:.0f})"

    @property
    def ends_at(self) -> float:
        """When it ends, unless it is used before."""
        end = min(self.used_at + IDLE_S, self.created_at + LIFE_S)
        return end if self.expires_at is None else min(end, self.expires_at)


class Sessions:
    """All sessions, in the order of their last use."""

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self._by_digest = {each.digest: each for each in sorted(sessions, key=lambda s: s.used_at)}

    def __repr__(self) -> str:
        return f"Sessions({len(self._by_digest)})"

    def __len__(self) -> int:
        return len(self._by_digest)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_digest.values()))

    def find(self, token: str, now: float) -> Session | None:
        """The session for a cookie, if it has not ended."""
        if not _TOKEN.fullmatch(token):
            return None
        session = self._by_digest.get(digest_of(token))
        if session is None or session.ends_at <= now or session.created_at > now + LIFE_S:
            return None  # also where the clock was put back by more than a session's life
        return session

    def put(self, session: Session) -> list[Session]:
        """Add a session; returns those that are removed to make room."""
        self._by_digest.pop(session.digest, None)
        gone = list(self._too_many(session))
        for each in gone:
            del self._by_digest[each.digest]
        self._by_digest[session.digest] = session
        return gone

    def use(self, session: Session, now: float) -> Session:
        """Note that the session was used, which extends it."""
        del self._by_digest[session.digest]
        session = session._replace(used_at=now)
        self._by_digest[session.digest] = session
        return session

    def remove(self, session: Session) -> None:
        self._by_digest.pop(session.digest, None)

    def over(self, now: float) -> list[Session]:
        """The sessions that have ended by themselves."""
        return [each for each in self if each.ends_at <= now]

    def _too_many(self, session: Session) -> Iterator[Session]:
        of_one = [s for s in self if (s.source, s.name) == (session.source, session.name)]
        if len(of_one) >= OF_ONE_MAX:
            yield of_one[0]
        elif len(self) >= SESSIONS_MAX:
            yield next(iter(self))


def token_of(random: bytes) -> str:
    """The text of a token, from TOKEN_BYTES random bytes."""
    return urlsafe_b64encode(random).decode("ascii").rstrip("=")


def digest_of(token: str) -> bytes:
    """What is stored of a session's token; the token cannot be recovered from it."""
    return sha256(token.encode("ascii"))


def csrf_of(token: str) -> str:
    """What a write must bear. It is derived from the token and does not reveal it."""
    return urlsafe_b64encode(_mac(token, b"csrf")).decode("ascii").rstrip("=")


def proof_of(token: str, stands_on: bytes) -> bytes:
    """Ties a session to its key: `stands_on` is the key, or its digest; b"" for none."""
    return _mac(token, b"proof\0" + stands_on)


def bears_csrf(headers: Iterable[tuple[str, str]], token: str) -> bool:
    """Whether a write bears the right X-Buntime-Csrf."""
    wanted = csrf_of(token).encode("ascii")
    return any(
        name == "x-buntime-csrf" and are_equal(value.encode("latin-1", "replace"), wanted)
        for name, value in headers
    )


def is_attended(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a person is behind the request. A page that polls by itself says so, and an
    `EventSource`, which cannot say so, reconnects by itself. Unattended requests extend no session.
    """
    return not any(
        name == "x-buntime-unattended" or (name == "accept" and "text/event-stream" in value)
        for name, value in headers
    )


def _mac(token: str, text: bytes) -> bytes:
    return mac(token.encode("ascii"), text)
