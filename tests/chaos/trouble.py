"""What goes wrong meanwhile: signals to workers, new and broken code, floods, too many apps.

A GET is tried once more if its worker dies, so one that loses two workers may fail. Chaos does not
look for that: it kills an app's worker only when no request of the app was already running at the
previous kill.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.chaos.apps import SITE, ChaosApp, Deployer
from tests.chaos.client import Client
from tests.chaos.extent import Extent
from tests.chaos.plugins import PLUGINS, Plugins
from tests.chaos.subject import Subject
from tests.chaos.traffic import Traffic
from tests.support.harness import is_alive

# The app whose worker is left stopped until the runtime acts, and how long that may take: timeout,
# a second to obey, the same for what came meanwhile, TERMINATE and its grace period.
LEFT = "left"
LEFT_GONE_S = 60.0
_EARLY_S = 6.0  # the first of each kind comes as if one came in this many seconds, or sooner
WHOLE = "whole"  # its workers are not killed: its streamed answers must never be cut
BREAKS = "breaks"
KILLS = ("SIGKILL", "stop and SIGKILL")
# The journal's words for each kind of trouble, and for deploys, which are of many kinds. A run
# without one of them proves nothing, however short it was.
DEEDS = {
    "kill": KILLS[0],
    "stop": "SIGSTOP",
    "stop and kill": KILLS[1],
    "terminate": "SIGTERM",
    "leave stopped": "SIGSTOP for good",
    "break": "break",
    "flood": "flood",
    "fill": "fill",
}
DEPLOYS = {"new_version", "touch", "edit"}


def is_plugin(app: str | None) -> bool:
    return app is not None and app.startswith("plugin:")


class Trouble:
    """Makes trouble until the traffic is over."""

    def __init__(
        self,
        subject: Subject,
        deployer: Deployer,
        plugins: Plugins,
        traffic: Traffic,
        extent: Extent,
        *,
        edits: bool,
    ) -> None:
        self._subject = subject
        self._plugins = plugins
        self._deployer = deployer
        self._traffic = traffic
        self._floods = extent.floods
        self._edits = edits  # in development: files change in place
        self._journal = traffic.journal
        self._client = Client(subject.port)
        self._lock = asyncio.Lock()  # of the client
        self._stopped: set[int] = set()
        # app -> since when the runtime has known that its last killed worker is gone
        self._settled: dict[str, float] = {}
        self.complaints: list[str] = []
        crowd = [app for app in deployer.apps.values() if app.name.startswith("crowd")]
        self._crowd = crowd
        plan: dict[str, tuple[Callable[[random.Random], Awaitable[None]], float]] = {
            # average seconds between two of a kind
            "kill": (self._kill, 0.5),
            "stop": (self._stop_for_a_while, 0.8),
            "stop and kill": (self._stop_and_kill, 3.0),
            "terminate": (self._terminate, 1.0),
            "leave stopped": (self._leave_stopped, 12.0),
            "deploy": (self._deploy, 2.5),
            "reload": (self._reload, 1.5),
            "kill a plugin": (self._kill_plugin, 4.0),
            "break": (self._break, 10.0),
            "flood": (self._flood, 10.0),
            "fill": (self._fill, 6.0),
        }
        self._plan = {kind: each for kind, each in plan.items() if extent.has(kind)}

    async def make(self) -> None:
        """Make all kinds side by side, each at its own times."""
        async with asyncio.TaskGroup() as tasks:
            for name, (act, every_s) in self._plan.items():
                tasks.create_task(self._repeat(name, act, every_s))

    async def workers(self) -> list[dict[str, Any]]:
        """Each worker in `/api/workers`."""
        async with self._lock:
            reply = await self._client.ask("GET", "/api/workers")
        return json.loads(reply.body)["workers"]  # type: ignore[no-any-return]

    async def retries(self) -> int:
        """Requests that the runtime has tried once more, from `/metrics`."""
        async with self._lock:
            reply = await self._client.ask("GET", "/metrics")
        lines = reply.body.decode().splitlines()
        told = [line for line in lines if line.startswith("buntime_request_retries_total")]
        return sum(int(float(line.split()[-1])) for line in told)

    def close(self) -> None:
        """Continue whatever was left stopped."""
        for pid in tuple(self._stopped):
            self._signal(pid, signal.SIGCONT)
        self._client.close()

    async def _repeat(
        self, name: str, act: Callable[[random.Random], Awaitable[None]], every_s: float
    ) -> None:
        """Repeat from early on, and soon again if there was nothing yet to do it to.

        A rest as long as the action follows each one: a slow machine gets less trouble.
        """
        chance = self._traffic.chance(name)
        wait_s = chance.uniform(0.1, 0.4) * min(every_s, _EARLY_S)
        while not await self._traffic.is_over_within(wait_s):
            begun = time.monotonic()
            await act(chance)
            took_s = time.monotonic() - begun
            if name in DEEDS and DEEDS[name] not in {deed.what for deed in self._journal.deeds}:
                wait_s = chance.uniform(0.1, 0.5)
            else:
                wait_s = max(chance.uniform(0.3, 1.7) * every_s, took_s)

    # Signals

    async def _pick(
        self, chance: random.Random, *, app: str | None = None
    ) -> dict[str, Any] | None:
        found = [
            worker
            for worker in await self.workers()
            if worker["pid"] not in self._stopped
            and (app == worker["app"] if app else not is_plugin(worker["app"]))
        ]
        busy = [worker for worker in found if worker["inHand"]]
        return chance.choice(busy if busy and chance.random() < 0.7 else found) if found else None

    def _signal(self, pid: int, number: int) -> bool:
        """Signal a worker of the runtime; returns False if it is gone."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
            if int(stat[1]) not in self._subject.parents:
                return False
            os.kill(pid, number)
        except OSError:
            return False
        return True

    async def _kill(self, chance: random.Random) -> None:
        worker = await self._pick(chance)
        if worker is not None:
            await self._kill_worker(worker, KILLS[0])

    async def _kill_worker(self, worker: dict[str, Any], what: str) -> bool:
        app, pid = worker["app"], worker["pid"]
        if app == WHOLE or not self._may_kill(app):
            return False
        self._journal.did(what, app, worker["id"], pid)
        if not self._signal(pid, signal.SIGKILL):
            return False
        if app is not None:
            self._settled[app] = float("inf")
            while any(other["id"] == worker["id"] for other in await self.workers()):
                await asyncio.sleep(0.01)  # polls
            self._settled[app] = asyncio.get_running_loop().time()
        return True

    def _may_kill(self, app: str | None) -> bool:
        if app is None:
            return True
        return self._journal.oldest_running_s(app) > self._settled.get(app, float("-inf"))

    async def _stop_for_a_while(self, chance: random.Random) -> None:
        worker = await self._pick(chance)
        if worker is not None:
            await self._stop(worker, chance.uniform(0.05, 1.5))

    async def _stop(
        self, worker: dict[str, Any], seconds: float, then: int = signal.SIGCONT
    ) -> None:
        pid = worker["pid"]
        if not self._signal(pid, signal.SIGSTOP):
            return
        self._stopped.add(pid)
        if then == signal.SIGCONT:
            self._journal.did("SIGSTOP", worker["app"], worker["id"], pid)
        await asyncio.sleep(seconds)
        if then == signal.SIGCONT or not await self._kill_worker(worker, KILLS[1]):
            self._signal(pid, signal.SIGCONT)
        self._stopped.discard(pid)

    async def _stop_and_kill(self, chance: random.Random) -> None:
        worker = await self._pick(chance)
        if worker is not None:
            await self._stop(worker, chance.uniform(0.05, 0.7), then=signal.SIGKILL)

    async def _terminate(self, chance: random.Random) -> None:
        """Workers ignore SIGTERM, which service managers send to all processes: nothing may come of
        it.

        A worker that is still starting has no handler yet, so those are left alone.
        """
        worker = await self._pick(chance)
        if worker is not None and worker["status"] in ("idle", "busy"):
            self._journal.did("SIGTERM", worker["app"], worker["id"], worker["pid"])
            self._signal(worker["pid"], signal.SIGTERM)

    async def _leave_stopped(self, chance: random.Random) -> None:
        worker = await self._pick(chance, app=LEFT)
        # A loading worker has RUNTIME_BOOT_TIMEOUT, and then its app counts as broken: another
        # matter.
        if worker is None or worker["status"] not in ("idle", "busy"):
            return
        if not self._signal(worker["pid"], signal.SIGSTOP):
            return
        pid = worker["pid"]
        self._stopped.add(pid)
        self._journal.did("SIGSTOP for good", LEFT, worker["id"], pid)
        try:
            async with asyncio.timeout(LEFT_GONE_S):
                while is_alive(pid):
                    await asyncio.sleep(0.1)  # polls
        except TimeoutError:
            self.complaints.append(f"{worker['id']} is still there, stopped for {LEFT_GONE_S:g} s")
            self._signal(pid, signal.SIGKILL)
        self._stopped.discard(pid)

    # Code

    async def _deploy(self, chance: random.Random) -> None:
        app = chance.choice([app for app in self._deployer.apps.values() if app.name != BREAKS])
        deeds = [self._deployer.new_version]
        if app.name != SITE:
            deeds.append(self._deployer.touch)
        if self._edits or app.name == SITE:
            deeds += [self._deployer.edit] * 2
        deed = chance.choice(deeds)
        deed(app)
        self._journal.did(deed.__name__, app.name)

    async def _break(self, chance: random.Random) -> None:
        app = self._deployer.apps[BREAKS]
        folder = None
        if self._edits and chance.random() < 0.7:
            self._deployer.break_file(app)
        else:
            folder = self._deployer.break_version(app)
        self._journal.did("break", app.name)
        await asyncio.sleep(chance.uniform(2, 4))
        self._deployer.take_back(app, folder)
        self._journal.did("take back", app.name)

    # Plugins

    async def _reload(self, chance: random.Random) -> None:
        """Change a plugin's code, which development notices by itself, or reload the same code."""
        name = chance.choice(list(PLUGINS))
        if chance.random() < 0.7:
            self._plugins.edit(name)
            self._journal.did("edit", f"plugin:{name}")
            if self._edits:
                return
        async with self._lock:
            reply = await self._client.ask("POST", f"/api/plugins/{name}/reload")
        self._journal.did("reload", f"plugin:{name}")
        if reply.status != 202:
            self.complaints.append(f"a reload of {name} gave {reply.status} {reply.body!r}")

    async def _kill_plugin(self, chance: random.Random) -> None:
        name = f"plugin:{chance.choice(list(PLUGINS))}"
        worker = await self._pick(chance, app=name)
        if worker is not None:
            self._journal.did(KILLS[0], name, worker["id"], worker["pid"])
            self._signal(worker["pid"], signal.SIGKILL)

    # Too much

    async def _flood(self, chance: random.Random) -> None:
        name = chance.choice(list(self._floods))
        self._journal.did("flood", name)
        await self._ask_at_once([self._deployer.apps[name]] * self._floods[name], chance)

    async def _fill(self, chance: random.Random) -> None:
        """Ask all the crowd's apps at once: more than the pool has room for."""
        self._journal.did("fill", None)
        await self._ask_at_once(self._crowd, chance, asks_again=True)

    async def _ask_at_once(
        self, apps: list[ChaosApp], chance: random.Random, *, asks_again: bool = False
    ) -> None:
        label = f"{apps[0].name}-{len(self._journal.deeds)}"
        async with asyncio.TaskGroup() as tasks:
            for number, app in enumerate(apps):
                tasks.create_task(
                    self._ask_alone(app, f"{label}-{number}", chance.random(), asks_again)
                )

    async def _ask_alone(self, app: ChaosApp, name: str, seed: float, asks_again: bool) -> None:
        client = Client(self._subject.port)
        chance = random.Random(seed)
        kind = chance.choice(["small", "small", "echo"])
        await self._traffic.ask(client, app, kind, name, chance, asks_again=asks_again)
        client.close()
