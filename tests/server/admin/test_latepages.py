"""The first request for one of the runtime's own pages, which a thread imports."""

from __future__ import annotations

import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from buntime.core.errors import ClientFault, HttpError
from buntime.server.admin.latepages import LatePages
from buntime.server.loop.loop import Loop


class Asked:
    """An exchange."""

    def __init__(self) -> None:
        self.is_ended = False
        self.told: list[str] = []

    def fail(self, error: HttpError) -> None:
        self.told.append(error.code)


class World:
    """A loop, and pages that can be imported once `is_there` is set."""

    def __init__(self) -> None:
        self.faults: list[BaseException] = []
        self.loop = Loop(self.faults.append)
        self.is_there = threading.Event()
        self.fault: ImportError | None = None
        self.threads: list[str] = []
        gate = SimpleNamespace(waits=lambda exchange, then: False)
        parts: Any = SimpleNamespace(service=SimpleNamespace(loop=self.loop), gate=gate)
        self.pages = LatePages(parts, self.load)

    def load(self) -> ModuleType:
        self.threads.append(threading.current_thread().name)
        assert self.is_there.wait(10)
        if self.fault is not None:
            raise self.fault
        made = ModuleType("pages")
        vars(made)["make_api"] = lambda parts: self
        return made

    def answer(self, exchange: Any, path: str, caller: None) -> None:
        """What `Api` would answer."""
        if path == "/missing":
            raise ClientFault(404, "not_found", "it is not there")
        exchange.told.append(path)

    def ask(self, path: str) -> Asked:
        asked: Any = Asked()
        self.pages.answer(asked, path)
        return asked  # type: ignore[no-any-return]

    def turn_until(self, asked: Asked) -> None:
        while not asked.told:
            self.loop.run_once(1.0)


@pytest.fixture
def world() -> World:
    return World()


def test_the_loop_goes_on_while_a_thread_imports(world: World) -> None:
    """Requests that come meanwhile wait with the first, and all are answered in order."""
    first, left, missing = world.ask("/health"), world.ask("/api"), world.ask("/missing")
    for _ in range(3):
        world.loop.run_once(0)
    assert (first.told, left.told) == ([], [])
    left.is_ended = True
    world.is_there.set()
    world.turn_until(missing)
    assert (first.told, left.told, missing.told) == (["/health"], [], ["not_found"])
    assert len(world.threads) == 1
    assert world.threads != [threading.current_thread().name]
    assert world.ask("/health").told == ["/health"]  # at once
    world.loop.close()


def test_pages_that_cannot_be_imported(world: World) -> None:
    """Those who wait get the error, and the next request tries again."""
    world.fault = ImportError("the disk")
    world.is_there.set()
    asked = world.ask("/health")
    world.turn_until(asked)
    assert asked.told == ["internal_error"]
    world.fault = None
    asked = world.ask("/health")
    world.turn_until(asked)
    assert asked.told == ["/health"]
    assert [str(each) for each in world.faults] == ["the disk"]
    world.loop.close()
