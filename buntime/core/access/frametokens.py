"""Tokens for pages in the shell's frames, which have no cookie: what each opens, and for how long.

    a token      bf_Zk3...   5 minutes, for everything below the routes of one plugin
    a ticket     bf_Q8x...   30 seconds, once, for one target there: ?bt_ticket=bf_Q8x...

The shell requests one through the API for the operator who is signed in, and hands it to the page,
which sends it along. A token therefore acts for that operator for as long as the sign-in lasts.
Tokens are kept in memory, by their hash. Times are seconds of one clock, the event loop's.
"""

from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable

from buntime.core.access.rights import Caller
from buntime.core.values.digests import sha256
from buntime.core.values.tuples import NamedTuple

TOKEN_S = 300.0
TICKET_S = 30.0
TICKET_FIELD = "bt_ticket"  # a query parameter
RANDOM_BYTES = 32
PATH_MAX_CHARS = 2048
_START = "bf_"
_LENGTH = len(_START) + 43
_KEPT_MAX = 4000
_OF_ONE_MAX = 400  # per caller, so that no caller pushes out the tokens of others

Standing = Callable[[], Caller | None]
"""Returns the caller as of now, or None where the sign-in has ended."""


class Grant(NamedTuple):
    """What a token or ticket opens."""

    owner: str  # "plugin:keyval"
    name: str  # the name of the caller it was given to
    standing: Standing
    ends_at: float
    target: str | None = None  # tickets only: "/keyval/api/export?space=shop"


class FrameTokens:
    """The tokens and tickets that were given out and may still be valid."""

    def __init__(self) -> None:
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()

    def __repr__(self) -> str:
        return f"FrameTokens({len(self._grants)})"

    def __len__(self) -> int:
        return len(self._grants)

    def give(self, grant: Grant, random: bytes, now: float) -> str:
        """The text of a new token or ticket. `random` must be RANDOM_BYTES long. Removes the oldest
        one where there are too many."""
        for digest, each in [*self._grants.items()]:
            if each.ends_at <= now:
                del self._grants[digest]
        mine = [digest for digest, each in self._grants.items() if each.name == grant.name]
        if len(mine) >= _OF_ONE_MAX:
            del self._grants[mine[0]]
        elif len(self._grants) >= _KEPT_MAX:
            self._grants.popitem(last=False)
        text = _START + urlsafe_b64encode(random).decode("ascii").rstrip("=")
        self._grants[_digest_of(text)] = grant
        return text

    def find(self, text: str, owner: str, now: float) -> Standing | None:
        """What returns the caller behind a token at this plugin; None where the token opens nothing
        there."""
        grant = self._grants.get(_digest_of(text))
        if grant is None or grant.target is not None:
            return None
        return _standing_of(grant, owner, now)

    def use(self, text: str, owner: str, target: str, now: float) -> Standing | None:
        """As `find`, for a ticket. It is used up even where it was sent for another target."""
        digest = _digest_of(text)
        grant = self._grants.get(digest)
        if grant is None or grant.target is None:
            return None
        del self._grants[digest]
        return _standing_of(grant, owner, now) if grant.target == target else None


def has_form(text: str) -> bool:
    """Whether a text can be a token or ticket; no key looks like one."""
    return len(text) == _LENGTH and text.startswith(_START)


def borne_token(headers: Iterable[tuple[str, str]]) -> str | None:
    """The token in a request's Authorization header, or None. Header names are in lower case."""
    return next((text for field in headers if (text := token_in(field)) is not None), None)


def token_in(field: tuple[str, str]) -> str | None:
    """The token in one header field."""
    if field[0] != "authorization":
        return None
    scheme, _, text = field[1].strip().partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and text.startswith(_START) else None


def without_ticket(target: str) -> tuple[str, str] | None:
    """`"/a?x=1&bt_ticket=T"` -> ("/a?x=1", "T"); None for a target without one.

    Only the last parameter counts, since the runtime adds the ticket at the end.
    """
    path, question, query = target.partition("?")
    start = f"{TICKET_FIELD}="
    *others, last = query.split("&")
    if not question or not last.startswith(start):
        return None
    return (path + (f"?{'&'.join(others)}" if others else ""), last[len(start) :])


def with_ticket(target: str, ticket: str) -> str:
    """`("/a?x=1", "T")` -> "/a?x=1&bt_ticket=T"."""
    return f"{target}{'&' if '?' in target else '?'}{TICKET_FIELD}={ticket}"


def _standing_of(grant: Grant, owner: str, now: float) -> Standing | None:
    return grant.standing if grant.owner == owner and now < grant.ends_at else None


def _digest_of(text: str) -> bytes:
    return sha256(text.encode("latin-1", "replace"))
