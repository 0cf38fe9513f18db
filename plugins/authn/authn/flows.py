"""Sign-ins that are under way: what is known about each between one page and the next.

A flow begins at the host that the user wants to reach, and is bound to the browser by a cookie of
that host. If users sign in at another host, there is a second flow there:

    shop.example.com  sign-in?to=/   flow A, cookie A   ──> login.example.com  sign-in?for=HANDLE
                                                            flow B, cookie B: password, provider
    shop.example.com  enter?code=    cookie A fits flow A <──  a code, once, for 30 s

A token in a URL opens nothing without the cookie.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from authn.tokens import has_form, hash_of, new_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from authn.database import Database

FLOW_S = 1800.0  # to enter a password, or to return from a provider
FLOWS_MAX = 50_000  # beyond that the oldest are dropped


class Flows:
    """All flows, in the file."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def begin(self, data: dict[str, Any], *, lasts_s: float = FLOW_S) -> str:
        """Keep this for a while; returns its token."""
        token, now = new_token(), self._clock()
        with self._database.all():
            self._database.run("DELETE FROM flows WHERE expires < ?", now)
            self._database.run(
                "DELETE FROM flows WHERE rowid IN "
                "(SELECT rowid FROM flows ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
                FLOWS_MAX - 1,
            )
            self._database.run(
                "INSERT INTO flows VALUES (?, ?, ?)",
                hash_of(token),
                json.dumps(data),
                now + lasts_s,
            )
        return token

    def find(self, token: str | None) -> dict[str, Any] | None:
        """What was kept, while it lasts."""
        return self.find_hashed(hash_of(token)) if token and has_form(token) else None

    def find_hashed(self, key: str) -> dict[str, Any] | None:
        row = self._database.row(
            "SELECT said FROM flows WHERE hash = ? AND expires > ?", key, self._clock()
        )
        return None if row is None else json.loads(row["said"])

    def say(self, token: str, data: dict[str, Any]) -> None:
        """Replace what is known about it."""
        self._database.run(
            "UPDATE flows SET said = ? WHERE hash = ?", json.dumps(data), hash_of(token)
        )

    def take(self, token: str | None) -> dict[str, Any] | None:
        """What was kept, once: a second call gets nothing."""
        data = self.find(token)
        if data is None or token is None:
            return None
        return data if self.end(token) else None

    def end(self, token: str) -> bool:
        return bool(self._database.run("DELETE FROM flows WHERE hash = ?", hash_of(token)))
