"""Sessions: who has signed in, where, and until when.

A session belongs to one host, like its cookie. The sessions of one sign-in at several hosts have
the same `login`, and end together. Each sign-in makes a new token, so nobody can make a victim sign
in with a token that the attacker knows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from authn.times import utc
from authn.tokens import has_form, hash_of, new_token

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from authn.database import Database

_SEEN_S = 60.0  # how precisely the time of the last visit is known


class Session(NamedTuple):
    """One session. `login` is the sign-in that it belongs to."""

    login: str
    user: str
    host: str
    provider: str
    identity: dict[str, Any]
    hint: str  # what the provider needs when the user signs out
    created: float
    seen: float
    expires: float

    @property
    def tags(self) -> tuple[str, str]:
        """The tag by which kept verdicts on it are dropped."""
        return (f"login:{self.login}", f"user:{self.user}")

    def dump(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "host": self.host,
            "provider": self.provider,
            "createdAt": utc(self.created),
            "seenAt": utc(self.seen),
            "expiresAt": utc(self.expires),
        }


class Sessions:
    """All sessions, in the file. `forget` gets the tag of each one that ends."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        forget: Callable[[str], None],
        *,
        idle_s: float,
        max_s: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._forget = forget
        self._idle_s = idle_s
        self._max_s = max_s

    def begin(
        self,
        identity: dict[str, Any],
        host: str,
        *,
        provider: str,
        hint: str = "",
        login: str = "",
        created: float | None = None,
    ) -> tuple[str, Session]:
        """A token and its session. `login` and `created` are those of a sign-in at another host."""
        now = self._clock()
        opened = now if created is None else created
        session = Session(
            login or new_token(),
            str(identity["user"]),
            host,
            provider,
            identity,
            hint,
            opened,
            now,
            min(opened + self._max_s, now + self._idle_s),
        )
        token = new_token()
        with self._database.all():
            self._database.run("DELETE FROM sessions WHERE expires < ?", now)
            self._database.run(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                hash_of(token), session.login, session.user, host, provider, json.dumps(identity),
                hint, session.created, now, session.expires,
            )  # fmt: skip
        return token, session

    def find(self, token: str | None, host: str) -> Session | None:
        """The session of a token at this host; its idle time starts again."""
        if token is None or not has_form(token):
            return None
        now, key = self._clock(), hash_of(token)
        row = self._database.row(
            "SELECT * FROM sessions WHERE hash = ? AND host = ? AND expires > ?", key, host, now
        )
        if row is None:
            return None
        session = _session(row)
        if now - session.seen < _SEEN_S:
            return session
        expires = min(session.created + self._max_s, now + self._idle_s)
        self._database.run(
            "UPDATE sessions SET seen = ?, expires = ? WHERE hash = ?", now, expires, key
        )
        return session._replace(seen=now, expires=expires)

    def of(self, user: str) -> list[Session]:
        """The valid ones of a user, newest first."""
        rows = self._database.rows(
            "SELECT * FROM sessions WHERE user = ? AND expires > ? ORDER BY created DESC",
            user, self._clock(),
        )  # fmt: skip
        return [_session(row) for row in rows]

    def is_login(self, login: str) -> bool:
        """Whether a session of that sign-in is valid."""
        row = self._database.row(
            "SELECT 1 FROM sessions WHERE login = ? AND expires > ?", login, self._clock()
        )
        return row is not None

    def end_login(self, login: str) -> int:
        """Sign somebody out, at all hosts of that sign-in."""
        ended = self._database.run("DELETE FROM sessions WHERE login = ?", login)
        self._forget(f"login:{login}")
        return ended

    def end_user(self, user: str) -> int:
        """Sign a user out everywhere."""
        ended = self._database.run("DELETE FROM sessions WHERE user = ?", user)
        self._forget(f"user:{user}")
        return ended

    def retell(self, user: str, identity: dict[str, Any]) -> None:
        """Change what is reported about a user from now on: the roles have changed."""
        self._database.run(
            "UPDATE sessions SET identity = ? WHERE user = ? AND provider = 'password'",
            json.dumps(identity), user,
        )  # fmt: skip
        self._forget(f"user:{user}")


def _session(row: sqlite3.Row) -> Session:
    return Session(
        row["login"],
        row["user"],
        row["host"],
        row["provider"],
        json.loads(row["identity"]),
        row["hint"],
        row["created"],
        row["seen"],
        row["expires"],
    )
