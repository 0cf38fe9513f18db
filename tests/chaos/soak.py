"""What the runtime holds after much recycling: `python3 build.py soak --requests 200000`.

Every app's workers are replaced after about 500 requests. Before and after, with no request in
hand, the runtime's descriptors, threads, processes and memory are counted; they must agree within 5
%. Part of the traffic comes before the first count, with enough workers to fill the caches of
worker names, so that the allocator has found its level.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.chaos.apps import ASGI, ASYNC, SITE, SYNC, WSGI, Deployer
from tests.chaos.client import Client
from tests.chaos.journal import Journal
from tests.chaos.subject import Subject, subject
from tests.chaos.traffic import Traffic
from tests.support.offshoots import Stem

TOLERANCE = 0.05
MAX_REQUESTS = 500
QUIET_S = 30.0
_WARM_PART = 2  # one request in this many comes before the first count
# The log caches the names of this many workers, and the cache grows until then. A soak of 200,000
# requests fills it before the first count.
_CACHED = 1024
_FILLS = 1 / 190  # workers for a request
_PARTS = 10  # memory is measured at rest after each of them
# Shares of a hundred requests; `once` takes a process for each.
_SHARES: dict[tuple[str, str], float] = {
    ("sync", "small"): 20,
    ("sync", "echo"): 6,
    ("async", "small"): 20,
    ("async", "echo"): 5,
    ("wsgi", "small"): 18,
    ("wsgi", "echo"): 5,
    ("asgi", "small"): 18,
    ("asgi", "echo"): 5,
    (SITE, "static"): 1.2,
    ("async", "upload"): 1,
    ("once", "small"): 0.8,
}


class Holdings(NamedTuple):
    """What the runtime holds; `processes` are its children."""

    descriptors: int
    threads: int
    processes: int
    memory_bytes: int


@dataclass
class Soaked:
    """The outcome of a soak."""

    before: Holdings
    after: Holdings
    requests: int
    seconds: float
    workers: int
    memory: list[int]  # bytes, at rest, after each part of the requests
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.requests / self.seconds
        lines = [
            f"{self.requests} requests in {self.seconds:.0f} s ({rate:.0f}/s)",
            f"{self.workers} workers were started",
        ]
        for name, before, after in zip(Holdings._fields, self.before, self.after, strict=True):
            lines.append(f"{name:14} {before:12} {after:12}  {after / before - 1:+.1%}")
        lines.append("memory, KiB: " + " ".join(str(size >> 10) for size in self.memory))
        return "\n".join([*lines, *self.failures])


def soak(
    folder: Path,
    *,
    requests: int,
    seed: int = 1,
    memory_tolerance: float = TOLERANCE,
    worker_requests: int = MAX_REQUESTS,
    stem: Stem | None = None,
) -> Soaked:
    """Send this many requests, and compare what the runtime held before and after them.

    `stem` is what workers are forked from, if they are.
    """
    apps = folder / "apps"
    apps.mkdir(parents=True)
    deployer = Deployer(apps, folder / "ledger", pause_ms=1)
    for name, code in (("sync", SYNC), ("async", ASYNC), ("wsgi", WSGI), ("asgi", ASGI)):
        deployer.add(name, code, ttl=3600, idleTimeout=3600, maxRequests=worker_requests)
    deployer.add("once", SYNC)
    deployer.add(SITE, "")
    env = {"RUNTIME_ENV": "production", "RUNTIME_LOG_LEVEL": "info"}
    with subject(apps, folder / "log", env, stem) as runtime:
        soaked = asyncio.run(_soak(runtime, deployer, requests, seed, worker_requests))
    for name, then, now in zip(Holdings._fields, soaked.before, soaked.after, strict=True):
        tolerance = memory_tolerance if name == "memory_bytes" else TOLERANCE
        if abs(now / then - 1) > tolerance:
            soaked.failures.append(f"{name}: {then} before, {now} after")
    return soaked


async def _soak(
    runtime: Subject, deployer: Deployer, requests: int, seed: int, worker_requests: int
) -> Soaked:
    traffic = Traffic(runtime.port, Journal(), seed, small_max=4000)
    await _ask(traffic, deployer, max(1000, requests // _WARM_PART), "warm")
    processes = min(_CACHED, int(requests * _FILLS))
    await _ask_often(traffic, deployer, "once", "small", "fill", processes)
    created = await _workers_created(runtime)  # counted first: it starts a thread for metrics
    before = await _count_at_rest(runtime)
    started = time.monotonic()
    memory = [before.memory_bytes]
    for part in range(_PARTS):
        await _ask(traffic, deployer, requests // _PARTS, f"soak{part}")
        after = await _count_at_rest(runtime)
        memory.append(after.memory_bytes)
    seconds = time.monotonic() - started
    workers = await _workers_created(runtime) - created
    soaked = Soaked(before, after, requests, seconds, workers, memory)
    odd = Counter(f"{asked.kind} at {asked.app}: {asked.detail}" for asked in traffic.journal.odd)
    soaked.failures = [f"{count} times {what}" for what, count in odd.items()]
    once = 2 * _PARTS * _each(requests // _PARTS, _SHARES["once", "small"])
    wanted = requests / worker_requests * 0.8  # some go to the site, and there is jitter
    if workers - once < wanted:
        soaked.failures.append(f"only {workers - once} workers that stay: they were not recycled")
    return soaked


async def _ask(traffic: Traffic, deployer: Deployer, requests: int, label: str) -> None:
    """The shares side by side, two clients each, so that workers have several requests in hand."""
    async with asyncio.TaskGroup() as tasks:
        for (name, kind), share in _SHARES.items():
            for number in range(2):
                count = _each(requests, share)
                tasks.create_task(
                    _ask_often(traffic, deployer, name, kind, f"{label}-{number}", count)
                )


def _each(requests: int, share: float) -> int:
    """How many of these requests each of the two clients sends for something with this share."""
    return int(requests * share / 200)


async def _ask_often(
    traffic: Traffic, deployer: Deployer, app: str, kind: str, label: str, count: int
) -> None:
    client = Client(traffic.port)
    chance = traffic.chance(f"{app} {kind} {label}")
    for number in range(count):
        name = f"{label}-{kind}-{number}"
        await traffic.ask(client, deployer.apps[app], kind, name, chance)
    client.close()


async def _count_at_rest(runtime: Subject) -> Holdings:
    """Count once no worker is busy, loading or ending, and the spares are there."""
    until = time.monotonic() + QUIET_S
    while True:
        states = await _states(runtime)
        if set(states) <= {"idle", "spare"} and states["spare"] == 2:
            break
        if time.monotonic() > until:
            raise AssertionError(f"no rest within {QUIET_S:g} s: {states}")
        await asyncio.sleep(0.05)  # polls
    return Holdings(
        runtime.descriptors(), runtime.threads(), len(runtime.children()), runtime.resident_bytes()
    )


async def _states(runtime: Subject) -> Counter[str]:
    workers = (await _api(runtime, "/api/workers"))["workers"]
    return Counter(worker["status"] for worker in workers)


async def _workers_created(runtime: Subject) -> int:
    return int((await _api(runtime, "/api/workers/metrics"))["workerCreatedCount"])


async def _api(runtime: Subject, path: str) -> dict:
    client = Client(runtime.port)
    reply = await client.ask("GET", path)
    client.close()
    return json.loads(reply.body)


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        soaked = soak(Path(scratch), requests=args.requests, seed=args.seed)
    print(soaked)
    return 1 if soaked.failures else 0


if __name__ == "__main__":
    sys.exit(main())
