"""The last deploys, in memory and in state.db."""

from __future__ import annotations

from pathlib import Path

from buntime.core.errors import ServerFault
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.history import KEPT, History
from tests.support.statesubject import Subject


def deploy(history: History, number: int) -> None:
    """Record a deploy that ends at once."""
    made = Deploy(f"d{number}", "deploy", "shop", f"{number}.0.0", "laptop")
    history.add(made)
    made.fail(ServerFault(500, "broken", "it does not boot"), log=[])


def test_how_many_are_kept(tmp_path: Path) -> None:
    """Fifty deploys are kept: the next one drops the oldest, in memory and in the file; a later
    runtime shows them behind its own, fifty in all."""
    subject = Subject(tmp_path)
    subject.db.start()
    history = History(subject.db)
    for number in range(KEPT):
        deploy(history, number)
    assert [each["id"] for each in history.latest()][-1] == "d0"
    deploy(history, KEPT)
    ids = [f"d{number}" for number in range(KEPT, 0, -1)]
    assert [each["id"] for each in history.latest()] == ids
    [[count]] = subject.sql("SELECT count(*) FROM deploys")
    assert count == KEPT == 50
    assert subject.sql("SELECT id FROM deploys WHERE id = 'd0'") == []
    subject.close()
    subject = Subject(tmp_path)
    history = History(subject.db)
    subject.db.start()
    subject.sql("SELECT 1")
    while not history.latest():
        subject.loop.run_once(1)
    assert [each["id"] for each in history.latest()] == ids
    deploy(history, KEPT + 1)
    assert [each["id"] for each in history.latest()] == [f"d{KEPT + 1}", *ids[:-1]]
    subject.sql("SELECT 1")
    subject.close()
