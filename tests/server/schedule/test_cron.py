"""Jobs run when they are due: as requests to the app's workers, and as programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from buntime.core.schedule.planner import Ended, JobKey
from buntime.core.telemetry.cronmetrics import JOB_LAST_GOOD, JOB_NEXT
from buntime.core.telemetry.otlp import EndedSpan
from buntime.core.telemetry.tracecontext import Sampler
from buntime.core.values.moments import iso_moment
from buntime.server.telemetry.tracer import Tracer
from tests.support.harness import write_app
from tests.support.unasked import NOW, Place

APP = """
import os, time
from buntime import Response
def fetch(request):
    if request.path == "/slow":
        time.sleep(60)
    if request.path == "/dies":
        print("dies", flush=True)
        os._exit(1)
    print(request.method, request.path, request.headers.get("x-buntime-cron"),
          request.headers.get("host"), request.base, flush=True)
    return Response("x" * 300_000, status=503 if request.path == "/fails" else 200)
"""
KEY = JobKey("shop", "j")


def write(place: Place, *jobs: dict[str, Any], **manifest: Any) -> None:
    cron = [{"schedule": "* * * * *", **job} for job in jobs]
    write_app(place.apps / "shop@1.2.0", {"app.py": APP}, **{"ttl": 60, **manifest}, cron=cron)


def known(place: Place, key: JobKey = KEY) -> JobKey:
    place.until(lambda: place.cron.find(key))
    return key


def run(place: Place, **job: Any) -> Ended:
    """Let a due job run to its end."""
    write(place, {"name": "j", **job})
    place.begin()
    known(place)
    place.wall += 60
    place.until(lambda: place.ended(KEY))
    (ended,) = place.ended(KEY)
    assert not place.service.jobs
    return ended


def test_a_request(place: Place) -> None:
    """When a job is due a worker gets a request with its name; nobody reads the answer."""
    ended = run(place, path="/clean", method="PUT")
    assert (ended.result, ended.detail, ended.at_s) == ("ok", "200", NOW + 60)
    assert place.lines() == ["PUT /clean j localhost /shop"]
    (done,) = place.events("cron.done")
    (access,) = place.sink.accesses
    assert (done["app"], done["version"], done["job"]) == ("shop", "1.2.0", "j")
    assert done["next"] == iso_moment(NOW + 120)
    assert (access.request_id, access.path, access.app) == (
        done["request_id"],
        "/shop/clean",
        "shop",
    )
    assert place.service.meters.of(place.roll.apps["shop"]).requests[2] == 1
    assert place.cron.counts[KEY, "ok"] == 1
    (row,) = place.cron.metrics()
    assert (row.values[JOB_LAST_GOOD], row.values[JOB_NEXT]) == (NOW + 60, NOW + 120)


def test_its_span(place: Place) -> None:
    """Tracing shows which job it was, and how long its worker took to load."""
    spans: list[EndedSpan] = []
    place.service.tracer = Tracer(Sampler(), spans.append)
    run(place, path="/clean")
    (span,) = spans
    assert (span.job, span.is_cold, span.entry.status) == ("j", True, 200)
    assert span.boot_ms is not None
    assert 0 < span.boot_ms < span.entry.ms


def test_a_program(place: Place) -> None:
    """A program's output is in the app's log, and its exit code is the result."""
    ended = run(place, run=["python", "-c", "print('hi'); raise SystemExit(3)"])
    assert (ended.result, ended.detail) == ("failed", "exit code 3")
    assert place.lines() == ["hi"]
    assert place.events("cron.failed")[0]["detail"] == "exit code 3"
    assert not place.pool.programs.running


def test_failures(place: Place) -> None:
    """A status other than 2xx is a failure, and so is a fault of the app's."""
    assert run(place, path="/fails")[2:] == ("failed", "503")


def test_a_worker_that_dies(place: Place) -> None:
    """The job is not retried, whatever the method: it may have been done in part."""
    assert run(place, path="/dies", method="GET")[2:] == ("failed", "502")
    assert place.lines() == ["dies"]


def test_timeouts(place: Place) -> None:
    """A job that exceeds its own timeout is ended, whatever the app's is."""
    slow = {"schedule": "*/2 * * * *", "name": "j", "path": "/slow", "timeout": "200ms"}
    write(place, {"schedule": "1-59/2 * * * *", "name": "first", "path": "/clean"}, slow)
    place.begin()
    known(place)
    for key in (JobKey("shop", "first"), KEY):  # the start of the worker would count as well
        place.wall += 60
        place.until(lambda key=key: place.ended(key))
    assert place.ended(KEY)[0][2:] == ("timeout", "504")
    assert place.events("app.timeout")[0]["timeout_s"] == 0.2
    assert place.pool.report.counters()["workerCreatedCount"] == 1


def test_timeouts_of_programs(place: Place) -> None:
    """The same holds for a program: it gets SIGTERM."""
    script = "trap 'echo bye; exit 0' TERM; sleep 60 & wait"
    assert run(place, run=["sh", "-c", script], timeout="1s")[2:] == ("timeout", "exit code 0")
    assert place.lines() == ["bye"]


def test_overlap(place: Place) -> None:
    """A job that is due while it still runs is skipped, and this is logged."""
    write(place, {"name": "j", "run": ["sleep", "30"]})
    place.begin()
    known(place)
    place.wall += 60
    place.until(lambda: place.pool.programs.running)
    place.wall += 60
    place.until(lambda: place.ended(KEY))
    assert place.ended(KEY)[0].result == "overlap"
    told = place.events("cron.overlapped")[0]
    assert (told["job"], told["due"]) == ("j", iso_moment(place.wall))
    place.pool.programs.kill_all()
    place.until(lambda: place.cron.running == 0)
    assert place.ended(KEY)[0].detail == "killed by SIGKILL"


def test_many_at_the_same_minute(tmp_path: Path, bundle: Path) -> None:
    """A few run at a time, and all of them do run."""
    place = Place(tmp_path, bundle, RUNTIME_CRON_CONCURRENCY="2")
    try:
        for number in range(6):
            job = {"schedule": "* * * * *", "name": "j", "run": [sys.executable, "-S", "-c", "1"]}
            write_app(place.apps / f"app{number}", {"app.py": APP}, cron=[job])
        place.begin()
        keys = [known(place, JobKey(f"app{number}", "j")) for number in range(6)]
        place.wall += 60
        most = 0

        def are_done() -> bool:
            nonlocal most
            most = max(most, len(place.pool.programs.running))
            return all(place.ended(key) for key in keys)

        place.until(are_done)
        assert most == 2
        assert {place.ended(key)[0].result for key in keys} == {"ok"}
    finally:
        place.close()


def test_changes(place: Place) -> None:
    """A changed manifest counts at once; a removed app's jobs are removed with it."""
    write(place, {"name": "j", "path": "/clean"})
    place.begin()
    known(place)
    write(place, {"name": "k", "path": "/other"})
    place.changed("shop")
    known(place, JobKey("shop", "k"))
    assert place.cron.find(KEY) is None
    (place.apps / "shop@1.2.0").rename(place.root / "away")
    place.changed("shop")
    place.until(lambda: not place.roll.apps)
    assert place.cron.seen() == []


def test_only_the_active_version(place: Place) -> None:
    """Jobs are those of the version that serves without a pin."""
    write(place, {"name": "j", "path": "/clean"})
    job = {"schedule": "@daily", "name": "old", "path": "/old"}
    write_app(place.apps / "shop@1.0.0", {"app.py": APP}, cron=[job])
    place.begin()
    known(place)
    assert [seen.key.name for seen in place.cron.seen()] == ["j"]


def test_no_preview(place: Place) -> None:
    """A preview runs no jobs, even if there is no other version."""
    job = {"schedule": "@daily", "name": "j", "path": "/clean"}
    write_app(place.apps / "shop@0.0.0-preview.pr-1", {"app.py": APP}, cron=[job])
    write_app(place.apps / "blog", {"app.py": APP}, cron=[job])
    place.begin()
    known(place, JobKey("blog", "j"))
    place.until(lambda: place.roll.has_looked)
    assert place.cron.find(KEY) is None


def test_a_rollout(place: Place) -> None:
    """A job that runs while another version arrives ends in the old one; the next run is the new
    version's."""
    write(place, {"name": "j", "run": ["sh", "-c", "echo old; read line < pipe; echo $line"]})
    os.mkfifo(place.apps / "shop@1.2.0/pipe")
    place.begin()
    known(place)
    place.wall += 60
    place.until(lambda: place.lines() == ["old"])
    job = {"schedule": "* * * * *", "name": "j", "run": ["echo", "new"]}
    write_app(place.apps / "shop@2.0.0", {"app.py": APP}, cron=[job])
    place.changed("shop")
    place.until(lambda: place.roll.apps["shop"].version == "2.0.0")
    (place.apps / "shop@1.2.0/pipe").write_text("still old\n")
    place.until(lambda: place.ended(KEY))
    place.wall += 60
    place.until(lambda: len(place.ended(KEY)) == 2)
    assert place.lines() == ["old", "still old", "new"]
    assert [each["version"] for each in place.events("cron.done")] == ["1.2.0", "2.0.0"]


def test_after_a_restart(tmp_path: Path, bundle: Path) -> None:
    """A job with `catchUp` that was missed while no runtime ran is run once; others are not."""
    place = Place(tmp_path, bundle)
    both = [{"name": "late", "path": "/a", "catchUp": True}, {"name": "j", "path": "/b"}]
    write(place, *both)
    place.begin()
    known(place)
    place.until(lambda: place.db.path and not place.unasked.cron.is_behind)
    place.close()
    place = Place(tmp_path, bundle)
    try:
        place.wall = NOW + 7245
        place.begin()
        late = known(place, JobKey("shop", "late"))
        place.until(lambda: place.ended(late) and place.ended(KEY))
        assert [ended.result for ended in place.ended(late)] == ["ok"]
        assert [ended.result for ended in place.ended(KEY)] == ["missed"]
        place.loop.run_once(0.3)
        assert len(place.ended(late)) == 1
    finally:
        place.close()


def test_without_the_state_folder(tmp_path: Path, bundle: Path) -> None:
    """Of two runtimes with one state folder, the one that holds it runs the jobs."""
    first, second = Place(tmp_path, bundle), Place(tmp_path, bundle)
    try:
        write(first, {"name": "j", "run": ["true"]})
        first.begin()
        second.begin()
        known(first)
        first.wall += 60
        first.until(lambda: first.ended(KEY))
        second.until(lambda: second.events("cron.unavailable"))
        assert second.cron.running == 0
    finally:
        first.close()
        second.close()


def test_at_the_shutdown(place: Place) -> None:
    """A running job is waited for like a request; nothing new starts."""
    write(place, {"name": "j", "path": "/slow"}, {"name": "k", "run": ["sleep", "60"]})
    place.begin()
    known(place)
    place.wall += 60
    place.until(lambda: len(place.service.jobs) == 2 and place.pool.programs.running)
    place.service.is_draining = True
    place.wall += 60
    place.until(lambda: not place.cron.run_now(KEY, lambda ended: None))
    assert len(place.service.jobs) == 2
    for job in tuple(place.service.jobs):
        job.abort()
    place.pool.kill_all()
    place.until(lambda: place.cron.running == 0)
    assert {ended.result for ended in (*place.ended(KEY), *place.ended(JobKey("shop", "k")))} == {
        "failed",
        "cut",
    }
