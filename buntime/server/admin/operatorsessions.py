"""Operators' sessions: kept in state.db, all of them in memory, and what each may do.

Without a state.db they are in memory only. A session is valid for as long as what it is based on,
see core/access/sessions.py: revoking a key at once ends the sessions that it began. Imported when
the first one is wanted, see `latesessions`.
"""

import os
from collections.abc import Callable
from functools import partial
from time import time
from typing import TYPE_CHECKING

from buntime.core.access.origins import is_foreign, is_own_page
from buntime.core.access.peers import is_loopback
from buntime.core.access.rights import Caller, admin
from buntime.core.access.sessions import (
    TOKEN_BYTES,
    Session,
    Sessions,
    bears_csrf,
    digest_of,
    is_attended,
    proof_of,
    token_of,
)
from buntime.core.errors import ClientFault, StateFault
from buntime.core.http1.operatorscookie import tokens_of
from buntime.core.settings.live import LiveSettings
from buntime.core.values.digests import are_equal
from buntime.core.values.tuples import NamedTuple
from buntime.server.admin.links import Links
from buntime.server.admin.nearby import Nearby
from buntime.server.admin.signin import SignIn, secret_of
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Client
from buntime.server.loop.loop import Loop
from buntime.server.telemetry.logs import Log

if TYPE_CHECKING:
    from sqlite3 import Connection

    from buntime.server.admin.keystore import KeySource
    from buntime.server.admin.localkey import LocalKey
    from buntime.server.state.statedb import StateDb

USED_STEP_S = 60.0
_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))  # methods that change nothing
_COLUMNS = "digest, source, name, proof, created_at, used_at, expires_at"


_VETTED_MAX = 1024  # connections, open or not


class Found(NamedTuple):
    """A session that a request carries, and its caller."""

    session: Session
    token: str
    caller: Caller


class OperatorSessions:
    """All of them. Used on the loop's thread, except for the work in state.db."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        db: "StateDb",
        live: LiveSettings,
        keys: "KeySource",
        local_key: "LocalKey",
        clock: Callable[[], float] = time,
    ) -> None:
        self.links = Links()
        self.is_known = False  # are they read?
        self.on_end: Callable[[], None] = lambda: None  # called when one has ended
        self._loop = loop
        self._log = log
        self._db = db
        self._live = live
        self._keys = keys
        self._local_key = local_key
        self._clock = clock
        self._sessions = Sessions()
        self._ended: set[bytes] = set()  # those that may still be on the disk
        self._waiting: list[Callable[[], None]] = []
        self._nearby = Nearby()
        self._vetted: dict[Client, str] = {}  # why a connection from this machine may be an app's
        db.follow(self._read)
        self._read()

    def __repr__(self) -> str:
        return f"OperatorSessions({self._sessions!r})"

    # What must be known first

    def know(self, then: Callable[[], None]) -> None:
        """Call `then` once earlier sessions are known, or cannot be."""
        if self.is_known:
            then()
        else:
            self._waiting.append(then)

    def waits(self, exchange: Exchange, then: Callable[[], None]) -> bool:
        """Whether it is not yet known which sessions there are, or that no app has the connection;
        then `then` is called once it is."""
        if not self.is_known:
            self._waiting.append(lambda: self._go_on(exchange, then))
            return True
        if not _is_near(exchange) or exchange.client in self._vetted:
            return False
        self.vet(exchange, lambda _: then())
        return True

    def _go_on(self, exchange: Exchange, then: Callable[[], None]) -> None:
        if not self.waits(exchange, then):
            then()

    def vet(
        self, exchange: Exchange, then: Callable[[str], None], *, is_ours: bool = False
    ) -> None:
        """Find out whether an app has the other end of this connection from this machine.

        `then` gets the reason to think so, "" if there is none. `is_ours` as in `Nearby.refusal`.
        """
        client, peer, place = exchange.client, exchange.client.peer, exchange.client.address
        if peer is None or place is None:
            then("it did not come over TCP")
            return

        def take(why: str | BaseException) -> None:
            if isinstance(why, BaseException):
                why = f"it cannot be found out: {why}"
            if not why or not is_ours:
                if len(self._vetted) == _VETTED_MAX:
                    del self._vetted[next(iter(self._vetted))]
                self._vetted[client] = why
            if why:
                self._log.warn(
                    "session.refused",
                    "refused a session to a client on the loopback",
                    client=exchange.client.peer_text,
                    reason=why,
                    request_id=exchange.id,
                )
            then(why)

        self._loop.run_blocking(lambda: self._nearby.refusal(peer, place[1], is_ours=is_ours), take)

    # What a request carries

    def find(self, exchange: Exchange) -> Found | None:
        """The session of a request; notes that it was used.

        If two are valid, neither counts: somebody planted one of them. Raises StateFault if it is
        based on a key, and the keys are not known.
        """
        found = self.sessions_in(exchange)
        if len(found) != 1:
            return None
        # A request that has its answer is an open stream, which is checked again and again.
        if not exchange.has_answer and is_attended(exchange.head.headers):
            self._note_use(found[0].session, self._clock())
        return found[0]

    def still(self, found: Found) -> Caller | None:
        """The caller now; None if the session has ended. Raises as `find`."""
        session = self._sessions.find(found.token, self._clock())
        return None if session is None else self._caller_of(session, found.token)

    def sessions_in(self, exchange: Exchange) -> list[Found]:
        """All valid sessions that a request carries. Raises as `find`."""
        if _is_near(exchange) and self._vetted.get(exchange.client) != "":
            return []
        now, is_secure = self._clock(), exchange.sender.scheme == "https"
        found = []
        for token in tokens_of(exchange.head.operators, is_secure=is_secure):
            session = self._sessions.find(token, now)
            if session is None:
                continue
            caller = self._caller_of(session, token)
            if caller is None:
                self.end(session)  # its key is revoked, or replaced
            else:
                found.append(Found(session, token, caller))
        return found

    def check_use(self, exchange: Exchange, token: str) -> None:
        """Check that the session in a request may make it. Raises ClientFault (403).

        Cookies are sent to all ports of a host, and with requests made by pages of other ports. So
        the requesting page must be at exactly this address, and a write must carry what no other
        page can read.
        """
        head = exchange.head
        host, is_secure = exchange.sender.host or head.host, exchange.sender.scheme == "https"
        is_write = head.method not in _HARMLESS
        is_own = not is_foreign(head.headers, host=host)
        if is_write or head.upgrade:
            is_own = is_own_page(head.headers, host=host, is_secure=is_secure)
        if not is_own:
            raise ClientFault(
                403,
                "cross_site",
                "a session works only on pages of this address: Origin must be this address, "
                "and Sec-Fetch-Site same-origin",
            )
        if is_write and not bears_csrf(head.headers, token):
            raise ClientFault(
                403,
                "csrf",
                "a change made in a session needs the header X-Buntime-Csrf, with the `csrf` of "
                "GET /api/session",
            )

    def _caller_of(self, session: Session, token: str) -> Caller | None:
        stood = self._standing_of(session)
        if stood is None or not are_equal(session.proof, proof_of(token, stood[1])):
            return None
        return stood[0]

    def _standing_of(self, session: Session) -> tuple[Caller, bytes] | None:
        """The caller now, and the secret that the session must be based on."""
        if session.source == "key":
            if not self._keys.is_known:
                raise StateFault(
                    self._db.trouble or "the keys are being read; try again in a second"
                )
            record = self._keys.ring.by_name.get(session.name)
            if record is None or record.standing(self._clock()) != "active":
                return None
            return self._keys.ring.caller_of(record), record.digest
        if session.source == "link":
            return admin("link", "link"), b""
        is_master = session.source == "master"
        key = self._live.now.master_key if is_master else self._local_key.value
        return None if not key else (admin(session.name, session.source), secret_of(key))

    # Beginning and ending one

    def begin(self, sign_in: SignIn, then: Callable[[Found], None]) -> None:
        """Begin a session; `then` is called once it is kept, or can only be in memory."""
        token, now = token_of(os.urandom(TOKEN_BYTES)), self._clock()
        session = Session(
            digest_of(token),
            sign_in.source,
            sign_in.caller.name,
            proof_of(token, sign_in.stands_on),
            created_at=now,
            used_at=now,
            expires_at=sign_in.caller.expires_at,
        )
        ended = [*self._sessions.over(now), *self._sessions.put(session)]
        for each in ended:
            self._forget(each)
        found = Found(session, token, sign_in.caller)

        def work(connection: "Connection") -> None:
            connection.execute(
                f"INSERT OR REPLACE INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                session,
            )
            _delete(connection, [each.digest for each in ended])

        self._db.ask(work, lambda _: then(found))

    def end(self, session: Session) -> None:
        """End the session: it opens nothing any more."""
        self._forget(session)
        digest = session.digest
        self._db.ask(lambda connection: _delete(connection, [digest]), partial(self._gone, digest))

    def end_all(self, of: Session | None) -> int:
        """End all sessions, or those of the same key or kind as `of`; returns how many."""
        wanted = None if of is None else (of.source, of.name)
        ended = [each for each in self._sessions if wanted in (None, (each.source, each.name))]
        for each in ended:
            self._forget(each)
        digests = [each.digest for each in ended]

        def done(fault: BaseException | None) -> None:
            for digest in digests:
                self._gone(digest, fault)

        self._db.ask(lambda connection: _delete(connection, digests), done)
        return len(ended)

    def _forget(self, session: Session) -> None:
        self._sessions.remove(session)
        self._ended.add(session.digest)
        self.on_end()

    def _gone(self, digest: bytes, fault: BaseException | None) -> None:
        if fault is None:
            self._ended.discard(digest)

    # Storage

    def _read(self) -> None:
        def work(connection: "Connection") -> list[Session]:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM sessions").fetchall()
            return [Session(*row) for row in rows]

        self._db.ask(work, self._take)

    def _take(self, kept: list[Session] | BaseException) -> None:
        if not isinstance(kept, BaseException):
            known = {each.digest for each in self._sessions}
            over = [each for each in kept if each.digest in self._ended]
            for each in sorted(kept, key=lambda session: session.used_at):
                if each.digest not in known and each.digest not in self._ended:
                    self._sessions.put(each)
            over += self._sessions.over(self._clock())
            for each in over:
                self.end(each)
        self.is_known = True
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def _note_use(self, session: Session, now: float) -> None:
        if not 0 <= now - session.used_at < USED_STEP_S:
            self._sessions.use(session, now)
            self._db.ask(partial(_used, session.digest, now), _nothing)


def _is_near(exchange: Exchange) -> bool:
    """Whether it comes from this machine, by TCP."""
    return exchange.client.peer is not None and is_loopback(exchange.client.peer_text)


def _delete(connection: "Connection", digests: list[bytes]) -> None:
    connection.executemany("DELETE FROM sessions WHERE digest = ?", [(each,) for each in digests])


def _used(digest: bytes, now: float, connection: "Connection") -> None:
    connection.execute("UPDATE sessions SET used_at = ? WHERE digest = ?", (now, digest))


def _nothing(_: object) -> None:
    """A use that could not be written is written at the next chance."""
