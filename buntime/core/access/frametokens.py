"""Tokens of pages in the shell's frames, which have no cookie: what each opens, for how long.

    a token      bf_Zk3...   5 minutes, for what is below the routes of one plugin
    a ticket     bf_Q8x...   30 seconds, once, for one target there: ?bt_ticket=bf_Q8x...

Who is signed in asks for one in the shell, by the API; the page gets it and sends it along. So it
stands for who asked, as long as that sign-in lasts. Kept in memory, by its hash. Times are seconds
of one clock, as the runtime's loop has them.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable

from buntime.core.access.rights import Caller
from buntime.core.values.tuples import NamedTuple

TOKEN_S = 300.0
TICKET_S = 30.0
TICKET_FIELD = "bt_ticket"  # of the query
RANDOM_BYTES = 32
PATH_MAX_CHARS = 2048
_START = "bf_"
_LENGTH = len(_START) + 43
_KEPT_MAX = 4000
_OF_ONE_MAX = 400  # of one caller, that none takes those of others

Standing = Callable[[], Caller | None]
"""Who it is by now, None where the sign-in has ended."""


class Grant(NamedTuple):
    """What one opens."""

    owner: str  # "plugin:keyval"
    name: str  # of who asked for it
    standing: Standing
    ends_at: float
    target: str | None = None  # of a ticket: "/keyval/api/export?space=shop"


class FrameTokens:
    """Those that were given out and may be good still."""

    def __init__(self) -> None:
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()

    def __repr__(self) -> str:
        return f"FrameTokens({len(self._grants)})"

    def __len__(self) -> int:
        return len(self._grants)

    def give(self, grant: Grant, random: bytes, now: float) -> str:
        """The text for a grant; `random` are RANDOM_BYTES. The oldest go where there are many."""
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
        """What tells whom a token stands for at this plugin; None where it opens nothing there."""
        grant = self._grants.get(_digest_of(text))
        if grant is None or grant.target is not None:
            return None
        return _standing_of(grant, owner, now)

    def use(self, text: str, owner: str, target: str, now: float) -> Standing | None:
        """The same of a ticket, which is gone then, whatever it was shown for."""
        digest = _digest_of(text)
        grant = self._grants.get(digest)
        if grant is None or grant.target is None:
            return None
        del self._grants[digest]
        return _standing_of(grant, owner, now) if grant.target == target else None


def has_form(text: str) -> bool:
    """Whether this can be a token or ticket; no key is like it."""
    return len(text) == _LENGTH and text.startswith(_START)


def borne_token(headers: Iterable[tuple[str, str]]) -> str | None:
    """The token that a request bears as Authorization, by lower-case names; None for none."""
    return next((text for field in headers if (text := token_in(field)) is not None), None)


def token_in(field: tuple[str, str]) -> str | None:
    """The token in one field."""
    if field[0] != "authorization":
        return None
    scheme, _, text = field[1].strip().partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and text.startswith(_START) else None


def without_ticket(target: str) -> tuple[str, str] | None:
    """`"/a?x=1&bt_ticket=T"` -> ("/a?x=1", "T"); None for a target without one.

    The last one counts, as the runtime puts it at the end.
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
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()
