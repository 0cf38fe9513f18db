"""Which apps are closed, as state.db records it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.server.admin.maintenance import Closed, Maintenance
from tests.support.statesubject import Subject


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    subject = Subject(tmp_path / "state")
    subject.db.start()
    yield subject
    subject.close()


def test_who_comes_before_it_is_known(tmp_path: Path) -> None:
    """At a start a request waits until it is known which apps are closed, and followers are told
    even if none is."""
    subject = Subject(tmp_path / "state")
    try:
        maintenance = Maintenance(subject.db)
        told: list[bool] = []
        seen: list[bool] = []
        maintenance.follow(lambda: told.append(maintenance.is_known))
        assert maintenance.waits(lambda: seen.append(maintenance.is_known))
        assert (told, seen) == ([], [])
        subject.db.start()
        while not seen:
            subject.loop.run_once(10)
        assert (told, seen) == ([True], [True])
        assert not maintenance.waits(subject.loop.stop)
    finally:
        subject.close()


def test_what_is_kept_with_a_change(subject: Subject) -> None:
    """An app is neither closed nor opened if the record that goes with it cannot be stored."""
    maintenance = Maintenance(subject.db)
    results: list[Any] = []

    def wait() -> Any:
        while not results:
            subject.loop.run_once(10)
        return results.pop()

    def rows() -> Any:
        tables = ("SELECT app FROM maintenance", "SELECT value FROM about WHERE key = 'with'")
        subject.db.ask(lambda c: [c.execute(sql).fetchall() for sql in tables], results.append)
        return wait()

    def keep(connection: Any) -> None:
        connection.execute("INSERT OR REPLACE INTO about VALUES ('with', 'it')")

    def fail(connection: Any) -> None:
        connection.execute("INSERT OR REPLACE INTO about VALUES ('with', 'no')")
        raise ValueError("it cannot be kept")

    def close(with_it: Any) -> Any:
        maintenance.close("shop", "later", 60, lambda _: with_it, results.append)
        return wait()

    def open_again(with_it: Any) -> Any:
        maintenance.open("shop", with_it, results.append)
        return wait()

    assert isinstance(close(fail), ValueError)
    assert (rows(), maintenance.of("shop")) == ([[], []], None)
    assert isinstance(close(keep), Closed)
    assert rows() == [[("shop",)], [("it",)]]
    assert isinstance(open_again(fail), ValueError)
    assert rows() == [[("shop",)], [("it",)]]
    assert maintenance.of("shop") is not None
    assert open_again(keep) is None
    assert (rows()[0], maintenance.of("shop")) == ([], None)
