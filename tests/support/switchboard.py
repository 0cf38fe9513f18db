"""Callers and providers of services that a test plays, with the runtime's switchboard between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buntime.core.plugins.services import Services
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.server.plugins.calls import Calls
from buntime.server.pool.calling import Caller
from buntime.server.pool.worker import Worker
from buntime.wire import MAX_PAYLOAD, Message
from tests.support.fakesink import FakeSink, make_log
from tests.support.farend import FarEnd
from tests.support.pluginmanifests import make_manifest

STORE = make_manifest("store", provides={"kv": {"to": "all"}, "raw": {}})


class FakePlugins:
    """Which plugins serve, as the test says."""

    def __init__(self) -> None:
        self.services = Services([STORE])
        self.workers: dict[str, Worker] = {}
        self.coming: set[str] = set()
        self.woken: list[str] = []
        self._followers: list[Callable[[], None]] = []

    def worker_of(self, name: str) -> Worker | None:
        return self.workers.get(name)

    def wake(self, name: str) -> bool:
        self.woken.append(name)
        return name in self.coming

    def follow(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def change(self) -> None:
        for follower in self._followers:
            follower()


class Exchange:
    """A switchboard; `shop` calls, and `store` is called."""

    def __init__(self, **changes: Any) -> None:
        """`changes` are options of its switchboard."""
        self.shop = FarEnd()
        self.store = FarEnd(2, beside=self.shop)
        self.plugins = FakePlugins()
        self.plugins.workers["store"] = self.store.worker
        self.meters = PluginMeters()
        self.sink = FakeSink()
        self.forgotten: list[tuple[str, str]] = []
        self.calls = Calls(
            self.shop.loop,
            make_log(self.sink),
            self.plugins,
            meters=self.meters,
            forget=lambda plugin, tag: self.forgotten.append((plugin, tag)),
            **changes,
        )
        self.ends = [self.shop, self.store]
        self.connect(self.shop, "app:shop", "kv", "raw", "gone")
        self.store.worker.calling.connect(
            self.calls, Caller("plugin:store", frozenset(), plugin="store")
        )

    def connect(self, far: FarEnd, caller: str, *uses: str) -> None:
        far.worker.calling.connect(self.calls, Caller(caller, frozenset(uses)))

    def another(self, caller: str, *uses: str) -> FarEnd:
        """One more worker."""
        far = FarEnd(len(self.ends) + 1, beside=self.shop)
        self.ends.append(far)
        self.connect(far, caller, *uses)
        return far

    def close(self) -> None:
        for far in reversed(self.ends):
            far.close()

    @property
    def is_at_rest(self) -> bool:
        """Whether no call is kept anywhere."""
        alive = [far.worker.calling for far in self.ends]
        is_empty = not any([*calling.made, *calling.taken] for calling in alive)
        return is_empty and repr(self.calls) == "Calls(CallBudget({}), 0 wait)"

    def call(self, number: int = -1, payload: bytes = b"", **fields: Any) -> None:
        """Have `shop` call kv.get."""
        self.shop.say("CALL", payload, **call_message(number, **fields))

    def called(self, far: FarEnd | None = None) -> Message:
        """The one CALL that has come to `store`."""
        ((kind, message, _),) = (far or self.store).hear()
        assert kind == "CALL"
        return message

    def begin(self, number: int = -1, **fields: Any) -> int:
        """Have `shop` call, and `store` receive it; returns the call's number there."""
        self.call(number, **fields)
        found: int = self.called()["id"]
        return found

    def code(self, far: FarEnd | None = None) -> str:
        """The code of the error that has come to `shop`."""
        ((_, message, _),) = (far or self.shop).hear()
        error: str = message["error"]["code"]
        return error


def call_message(number: int, **fields: Any) -> dict[str, Any]:
    contents = {} if "total" in fields else {"args": ["a"], "kwargs": {}}
    return {"id": number, "service": "kv", "method": "get", **contents, **fields}


PIECE = b"x" * MAX_PAYLOAD
