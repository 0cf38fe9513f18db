"""One run: apps, runtime, traffic, trouble, quiet, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.chaos.apps import ASGI, ASYNC, SITE, SYNC, WSGI, ChaosApp, Deployer
from tests.chaos.extent import FULL, Extent
from tests.chaos.journal import Journal
from tests.chaos.plugins import CALLER, CALLS, PLUGINS, TAGGED, Plugins
from tests.chaos.subject import Subject, subject
from tests.chaos.traffic import ATTEMPT_S, Traffic
from tests.chaos.trouble import BREAKS, LEFT, WHOLE, Trouble
from tests.chaos.verdict import CUT, Verdict, judge, what_did_not_happen
from tests.siege.apps import write_hostile
from tests.siege.attacker import attacker
from tests.support.fence import KERNEL
from tests.support.harness import is_alive, wait_until
from tests.support.offshoots import Stem

QUIET_S = 30.0  # after the last answer: time for workers that should end
STOPPED_IN_S = 20.0
# How much longer a slow machine may take until each kind of trouble has happened.
LONGER_S = 60.0
_CROWD = 6  # apps
_LEFT_TIMEOUT_S = 3
POOL = {
    "RUNTIME_POOL_SIZE": "16",  # 19 apps have processes, some of them two workers
    "RUNTIME_EPHEMERAL_CONCURRENCY": "4",
    "RUNTIME_EPHEMERAL_QUEUE_LIMIT": "10",
    # On a busy machine a flood's clients, all in this process, write seconds after they connect.
    "RUNTIME_HEAD_TIMEOUT": "60s",
}
# The clients: app, kind of request, number of clients.
CLIENTS = [
    ("sync", "small", 2),
    ("sync", "echo", 2),
    ("sync", "upload", 1),
    ("sync", "guarded", 2),
    (CALLS, "small", 2),
    ("async", "small", 2),
    ("async", "echo", 1),
    ("async", "upload", 1),
    ("async", "websocket", 2),
    ("wsgi", "small", 2),
    ("wsgi", "echo", 2),
    ("wsgi", "upload", 1),
    ("asgi", "small", 2),
    ("asgi", "echo", 1),
    ("asgi", "upload", 1),
    ("asgi", "websocket", 1),
    (WHOLE, "big", 2),
    (WHOLE, "small", 1),
    (CUT, "big", 1),
    ("once", "small", 1),
    ("once", "echo", 1),
    ("warm", "small", 1),
    ("warm", "echo", 1),
    (SITE, "static", 1),
    (LEFT, "small", 2),
    (LEFT, "echo", 1),
    (BREAKS, "small", 1),
    *((name, "small", 1) for name in FULL.floods),
]
PINNED = "@1.1.0"
FLOODED: dict[str, dict[str, object]] = {"flooded": {"ttl": 60, "concurrency": 2}, "burst": {}}


def run(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    env: str,
    attack: str = "",
    extent: Extent = FULL,
    stem: Stem | None = None,
) -> Verdict:
    """Chaos for this many seconds, in `env` (production or development), beside this attack; for up
    to LONGER_S more if some kind of trouble has not happened yet. `stem` is what workers are forked
    from, if they are.
    """
    raise_descriptor_limit()
    apps = folder / "apps"
    apps.mkdir()
    deployer = Deployer(apps, folder / "ledger")
    write_apps(deployer, extent)
    if attack:
        write_hostile(apps)
    plugins = Plugins(folder / "plugins")
    settings = {"RUNTIME_PLUGIN_DIRS": str(plugins.folder), "RUNTIME_ENV": env}
    settings["RUNTIME_STATE_DIR"] = str(folder / "state")
    with subject(apps, folder / "log", {**POOL, **settings}, stem) as runtime:
        journal = Journal()
        traffic = Traffic(runtime.port, journal, seed, tagged=TAGGED)
        wait_until(lambda: _plugins_serve(runtime), 20, "plugins that serve")
        edits = env == "development"
        attacked = attacker(attack, runtime.port) if attack else contextlib.nullcontext()
        trouble = Trouble(runtime, deployer, plugins, traffic, extent, edits=edits)
        end = asyncio.run(_drive(runtime, deployer, traffic, trouble, seconds, extent, attacked))
        ledger = folder / "ledger"
        return judge(journal, deployer.apps, runtime, ledger, end, extent, shows_broken=edits)


def _plugins_serve(runtime: Subject) -> bool:
    served = [each for each in runtime.records() if each["event"] == "plugin.serving"]
    return len(served) == len(PLUGINS)


def raise_descriptor_limit() -> None:
    """Raise the limit of descriptors: a flood needs one for each of its clients."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def write_apps(deployer: Deployer, extent: Extent) -> None:
    """One app of each kind, some with two workers, some that are recycled often; and those for some
    kinds of trouble."""
    deployer.add("sync", SYNC, ttl=30, maxRequests=150, workers=2)
    deployer.add("async", ASYNC, ttl=30)
    deployer.add("wsgi", WSGI, ttl=60, maxRequests=100, workers=2, concurrency=2)
    deployer.add("asgi", ASGI, ttl=30, maxRequests=200)
    deployer.add(WHOLE, ASYNC, ttl=40, maxRequests=100)
    deployer.add(CUT, SYNC, ttl=60)
    deployer.add("once", SYNC)
    deployer.add("warm", WSGI, prewarm=1)
    deployer.add(SITE, "")
    deployer.new_version(deployer.add(BREAKS, SYNC, ttl=60))  # the pinned version is never broken
    deployer.add(CALLS, CALLER, ttl=60, uses=["store"])
    if extent.has("leave stopped"):
        quick = {"timeout": _LEFT_TIMEOUT_S, "ttl": 60, "idleTimeout": 5, "workers": 2}
        deployer.add(LEFT, ASYNC, **quick)
    if extent.has("flood"):
        for name in extent.floods:
            deployer.add(name, SYNC, **FLOODED[name])
    if extent.has("fill"):
        for number in range(_CROWD):
            deployer.add(f"crowd{number}", (SYNC, ASYNC)[number % 2], ttl=60)


async def _drive(
    runtime: Subject,
    deployer: Deployer,
    traffic: Traffic,
    trouble: Trouble,
    seconds: float,
    extent: Extent,
    attacked: AbstractContextManager[None],
) -> dict[str, Any]:
    making = asyncio.create_task(trouble.make())
    ending = asyncio.create_task(_end_traffic(traffic, seconds, extent, attacked))
    clients = _start_clients(deployer.apps, traffic, extent)
    try:
        async with asyncio.timeout(seconds + LONGER_S + 2 * ATTEMPT_S):
            await asyncio.gather(making, ending, *clients)
    finally:
        ending.cancel()
        traffic.is_over.set()
        trouble.close()
    return await _come_to_rest(runtime, trouble)


def _start_clients(
    apps: dict[str, ChaosApp], traffic: Traffic, extent: Extent
) -> list[asyncio.Task[None]]:
    wanted = [(apps[name], kind, count, "", 0.1) for name, kind, count in CLIENTS if name in apps]
    wanted += [(apps[name], "small", 1, PINNED, 0.2) for name in (BREAKS, "sync")]
    wanted += [(app, "small", 1, "", 4.0) for app in apps.values() if _is_crowd(app)]
    return [
        asyncio.create_task(
            traffic.keep_asking(app, kind, number, pin=pin, pause_s=pause_s * extent.rests)
        )
        for app, kind, count, pin, pause_s in wanted
        for number in range(count)
    ]


async def _end_traffic(
    traffic: Traffic, seconds: float, extent: Extent, attacked: AbstractContextManager[None]
) -> None:
    """End the traffic, which is attacked, after this time, and once all has happened that a run
    must show."""
    latest_s = time.monotonic() + seconds + LONGER_S
    with attacked:
        await asyncio.sleep(seconds)
        while what_did_not_happen(traffic.journal, extent) and time.monotonic() < latest_s:
            await asyncio.sleep(0.1)  # polls
        traffic.is_over.set()


def _is_crowd(app: ChaosApp) -> bool:
    return app.name.startswith("crowd")


def _levels(workers: list[dict[str, Any]]) -> set[str]:
    """The sandboxes of all workers that have an app."""
    return {worker["sandbox"] for worker in workers if worker["app"]}


async def _come_to_rest(runtime: Subject, trouble: Trouble) -> dict[str, Any]:
    """Once requests stop, no worker has one in hand and none hangs; at the end all exit."""
    failures = list(trouble.complaints)
    if KERNEL.is_fit and (levels := _levels(await trouble.workers())) != {"standard"}:
        failures.append(f"not all workers of apps were in the sandbox: {levels}")
    until = time.monotonic() + QUIET_S
    while True:
        workers = await trouble.workers()
        restless = [
            worker
            for worker in workers
            if worker["inHand"] or worker["status"] not in ("idle", "spare")
        ]
        strays = sorted(set(runtime.children()) - {worker["pid"] for worker in workers})
        if not restless and not strays:
            break
        if time.monotonic() > until:
            failures.append(f"after {QUIET_S:g} s of quiet: {restless}, strays {strays}")
            break
        await asyncio.sleep(0.1)  # polls
    retries = await trouble.retries()
    trouble.close()
    end = {
        "requests that the runtime tried once more": retries,
        "workers at rest": len(workers),
        "descriptors": runtime.descriptors(),
        "threads": runtime.threads(),
        "memory": f"{runtime.resident_bytes() >> 20} MiB",
    }
    children = runtime.children()
    code, took_s = runtime.stop()
    left = [pid for pid in children if is_alive(pid)]
    if code or took_s > STOPPED_IN_S or left:
        failures.append(f"stopping gave {code} after {took_s:.1f} s and left {left}")
    return {**end, "stopped in": f"{took_s:.1f} s", "failures": failures}
