"""What operators see of jobs, and running a job on demand."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from buntime.core.errors import ClientFault, ServerFault
from buntime.core.schedule.planner import Ended, JobKey, Seen
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.missing import meant
from buntime.server.admin.streaming import NDJSON, Stream
from buntime.server.loop.loop import Loop
from buntime.server.schedule.unasked import Unasked

_ALIVE_S = 15.0  # between two lines of a run, for proxies that give up on silence


class CronPages:
    """Serves these pages."""

    def __init__(
        self,
        loop: Loop,
        unasked: Unasked,
        audit: Audit,
        faults: Callable[[], Mapping[str, Collection[str]]],
    ) -> None:
        """`faults` says by name why apps cannot be served: such an app has no jobs."""
        self._loop = loop
        self._unasked = unasked
        self._cron = unasked.cron
        self._audit = audit
        self._faults = faults

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"cron.list": self._list, "cron.run": self._run}

    def _list(self, call: Call) -> None:
        # The jobs of an app that has just been deployed must be listed.
        self._unasked.look(lambda: call.guard(lambda: self._answer(call)))

    def _answer(self, call: Call) -> None:
        found = {f"{seen.key.app}:{seen.key.name}": seen for seen in self._cron.seen()}
        page, following = call.page(name for name in found if call.sees(found[name].key.app))
        jobs = [_job(found[name]) for name in page]
        trouble = self._unasked.trouble or None
        call.answer({"jobs": jobs, "next": following, "unavailable": trouble})

    def _run(self, call: Call) -> None:
        self._unasked.look(lambda: call.guard(lambda: self._begin(call)))

    def _begin(self, call: Call) -> None:
        key = JobKey(call.values["app"], call.values["name"])
        seen = self._cron.find(key)
        if seen is None:
            raise self._no_job(call, key)
        if not self._unasked.runs_when_asked:
            raise ServerFault(503, "cron_unavailable", self._unasked.trouble)
        if call.is_dry_run:
            call.answer({"app": key.app, "name": key.name}, 202)
            return
        self._audit.begin(
            call, f"{key.app}:{key.name}", then=lambda begun: self._run_now(call, key, begun)
        )

    def _run_now(self, call: Call, key: JobKey, begun: Begun) -> None:
        telling = _Telling(self._loop, call)
        if self._cron.find(key) is None:
            raise self._no_job(call, key)
        if not self._cron.run_now(key, telling.on_end):
            raise ClientFault(409, "job_runs", f"{key.name} of {key.app} is already running")
        begun.end()
        if call.accepts(NDJSON):
            telling.begin()
        else:
            call.answer({"app": key.app, "name": key.name}, 202)

    def _no_job(self, call: Call, key: JobKey) -> ClientFault:
        """If the app has no job at all, it may be faulty, or another one meant."""
        for why in self._faults().get(key.app, ()):
            text = f"{key.app} has no jobs, as it cannot be served: {why}"
            return ClientFault(404, "job_not_found", text)
        seen = [each.key for each in self._cron.seen() if call.sees(each.key.app)]
        known = meant(key.name, [each.name for each in seen if each.app == key.app])
        if all(each.app != key.app for each in seen):
            known = meant(key.app, dict.fromkeys(each.app for each in seen))
        return ClientFault(404, "job_not_found", f"{key.app} has no job {key.name}{known}")


class _Telling:
    """Reports on a run as it goes, if the caller wants to follow it."""

    def __init__(self, loop: Loop, call: Call) -> None:
        self._loop = loop
        self._call = call
        self._stream: Stream | None = None
        self._begun_s = loop.now
        self._is_over = False

    def begin(self) -> None:
        self._stream = self._call.stream(NDJSON, is_endless=True)
        self._tell_alive()

    def on_end(self, ended: Ended) -> None:
        self._is_over = True
        if self._stream is not None:
            step = "done" if ended.result == "ok" else "failed"
            self._stream.line({"step": step, "run": _ended(ended)})
            self._stream.finish()

    def _tell_alive(self) -> None:
        stream = self._stream
        if stream is not None and not stream.is_over and not self._is_over:
            seconds = round(self._loop.now - self._begun_s, 1)
            stream.line({"step": "running", "seconds": seconds})
            self._loop.call_later(_ALIVE_S, self._tell_alive)


def _job(seen: Seen) -> dict[str, Any]:
    job = seen.planned.job
    return {
        "app": seen.key.app,
        "version": seen.planned.version,
        "name": job.name,
        "schedule": job.schedule,
        "timezone": job.timezone,
        "path": job.path,
        "method": None if job.path is None else job.method,
        "run": list(job.run),
        "overlap": job.overlap,
        "timeoutSeconds": job.timeout_s,
        "catchUp": job.catch_up,
        "cronOnly": job.cron_only,
        "next": _time(seen.next_s),
        "running": seen.running,
        "waiting": seen.waiting,
        "runs": [_ended(each) for each in seen.ended],
    }


def _ended(ended: Ended) -> dict[str, Any]:
    return {
        "due": _time(ended.at_s),
        "seconds": ended.seconds,
        "result": ended.result,
        "detail": ended.detail,
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
