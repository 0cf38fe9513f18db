"""Which jobs are due, which wait, and which are skipped."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.cronkeys import cron_jobs
from buntime.core.schedule.expression import Schedule
from buntime.core.schedule.planner import Ended, JobKey, Kept, Planned, Planner, Run

START = 1_700_000_050.0  # ten seconds before a full minute
MINUTE = START - 10 + 60  # the next full minute


def planned(**keys: object) -> dict[JobKey, Planned]:
    (job,) = cron_jobs([{"schedule": "* * * * *", "path": "/clean", **keys}])
    schedule = Schedule(job.schedule, UTC)
    return {JobKey("shop", job.name): Planned(job, schedule, "1.0.0")}


def make(most: int = 4, **keys: object) -> tuple[Planner, JobKey]:
    planner, jobs = Planner(most), planned(**keys)
    planner.plan(jobs, START)
    return planner, next(iter(jobs))


def started(planner: Planner, now: float) -> list[Run]:
    found = []
    while run := planner.take(now):
        found.append(run)
    return found


def results(planner: Planner, key: JobKey) -> list[str]:
    seen = planner.find(key)
    assert seen is not None
    return [ended.result for ended in seen.ended]


def end(planner: Planner, run: Run) -> Ended:
    return planner.ended(run, "ok", "200", 1.0)


def test_due() -> None:
    """A job runs at its time and not before, once, in the version that is active then."""
    planner, key = make()
    assert planner.next_s() == MINUTE
    assert planner.look(MINUTE - 0.1) == []
    assert started(planner, MINUTE) == []
    assert planner.look(MINUTE + 0.4) == []
    (run,) = started(planner, MINUTE + 0.4)
    assert (run.key, run.at_s, run.version) == (key, MINUTE, "1.0.0")
    assert planner.look(MINUTE + 0.5) == []
    assert started(planner, MINUTE) == []
    assert end(planner, run) == Ended(MINUTE, 1.0, "ok", "200")
    assert planner.next_s() == MINUTE + 60


def test_overlap_forbidden() -> None:
    """A time that comes while the job runs is skipped, and reported."""
    planner, key = make()
    planner.look(MINUTE)
    (run,) = started(planner, MINUTE)
    (over,) = planner.look(MINUTE + 60)
    assert (over.key, over.ended.at_s, over.ended.result) == (key, MINUTE + 60, "overlap")
    assert started(planner, MINUTE + 60) == []
    end(planner, run)
    assert started(planner, MINUTE + 61) == []
    assert results(planner, key) == ["ok", "overlap"]


def test_overlap_queued() -> None:
    """One run waits for its predecessor, others are skipped."""
    planner, _ = make(overlap="queue")
    planner.look(MINUTE)
    (run,) = started(planner, MINUTE)
    assert planner.look(MINUTE + 60) == []
    assert [over.ended.result for over in planner.look(MINUTE + 120)] == ["overlap"]
    end(planner, run)
    (second,) = started(planner, MINUTE + 125)
    assert second.at_s == MINUTE + 60


def test_overlap_allowed() -> None:
    """Up to ten runs may overlap."""
    planner, _ = make(most=50, overlap="allow")
    for minute in range(12):
        planner.look(MINUTE + 60 * minute)
    assert len(started(planner, MINUTE + 720)) == 10


def test_no_more_than_there_are_places() -> None:
    """Many jobs due in the same minute run a few at a time, in their order."""
    planner = Planner(2)
    (one,) = planned().values()
    planner.plan({JobKey(f"app{n:02}", "j"): one for n in range(20)}, START)
    planner.look(MINUTE)
    order = []
    running = started(planner, MINUTE)
    while running:
        assert len(running) <= 2
        assert planner.running == len(running)
        order += [run.key.app for run in running]
        for run in running:
            end(planner, run)
        running = started(planner, MINUTE + 1)
    assert order == [f"app{n:02}" for n in range(20)]


def test_missed() -> None:
    """After the machine has slept, times are missed, unless the job catches up with one run."""
    planner, key = make(schedule="0 * * * *")
    first = planner.next_s() or 0
    (over,) = planner.look(first + 3 * 3600 + 100)
    assert (over.ended.result, over.ended.at_s) == ("missed", first)
    assert started(planner, first + 3 * 3600 + 100) == []
    planner, key = make(schedule="0 * * * *", catchUp=True)
    assert planner.look(first + 3 * 3600 + 100) == []
    (run,) = started(planner, first + 3 * 3600 + 100)
    assert run.at_s == first
    assert results(planner, key) == []
    assert planner.next_s() == first + 4 * 3600


def test_missed_and_on_time() -> None:
    """What is due right now runs, whatever was missed before."""
    planner, _ = make()
    assert [over.ended.result for over in planner.look(MINUTE + 600)] == ["missed"]
    (run,) = started(planner, MINUTE + 600)
    assert run.at_s == MINUTE + 600


def test_clock_set_back() -> None:
    """No time counts twice; a clock that was wrong by more than a day is ignored."""
    planner, _ = make()
    planner.look(MINUTE)
    (run,) = started(planner, MINUTE)
    end(planner, run)
    for now in (MINUTE - 3600, MINUTE - 5, MINUTE, MINUTE + 59):
        assert planner.look(now) == []
        assert started(planner, now) == []
    planner.look(MINUTE + 60)
    assert len(started(planner, MINUTE + 60)) == 1
    planner.look(MINUTE - 30 * 86_400)
    assert planner.next_s() == MINUTE - 30 * 86_400 + 60


def test_remembered() -> None:
    """The history of an earlier runtime counts: what it has run is not run again."""
    planner, key = make(catchUp=True, schedule="0 * * * *")
    (job,) = planned(schedule="0 * * * *").values()
    old = Ended(START - 7000, 2.0, "ok", "200")
    planner.remember(key, Kept(job.schedule, START - 7000, (old,)), START)
    planner.look(START)
    (run,) = started(planner, START)
    assert run.at_s is not None
    assert run.at_s < START
    assert results(planner, key) == ["ok"]
    planner, key = make(catchUp=True)
    planner.remember(key, Kept(Schedule("1 1 1 1 *", UTC), START - 7000, ()), START)
    assert planner.look(START) == []
    assert started(planner, START) == []


def test_remembered_from_the_future() -> None:
    """If the clock was set back, stored times are waited for, unless they are far ahead."""
    planner, key = make()
    (job,) = planned().values()
    planner.remember(key, Kept(job.schedule, MINUTE + 3600, ()), START)
    assert planner.next_s() == MINUTE + 3660
    planner, key = make()
    planner.remember(key, Kept(job.schedule, MINUTE + 90 * 86_400, ()), START)
    assert planner.next_s() == MINUTE


def test_jobs_change() -> None:
    """A removed job finishes its run and is forgotten; its waiting runs do not start."""
    planner = Planner(1)
    (one,) = planned().values()
    keys = [JobKey("a", "j"), JobKey("b", "j")]
    planner.plan(dict.fromkeys(keys, one), START)
    planner.look(MINUTE)
    (run,) = started(planner, MINUTE)
    planner.plan({keys[0]: one._replace(version="2.0.0")}, MINUTE)
    end(planner, run)
    assert started(planner, MINUTE + 1) == []
    planner.plan({}, MINUTE + 1)
    planner.look(MINUTE + 60)
    assert started(planner, MINUTE + 60) == []
    assert planner.running == 0


def test_run_now() -> None:
    """A requested run ignores the schedule and the limit, unless the job is running already."""
    planner, key = make(most=1)
    run = planner.run_now(key, START)
    assert run is not None
    assert run.at_s is None
    assert planner.run_now(key, START) is None
    assert end(planner, run).at_s == START
    assert planner.run_now(key, START + 2) is not None


def test_closed() -> None:
    """Nothing starts after it is closed."""
    planner, key = make()
    planner.look(MINUTE)
    planner.close()
    assert started(planner, MINUTE) == []
    assert planner.run_now(key, MINUTE) is None


@given(
    st.lists(st.tuples(st.floats(-4000, 4000), st.integers(0, 3)), max_size=40),
    st.sampled_from(["forbid", "allow", "queue"]),
    st.booleans(),
)
def test_law(steps: list[tuple[float, int]], overlap: str, catch_up: bool) -> None:
    """However the clock jumps, no time runs twice, none runs early, and a job never has more
    runs than its overlap allows."""
    planner, _ = make(most=3, overlap=overlap, catchUp=catch_up, schedule="*/7 * * * *")
    now = START
    running: list[Run] = []
    moments: list[float] = []
    for step_s, ends in steps:
        now += step_s
        for run in running[:ends]:
            end(planner, run)
        running = running[ends:]
        planner.look(now)
        new = started(planner, now)
        running += new
        moments += [run.at_s or 0.0 for run in new]
        assert len(running) <= (3 if overlap == "allow" else 1)
        assert all(run.at_s is not None and run.at_s <= max(now, run.at_s) for run in new)
    assert len(set(moments)) == len(moments)
