"""Keeps operators' keys in state.db, and all of them in memory, with those in RUNTIME_KEYS_FILE.

A key in the file takes precedence over a key of the same name in state.db, which is kept in case
the file drops it. A new key, or the end of one, takes effect once it is on the disk. The time of
last use is written at most once a minute.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, TypeVar

from buntime.core.access.keyring import IN_FILE, IN_STATE, KEYS_MAX, KeyRecord, KeyRing, bears_form
from buntime.core.errors import ClientFault, StateFault
from buntime.core.values.protocols import Protocol
from buntime.server.state.statedb import FirstRead

if TYPE_CHECKING:
    from sqlite3 import Connection

    from buntime.server.state.statedb import StateDb

USED_STEP_S = 60.0
_T = TypeVar("_T")
Keep = Callable[["Connection"], None]  # within the transaction of a change
_COLUMNS = (
    "name, digest, hint, roles, apps, created_at, created_by, expires_at, used_at, revoked_at"
)


def _raise_bug(fault: BaseException | None) -> None:
    """Ignore state faults: a file that is unusable now is opened later, and read then."""
    if fault is not None and not isinstance(fault, StateFault):
        raise fault


class KeySource(Protocol):
    """What the gate needs from a source of keys."""

    def __len__(self) -> int: ...
    def find(self, headers: Iterable[tuple[str, str]]) -> KeyRecord | None: ...
    def follow(self, callback: Callable[[], None]) -> None: ...
    def follow_each(self, callback: Callable[[], None]) -> None: ...
    def waits(self, headers: Iterable[tuple[str, str]], then: Callable[[], None]) -> bool: ...
    @property
    def is_known(self) -> bool: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    @property
    def ring(self) -> KeyRing: ...


class KeyStore:
    """All keys. Used on the loop's thread, except for the work in state.db."""

    def __init__(self, db: "StateDb", clock: Callable[[], float] = time) -> None:
        self.ring = KeyRing()
        self.clock = clock
        self._db = db
        self.is_known = db.is_off  # are they read?
        self._first_read = FirstRead(db, self._read)
        self._hidden: list[KeyRecord] = []  # from state.db, where the file has the same name
        self._followers: list[Callable[[], None]] = []
        self._followers_of_each: list[Callable[[], None]] = []
        db.follow(self._read)

    def __repr__(self) -> str:
        return f"KeyStore({self.ring!r})"

    def __len__(self) -> int:
        return len(self.ring)

    def follow(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the first key appears, or the last one goes."""
        self._followers.append(callback)

    def follow_each(self, callback: Callable[[], None]) -> None:
        """Call `callback` when a key is replaced or no longer opens anything."""
        self._followers_of_each.append(callback)

    def take_file(self, filed: Iterable[KeyRecord]) -> None:
        """Take the keys in the file, in place of those it had before."""
        used = {each.digest: each.used_at for each in self._in(IN_FILE)}
        filed = [replace(each, used_at=used.get(each.digest)) for each in filed]
        self._make([*self._in(IN_STATE), *self._hidden], filed)

    def _in(self, origin: str) -> list[KeyRecord]:
        return [each for each in self.ring.by_name.values() if each.origin == origin]

    def _make(self, kept: Iterable[KeyRecord], filed: Iterable[KeyRecord]) -> None:
        filed = [*filed]
        names = {each.name for each in filed}
        kept = [*kept]
        self._hidden = [each for each in kept if each.name in names]
        self.ring = KeyRing([*(each for each in kept if each.name not in names), *filed])
        self._tell()
        self._tell_of_each()

    def know(self, then: Callable[[BaseException | None], None]) -> None:
        """Call `then` once the keys are known, now or when they are read, or with why they are not.

        Requests made to state.db before it is open run before the read that its opening causes.
        """
        if self.is_known:
            then(None)
        else:
            self._read(then)

    def waits(self, headers: Iterable[tuple[str, str]], then: Callable[[], None]) -> bool:
        """Whether the request has what may be a key, and the keys are not read yet, as at a start.

        Then `then` is called once they are, or cannot be, or after some seconds.
        """
        return not self.is_known and bears_form(headers) and self._first_read.waits(then)

    def find(self, headers: Iterable[tuple[str, str]]) -> KeyRecord | None:
        """The key in a request, whatever its standing; notes that it was used.

        Raises StateFault if the request has one and the keys are not known.
        """
        record = self.ring.find(headers) if self.ring else None
        if record is None and not self.is_known:
            if bears_form(headers):
                raise StateFault(
                    self._db.trouble or "the keys are being read; try again in a second"
                )
            return None
        if record is not None:
            self._note_use(record)
        return record

    def add(
        self, record: KeyRecord, keep: Keep, then: Callable[[BaseException | None], None]
    ) -> None:
        """Keep a key together with what `keep` keeps: both or neither.

        `then` gets None, or the fault: a ClientFault (409), a StateFault. Raises ClientFault (409).
        """
        self.check_changeable(record.name)

        def work(connection: "Connection") -> None:
            row = connection.execute("SELECT count(*) FROM keys").fetchone()
            found = connection.execute(
                "SELECT revoked_at FROM keys WHERE name = ?", (record.name,)
            ).fetchone()
            if found is not None and found[0] is None:
                raise _taken(record.name)
            if row[0] >= KEYS_MAX and found is None:
                raise _too_many()
            connection.execute(
                f"INSERT OR REPLACE INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _row_of(record),
            )
            keep(connection)

        self._ask(work, lambda _: self._put(record), then)

    def revoke(self, name: str, keep: Keep, then: Callable[[BaseException | None], None]) -> None:
        """Have a key open nothing. `then` as in `add`; so is `keep`, unless revoked already.

        Raises ClientFault (409).
        """
        self.check_changeable(name)
        now = self.clock()

        def work(connection: "Connection") -> None:
            revoked = connection.execute(
                "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (now, name)
            )
            if revoked.rowcount:
                keep(connection)

        def apply(_: None) -> None:
            self.ring.revoke(name, now)
            self._tell_of_each()

        self._ask(work, apply, then)

    def check_changeable(self, name: str) -> None:
        """Raises ClientFault (409) if the key comes from the file: it can only be changed there."""
        record = self.ring.by_name.get(name)
        if record is not None and record.origin == IN_FILE:
            raise ClientFault(
                409,
                "key_in_file",
                f"the key {name} comes from {IN_FILE}, which wins; change it there",
            )

    # Details

    def _read(self, then: Callable[[BaseException | None], None] = _raise_bug) -> None:
        def work(connection: "Connection") -> list[KeyRecord]:
            return [_record_of(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM keys")]

        def take(records: list[KeyRecord] | BaseException) -> None:
            if isinstance(records, BaseException):
                then(records)
                return
            self.is_known = True
            self._make(records, self._in(IN_FILE))
            then(None)

        self._db.ask(work, take)

    def _put(self, record: KeyRecord) -> None:
        self.ring.put(record)
        self._tell_of_each()
        if len(self.ring) == 1:
            self._tell()

    def _tell_of_each(self) -> None:
        for callback in self._followers_of_each:
            callback()

    def _tell(self) -> None:
        for callback in self._followers:
            callback()

    def _note_use(self, record: KeyRecord) -> None:
        now = self.clock()
        if record.standing(now) != "active":
            return
        if record.used_at is not None and 0 <= now - record.used_at < USED_STEP_S:
            return
        self.ring.use(record.name, now)
        if record.origin == IN_FILE:
            return  # in memory only

        def work(connection: "Connection") -> None:
            connection.execute("UPDATE keys SET used_at = ? WHERE digest = ?", (now, record.digest))

        self._ask(work, lambda _: None, _raise_bug)

    def _ask(
        self,
        work: Callable[["Connection"], _T],
        apply: Callable[[_T], None],
        then: Callable[[BaseException | None], None],
    ) -> None:
        def take(result: _T | BaseException) -> None:
            if isinstance(result, BaseException):
                then(result)
            else:
                apply(result)
                then(None)

        self._db.ask(work, take)


def _row_of(record: KeyRecord) -> tuple[object, ...]:
    return (
        record.name,
        record.digest,
        record.hint,
        json.dumps(record.roles),
        json.dumps(record.globs),
        record.created_at,
        record.created_by,
        record.expires_at,
        record.used_at,
        record.revoked_at,
    )


def _record_of(row: tuple[object, ...]) -> KeyRecord:
    name, digest, hint, roles, globs, *rest = row
    lists = (tuple(json.loads(str(each))) for each in (roles, globs))
    return KeyRecord(name, digest, hint, *lists, *rest)  # type: ignore[arg-type]  # as stored


def _taken(name: str) -> ClientFault:
    return ClientFault(
        409, "key_exists", f"there is already a key {name}: revoke it, or choose another name"
    )


def _too_many() -> ClientFault:
    return ClientFault(409, "too_many_keys", f"there are {KEYS_MAX} keys, with those revoked")
