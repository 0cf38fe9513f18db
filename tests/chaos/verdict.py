"""Judges what came back: what is allowed, what is not, and the figures."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.apps import ChaosApp
from tests.chaos.extent import FULL, Extent
from tests.chaos.journal import Asked, Deed, Journal
from tests.chaos.subject import Subject
from tests.chaos.traffic import KINDS
from tests.chaos.trouble import BREAKS, DEEDS, DEPLOYS, KILLS, LEFT

CUT = "cut"  # the app whose workers are killed even while they stream
KILLED_S = 70.0  # the longest time until a plugin that died often is started again
MENDED_S = 20.0  # after a broken version has gone: until then earlier requests may meet it
_EXCERPT = 8  # records printed with a failure
_SHOWN = 20  # failures printed in full


@dataclass
class Verdict:
    """Failures, and the figures to print with them."""

    failures: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = self.failures[:_SHOWN]
        left = len(self.failures) - len(shown)
        told = [f"FAILED {failure}" for failure in shown]
        if left:
            told.append(f"... and {left} more")
        return "\n".join([*self.figures, *(told or ["nothing lost, nothing wrong, nothing cut"])])


class Judge:
    """Knows the log, and from it which worker had which request."""

    def __init__(
        self, journal: Journal, apps: dict[str, ChaosApp], subject: Subject, *, shows_broken: bool
    ) -> None:
        """`shows_broken`: in development broken code answers, in production the code before it."""
        self._journal = journal
        self._shows_broken = shows_broken
        self._apps = apps
        self._killed = {deed.worker: deed for deed in journal.deeds if deed.what in KILLS}
        self._left = {deed.worker for deed in journal.deeds if deed.what == "SIGSTOP for good"}
        self.excused: Counter[str] = Counter()
        # only for odd requests, because the log of ten minutes is long
        targets = {asked.target for asked in journal.odd}
        self._worker_of: dict[str, str] = {}
        self.events: Counter[tuple[str, str]] = Counter()
        for record in subject.records():
            if record["event"] == "request.access":
                if record["path"] in targets:
                    self._worker_of[record["path"]] = record["worker"]
            elif record.get("level") in ("warn", "error") and "stream" not in record:
                self.events[record["level"], record["event"]] += 1

    def worker_of(self, asked: Asked) -> str:
        return self._worker_of.get(asked.target) or ""

    def excuse(self, asked: Asked) -> str | None:
        """Why this outcome is allowed; None if it is not."""
        worker = self.worker_of(asked)
        was_killed = worker in self._killed
        may_refuse = (*FULL.floods, LEFT)
        match asked.outcome:
            case "refused" if plugin := self._plugin_killed_before(asked):
                return f"503 while {plugin} is started again, which was killed"
            case "refused" if asked.app in may_refuse:
                return f"{asked.app}: refused, with Retry-After"
            case "late" if worker in self._left:
                return "504 for what a worker had that was stopped for good"
            case "died" | "cut" | "lost" if asked.is_post and (was_killed or worker in self._left):
                return f"POSTs in a killed worker's hands: {asked.outcome}"
            case "cut" if asked.kind == "websocket" and was_killed:
                return "WebSockets of a killed worker: closed"
            case "cut" if asked.app == CUT and was_killed:
                return "streamed GETs that a killed worker had begun to answer: cut, seen to be"
            case "broken" | "refused" if self._was_broken(asked):
                return f"{asked.app}: {asked.detail.partition(',')[0]}, while its newest is broken"
        return None

    def judge(self) -> list[Asked]:
        """The requests without an excuse."""
        failed = []
        for asked in self._journal.odd:
            why = self.excuse(asked)
            if why is None:
                failed.append(asked)
            else:
                self.excused[why] += 1
        return failed

    def _plugin_killed_before(self, asked: Asked) -> str:
        """The plugin for which the request was refused, if it was killed recently."""
        code = asked.detail.split(",")[0].removeprefix("503 ")
        if code not in ("plugin_unavailable", "store_away"):
            return ""
        own = "plugin:guard" if asked.kind == "guarded" else "plugin:tag"
        name = "plugin:store" if code == "store_away" else own
        for deed in self._journal.deeds:
            is_late = deed.at_s > asked.ended_s or deed.at_s < asked.started_s - KILLED_S
            if deed.what in KILLS and deed.app == name and not is_late:
                return name
        return ""

    def _was_broken(self, asked: Asked) -> bool:
        if asked.app != BREAKS or "@" in asked.target or not self._shows_broken:
            return False
        return self._apps[BREAKS].may_be_broken(asked.started_s, asked.ended_s, MENDED_S)

    def describe(self, asked: Asked, subject: Subject) -> str:
        """Everything that helps to find out why."""
        since = asked.started_s - self._journal.begun_s
        took = asked.ended_s - asked.started_s
        worker = self.worker_of(asked)
        lines = [
            f"{asked.outcome}: {asked.kind} {asked.target}: {asked.detail}",
            f"    begun {since:.2f} s after the start, took {took:.2f} s, worker {worker or '?'}",
        ]
        near = [deed for deed in self._journal.deeds if _concerns(deed, asked, worker)]
        lines += [
            f"    {deed.at_s - self._journal.begun_s:.2f} s: {deed.what} {deed.app} {deed.worker}"
            for deed in near[-_EXCERPT:]
        ]
        records = [
            record
            for record in subject.records()
            if (worker and record.get("worker") == worker and record["event"] != "request.access")
            or record.get("path") == asked.target
        ]
        lines += [f"    {json.dumps(record)[:400]}" for record in records[-_EXCERPT:]]
        return "\n".join(lines)


def _concerns(deed: Deed, asked: Asked, worker: str) -> bool:
    if worker and deed.worker == worker:
        return True
    return deed.app == asked.app and asked.started_s - 10 <= deed.at_s <= asked.ended_s


def ledger_failures(ledger: Path, journal: Journal) -> tuple[list[str], int]:
    """POSTs that ran twice, or that never ran although answered, or ran although refused."""
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    runs = Counter(line.partition(" ")[0] for line in lines)
    pids: dict[str, list[str]] = {}
    for line in lines:
        pids.setdefault(line.partition(" ")[0], []).append(line.partition(" ")[2])
    failures = [
        f"POST {name} was run {count} times, by {pids[name]}"
        for name, count in runs.items()
        if count > 1
    ]
    failures += [f"POST {name} was answered and not run" for name in journal.posted - runs.keys()]
    failures += [f"POST {name} was refused and run" for name in journal.unrun & runs.keys()]
    return failures, len(runs)


def judge(
    journal: Journal,
    apps: dict[str, ChaosApp],
    subject: Subject,
    ledger: Path,
    end: dict[str, Any],
    extent: Extent,
    *,
    shows_broken: bool,
) -> Verdict:
    """The verdict; `end` is what was found once the traffic was over, failures and figures."""
    judge = Judge(journal, apps, subject, shows_broken=shows_broken)
    failed = judge.judge()
    verdict = Verdict([judge.describe(asked, subject) for asked in failed[:_SHOWN]])
    verdict.failures += [asked.target for asked in failed[_SHOWN:]]
    wrong_runs, runs = ledger_failures(ledger, journal)
    verdict.failures += wrong_runs
    verdict.failures += end.pop("failures")
    verdict.failures += [
        f"the log says {count} times: {event}"
        for (_, event), count in judge.events.items()
        if event in ("runtime.internal_error", "not JSON")
    ]
    verdict.failures += what_did_not_happen(journal, extent)
    verdict.figures = [*_figures(journal, judge, failed), f"POSTs run: {runs}"]
    verdict.figures += [f"{name}: {value}" for name, value in end.items()]
    return verdict


def what_did_not_happen(journal: Journal, extent: Extent) -> list[str]:
    """A run in which nothing went wrong, or nothing was answered, proves nothing."""
    deeds = {deed.what for deed in journal.deeds}
    wanted = [what for kind, what in DEEDS.items() if extent.has(kind)]
    missing = [f"no {what} was done" for what in wanted if what not in deeds]
    if extent.has("deploy") and not DEPLOYS & deeds:
        missing.append("nothing was deployed")
    return missing + [f"no {kind} was answered" for kind in KINDS if not journal.counts[kind, "ok"]]


def _figures(journal: Journal, judge: Judge, failed: list[Asked]) -> list[str]:
    lines = [f"{'kind':10} {'right':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}  odd"]
    for kind in sorted({kind for kind, _ in journal.counts}):
        times = sorted(journal.latencies_ms.get(kind, [0.0]))
        odd = {
            outcome: count
            for (other, outcome), count in journal.counts.items()
            if other == kind and outcome != "ok"
        }
        lines.append(
            f"{kind:10} {journal.counts[kind, 'ok']:8} {statistics.median(times):8.1f} "
            f"{times[int(0.99 * (len(times) - 1))]:8.1f} {times[-1]:8.1f}  "
            + ", ".join(f"{count} {outcome}" for outcome, count in sorted(odd.items()))
        )
    lines.append(f"WebSocket messages echoed: {journal.sockets_echoed}")
    deeds = Counter(deed.what for deed in journal.deeds)
    lines.append("done: " + ", ".join(f"{count} {what}" for what, count in deeds.most_common()))
    lines += [f"expected: {count} {why}" for why, count in sorted(judge.excused.items())]
    waits = sorted(journal.retry_after_s)
    if waits:
        lines.append(f"Retry-After: median {statistics.median(waits):g} s, most {waits[-1]:g} s")
    slow = sorted(journal.lags_s.items(), key=lambda item: -item[1])[:3]
    lines.append("new code took at most " + ", ".join(f"{s:.1f} s ({app})" for app, s in slow))
    told = ", ".join(f"{count} {event}" for (_, event), count in judge.events.most_common())
    lines.append(f"log: {told}")
    gets = [asked for asked in failed if not asked.is_post]
    posts = len(failed) - len(gets)
    lines.append(f"beyond that: {len(gets)} GETs or WebSockets, {posts} POSTs")
    return lines
