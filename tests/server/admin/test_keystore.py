"""Keys are on disk before they count, and are there again at the next start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buntime.core.access.keyring import IN_FILE, KeyRecord
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.errors import ClientFault, StateFault
from buntime.server.admin.keystore import USED_STEP_S, KeyStore
from buntime.server.loop.loop import Loop
from buntime.server.state import statedb
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder

NOW = 1_800_000_000.0
KEY = make_key(b"a" * 32)
BEARS = [("x-api-key", KEY)]
RECORD = KeyRecord(
    name="ci",
    digest=digest_of(KEY),
    hint=KEY[:7],
    roles=("viewer", "data:read"),
    globs=("blog-*", "@acme/*"),
    created_at=NOW,
    created_by="master",
    expires_at=NOW + 1e6,
)


def nothing(_: object) -> None:
    """Stores nothing along with a key."""


class Subject:
    """A store in a state folder, with its loop and a clock."""

    def __init__(self, path: Path) -> None:
        self.errors: list[BaseException] = []
        self.now = NOW
        self.loop = Loop(self.errors.append)
        self.folder = StateFolder(str(path))
        self.folder.take()
        tell: Any = lambda *_, **__: None  # noqa: E731
        self.db = StateDb(self.folder, self.loop, tell=tell, warn=tell, error=tell)
        self.store = KeyStore(self.db, lambda: self.now)
        self.told = 0
        self.store.follow(self._count)

    def _count(self) -> None:
        self.told += 1

    def start(self) -> Subject:
        self.db.start()
        while not self.told:
            self.loop.run_once(10)
        return self

    def wait(self, ask: Callable[[Callable[[Any], None]], None]) -> Any:
        """Wait for the result of `ask`."""
        results: list[Any] = []
        ask(results.append)
        while not results:
            self.loop.run_once(10)
        assert self.errors == []
        return results[0]

    def sql(self, text: str) -> Any:
        return self.wait(lambda then: self.db.ask(lambda c: c.execute(text).fetchall(), then))

    def close(self) -> None:
        self.db.close()
        for thread in threading.enumerate():
            if thread.name == "state-db":
                thread.join(10)
        self.folder.let_go()
        self.loop.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Subject]]:
    made: list[Subject] = []

    def make_one() -> Subject:
        if made:
            made.pop().close()
        made.append(Subject(tmp_path.resolve() / "state"))
        return made[-1]

    yield make_one
    for each in made:
        each.close()


def test_a_key_is_kept(make: Callable[[], Subject]) -> None:
    """A key is stored with all its attributes, but never with its text."""
    subject = make().start()
    assert subject.wait(lambda then: subject.store.add(RECORD, nothing, then)) is None
    subject.sql("PRAGMA wal_checkpoint")
    path = Path(subject.db.path)
    again = make()
    data = b"".join(each.read_bytes() for each in path.parent.glob("state.db*"))
    assert KEY.encode() not in data
    assert again.start().store.ring.by_name == {"ci": RECORD}
    assert again.store.find(BEARS) is not None


def test_who_comes_before_the_keys_are_known(make: Callable[[], Subject]) -> None:
    """A request with a key waits at a start until the keys are read, and one without does not."""
    subject = make().start()
    subject.wait(lambda then: subject.store.add(RECORD, nothing, then))
    again = make()
    found: list[KeyRecord | None] = []
    assert again.store.waits(BEARS, lambda: found.append(again.store.find(BEARS)))
    for other in ([], [("x-api-key", "another service's")]):
        assert not again.store.waits(other, again.loop.stop)
    again.start()
    while not found:
        again.loop.run_once(10)
    assert [record and record.name for record in found] == ["ci"]
    assert not again.store.waits(BEARS, again.loop.stop)


def test_keys_that_cannot_be_read(make: Callable[[], Subject]) -> None:
    """Where state.db cannot be opened nobody waits for longer than it takes to find that out."""
    subject = make()
    Path(subject.db.path).write_bytes(b"no database" * 1000)
    told: list[str] = []

    def go_on() -> None:
        with pytest.raises(StateFault) as fault:
            subject.store.find(BEARS)
        told.append(str(fault.value))

    assert subject.store.waits(BEARS, go_on)
    subject.db.start()
    while not told:
        subject.loop.run_once(10)
    assert "are being read" not in told[0]
    assert not subject.store.waits(BEARS, subject.loop.stop)


def test_keys_that_are_not_read_for_long(
    make: Callable[[], Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a disk that hangs: then the request is refused as before."""
    monkeypatch.setattr(statedb, "FIRST_READ_S", 0.0)
    subject = make()  # and its state.db is not opened
    told: list[bool] = []
    assert subject.store.waits(BEARS, lambda: told.append(subject.store.is_known))
    subject.loop.run_once(10)
    assert told == [False]
    assert not subject.store.waits(BEARS, subject.loop.stop)


def test_a_key_is_revoked_for_good(make: Callable[[], Subject]) -> None:
    """A revoked key is still recognised and opens nothing, even after a restart."""
    subject = make().start()
    subject.wait(lambda then: subject.store.add(RECORD, nothing, then))
    assert subject.wait(lambda then: subject.store.revoke("ci", nothing, then)) is None
    for each in (subject.store, make().start().store):
        found = each.find(BEARS)
        assert found is not None
        assert found.standing(NOW) == "revoked"


def test_a_name_is_taken(make: Callable[[], Subject]) -> None:
    """A name can be used again once its key is revoked."""
    store = (subject := make().start()).store
    other = replace(RECORD, digest=digest_of(make_key(b"b" * 32)))
    subject.wait(lambda then: store.add(RECORD, nothing, then))
    fault = subject.wait(lambda then: store.add(other, nothing, then))
    assert isinstance(fault, ClientFault)
    assert (fault.status, fault.code) == (409, "key_exists")
    assert store.find(BEARS) is not None
    subject.wait(lambda then: store.revoke("ci", nothing, then))
    assert subject.wait(lambda then: store.add(other, nothing, then)) is None
    assert store.find(BEARS) is None


def test_what_is_kept_with_a_key(make: Callable[[], Subject]) -> None:
    """What is stored along with a key is committed with it, or neither is: there is no moment with
    only one of the two."""

    def keep(connection: Any) -> None:
        connection.execute("INSERT INTO about VALUES ('with', 'it')")

    def fail(connection: Any) -> None:
        keep(connection)
        raise ClientFault(409, "some", "it cannot be kept")

    def count() -> list[int]:
        tables = ("keys WHERE revoked_at IS NULL", "keys", "about WHERE key = 'with'")
        return [subject.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables]

    subject = make().start()
    store = subject.store
    assert isinstance(subject.wait(lambda then: store.add(RECORD, fail, then)), ClientFault)
    assert (count(), store.find(BEARS)) == ([0, 0, 0], None)
    assert subject.wait(lambda then: store.add(RECORD, keep, then)) is None
    assert count() == [1, 1, 1]
    subject.sql("DELETE FROM about WHERE key = 'with'")
    assert isinstance(subject.wait(lambda then: store.revoke("ci", fail, then)), ClientFault)
    assert count() == [1, 1, 0]
    assert subject.wait(lambda then: store.revoke("ci", keep, then)) is None
    assert count() == [0, 1, 1]
    assert subject.wait(lambda then: store.revoke("ci", fail, then)) is None  # is revoked already


def test_uses_are_noted_now_and_then(make: Callable[[], Subject]) -> None:
    """A key's last use is written at most once a minute, however often it is used."""
    subject = make().start()
    store = subject.store
    subject.wait(lambda then: store.add(RECORD, nothing, then))
    seen = []
    for after_s in (0.0, 1.0, USED_STEP_S - 1, USED_STEP_S, USED_STEP_S + 1):
        subject.now = NOW + after_s
        store.find(BEARS)
        seen.append(subject.sql("SELECT used_at FROM keys")[0][0] - NOW)
    assert seen == [0.0, 0.0, 0.0, USED_STEP_S, USED_STEP_S]
    subject.now = NOW - 3600  # after the clock was set back
    store.find(BEARS)
    assert subject.sql("SELECT used_at FROM keys")[0][0] == NOW - 3600


def test_keys_that_are_not_known_yet(make: Callable[[], Subject]) -> None:
    """While the keys are not known yet, a request that may carry one is to be repeated later;
    others count as having no key."""
    subject = make()
    with pytest.raises(StateFault) as caught:
        subject.store.find(BEARS)
    assert caught.value.status == 503
    assert subject.store.find([("x-api-key", "another")]) is None
    assert subject.start().store.find(BEARS) is None


def test_keys_are_known_before_one_is_made(make: Callable[[], Subject]) -> None:
    """Whoever asks before the file is open waits for it, and then sees the stored keys."""
    subject = make().start()
    subject.wait(lambda then: subject.store.add(RECORD, nothing, then))
    again = make()
    seen: list[object] = []
    again.store.know(lambda fault: seen.append((fault, list(again.store.ring.by_name))))
    assert seen == []
    other = replace(RECORD, name="other", digest=digest_of(make_key(b"b" * 32)))
    again.db.start()
    assert again.wait(lambda then: again.store.add(other, nothing, then)) is None
    assert seen == [(None, ["ci"])]
    assert again.store.is_known
    assert again.store.find(BEARS) is not None


def test_a_folder_that_cannot_be_had(make: Callable[[], Subject], tmp_path: Path) -> None:
    """If the folder cannot be created no key is made, and the error says why."""
    make()
    other = Subject(tmp_path.resolve() / "state")
    fault = other.wait(lambda then: other.store.add(RECORD, nothing, then))
    assert isinstance(fault, StateFault)
    assert "another runtime" in str(fault)
    assert len(other.store) == 0
    other.close()


FILED = replace(RECORD, roles=("admin",), digest=digest_of(make_key(b"f" * 32)), origin=IN_FILE)


def test_a_file_of_keys(make: Callable[[], Subject]) -> None:
    """A key from the file replaces the one of the same name in state.db for as long as it is in the
    file."""
    subject = make()
    subject.start()
    subject.wait(lambda then: subject.store.add(RECORD, nothing, then))
    subject.store.take_file([FILED])
    assert subject.store.find(BEARS) is None
    assert subject.store.ring.by_name["ci"] == FILED
    with pytest.raises(ClientFault, match="comes from RUNTIME_KEYS_FILE, which wins"):
        subject.store.revoke("ci", nothing, nothing)
    with pytest.raises(ClientFault, match="comes from RUNTIME_KEYS_FILE"):
        subject.store.add(RECORD, nothing, nothing)
    assert subject.sql("SELECT name, revoked_at FROM keys") == [("ci", None)]
    subject.store.take_file([])
    found = subject.store.find(BEARS)
    assert found is not None
    assert found.roles == RECORD.roles


def test_a_key_of_the_file_before_the_state_is_read(make: Callable[[], Subject]) -> None:
    """A key from the file counts at once, while others wait for the state. Its last use is kept in
    memory only."""
    subject = make()
    subject.store.take_file([FILED])
    found = subject.store.find([("x-api-key", make_key(b"f" * 32))])
    assert found is not None
    assert subject.store.ring.by_name["ci"].used_at == NOW
    with pytest.raises(StateFault):
        subject.store.find(BEARS)
    subject.start()
    assert subject.store.ring.by_name["ci"].used_at == NOW  # the file's key is still there
    assert subject.sql("SELECT count(*) FROM keys") == [(0,)]
    subject.store.take_file([FILED])
    assert subject.store.ring.by_name["ci"].used_at == NOW


def test_without_state(tmp_path: Path) -> None:
    """Without state there are only the file's keys, and no others will be known later."""
    loop = Loop(lambda exc: None)
    tell: Any = lambda *_, **__: None  # noqa: E731
    folder = StateFolder(str(tmp_path / "s"), is_off=True)
    store = KeyStore(StateDb(folder, loop, tell=tell, warn=tell, error=tell), lambda: NOW)
    assert store.is_known
    assert store.find(BEARS) is None
    results: list[Any] = []
    store.add(RECORD, nothing, results.append)
    while not results:
        loop.run_once(10)
    loop.close()
    assert (results[0].status, results[0].code) == (409, "state_off")
    assert not (tmp_path / "s").exists()
