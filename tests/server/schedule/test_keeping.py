"""What is kept of jobs after a runtime ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path

from buntime.core.apps.cronkeys import cron_jobs
from buntime.core.schedule.expression import Schedule
from buntime.core.schedule.planner import KEPT_RUNS, Ended, JobKey, Kept, Planned, Planner
from buntime.server.schedule.keeping import Keeping
from tests.support.statesubject import Subject

KEY = JobKey("shop", "clean")
(JOB,) = cron_jobs([{"schedule": "0 * * * *", "path": "/clean"}])
SCHEDULE = Schedule("0 * * * *", UTC)


class Keeper:
    """A keeping with a real database."""

    def __init__(self, folder: Path) -> None:
        self.subject = Subject(folder)
        self.warned: list[str] = []
        self.got: list[Mapping[JobKey, Kept]] = []
        self.keeping = Keeping(
            self.subject.db, warn=lambda event, _, **__: self.warned.append(event)
        )
        self.keeping.follow(self.got.append)
        self.subject.db.start()
        while not self.got:
            self.subject.loop.run_once(10)

    def warn(self, event: str, message: str, /, **fields: object) -> None:
        self.warned.append(event)


def test_it_is_kept(tmp_path: Path) -> None:
    """How far a job was handled, and its last runs, are kept; older runs are dropped."""
    first = Keeper(tmp_path)
    assert first.got[0] == {}
    planner = Planner(1)
    planner.plan({KEY: Planned(JOB, SCHEDULE, None)}, 1_700_000_000.0)
    for number in range(KEPT_RUNS + 5):
        first.keeping.add(KEY, Ended(float(number), 0.5, "ok", "200"))
        first.keeping.put(planner.seen())
    first.subject.sql("SELECT 1")  # after the first batch
    first.keeping.put(planner.seen())
    first.subject.close()
    second = Keeper(tmp_path)
    (kept,) = second.got[0].values()
    assert (kept.schedule, kept.since_s) == (SCHEDULE, 1_700_000_000.0)
    assert [ended.at_s for ended in kept.ended] == [float(n) for n in range(5, KEPT_RUNS + 5)]
    assert first.warned == second.warned == []
    second.subject.close()


def test_no_state(tmp_path: Path) -> None:
    """If nothing can be kept this is reported once, and jobs continue."""
    (tmp_path / "state.db").mkdir()
    keeper = Keeper(tmp_path)
    assert keeper.got == [{}]
    for number in (1.0, 2.0):
        keeper.keeping.add(KEY, Ended(number, 0.5, "ok", "200"))
        keeper.keeping.put([])
        keeper.subject.ask(lambda connection: None)
    assert keeper.warned == ["cron.not_kept"]
    keeper.subject.close()
