"""Requests on their way through hooks of plugins that have no real workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from buntime.core.plugins.hookbody import HookBody
from buntime.core.plugins.hooktext import Facts
from buntime.core.plugins.manifest import parse_plugin_manifest
from buntime.core.plugins.plan import Hook, Plan, Standing, compile_plan
from buntime.core.pool.gathering import Gathering
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.server.plugins.hooking import Hooking
from buntime.wire import Decoder
from tests.support.exchanges import FakeClient

GET = b"GET /shop/a%20b?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\n\r\n"
FACTS = Facts("shop", None, "/a%20b", is_public=False)
BOTH = frozenset({"on_request", "on_response"})


class FakeWorker:
    """A plugin's worker that answers as a test says."""

    def __init__(self) -> None:
        self.asking = self
        self.is_open = True
        self.number = 1
        self._questions: list[tuple[str, Any]] = []
        self.given_up: list[tuple[int, str]] = []
        self.stacks: list[object] = []
        self.name = "w1"
        self.is_stuck = False
        self.kills = 0
        self.log = None
        self.process = SimpleNamespace(
            stacks=SimpleNamespace(ask=lambda log, late: self.stacks.append(late)),
            kill=self._kill,
        )
        self.credit = 0
        self.taker: Any = None
        self.body: HookBody | None = None

    @property
    def asked(self) -> list[tuple[dict[str, Any], Any]]:
        """What it was asked, as its process sees it, and by whom."""
        return [(_decoded(text), asker) for text, asker in self._questions]

    @property
    def why_not(self) -> str:
        return "" if self.is_open else "its process has ended"

    def ask(self, text: str, asker: Any, body: HookBody | None = None) -> int:
        self._questions.append((text, asker))
        self.body = body
        return len(self._questions)

    def give_up(self, number: int, reason: str) -> None:
        self.given_up.append((number, reason))

    def on_late(self, number: int, timeout_s: float, now: float) -> bool:
        self.give_up(number, "deadline")
        return self.is_stuck

    def go_on(self, number: int, taker: Any) -> None:
        self.taker = taker

    def grant(self, number: int, credit: int) -> None:
        self.credit += credit

    def _kill(self) -> None:
        self.kills += 1

    def say(self, action: str, payload: bytes = b"", **said: Any) -> None:
        """Give the verdict on the last request it was asked about."""
        self._questions[-1][1].on_verdict(
            {"type": "VERDICT", "id": 1, "action": action, **said}, payload
        )

    def forget(self) -> None:
        """Forget what it was asked."""
        self._questions.clear()

    def die(self) -> None:
        self.is_open = False
        self._questions[-1][1].on_lost()


def _decoded(text: str) -> dict[str, Any]:
    line = f'{{"type":"HOOK",{text}\n'
    ((message, _),) = Decoder().feed(line.encode())
    message["request"] = {**message.pop("shared"), **message["request"]}
    return message


class Ways:
    """Plugins "a", "b" and so on, asked in this order, and one request."""

    def __init__(self, names: str = "a", **keys: object) -> None:
        self.client = FakeClient()
        self.logged: list[dict[str, Any]] = []
        log = SimpleNamespace(
            error=lambda event, _, **fields: self.logged.append({"event": event, **fields}),
            warn=lambda event, _, **fields: self.logged.append({"event": event, **fields}),
        )
        self.workers = {name: FakeWorker() for name in names}
        self.meters = PluginMeters()
        self.changing: set[str] = set()  # plugins whose process is being replaced
        self._followers: list[Callable[[], None]] = []
        self.hooks = hooks(names, **keys)
        self.plan = Plan(self.hooks)
        self.gathering = Gathering()
        self.hooking = Hooking(
            self.client.fake_service.loop,
            cast(Any, log),
            cast(Any, self),
            meters=self.meters,
            api_prefix="",
            gathering=self.gathering,
        )
        self.exchange = self.client.request(GET)
        self.facts = FACTS
        self.passed = 0

    cookies: ClassVar = {"a": frozenset({"sid"})}

    def worker_of(self, name: str) -> Any:
        return self.workers.get(name)

    def is_changing(self, name: str) -> bool:
        return name in self.changing

    def wake(self, name: str) -> bool:
        return self.is_changing(name)

    def follow(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def swap(self, name: str = "a") -> None:
        """The plugin's process ends, so that another can start."""
        self.workers.pop(name).is_open = False
        self.changing.add(name)
        self.change()

    def serve(self, name: str = "a") -> None:
        """A new process of the plugin serves."""
        self.workers[name] = FakeWorker()
        self.changing.discard(name)
        self.change()

    def change(self) -> None:
        for follower in self._followers:
            follower()

    def begin(self) -> bool:
        return self.hooking.begin(self.exchange, self.hooks, self.facts, self.then)

    def then(self) -> None:
        self.passed += 1

    def pass_late(self, seconds: float) -> None:
        loop = self.client.fake_service.loop
        loop.now += seconds
        for queue in loop._queues.values():
            queue.expire(loop.now)


def hooks(
    names: str,
    on: frozenset[str] = BOTH,
    away: str = "",
    *,
    is_coming: bool = False,
    **keys: object,
) -> list[Hook]:
    standings = []
    for name in names:
        text = json.dumps({"name": name, **keys}).encode()
        manifest, _ = parse_plugin_manifest(
            text, path="buntime.yaml", body_default=1000, body_max=1000
        )
        standings.append(Standing(manifest, on, away, is_coming=is_coming))
    plan = compile_plan(standings, {})
    return list(plan.hooks)
