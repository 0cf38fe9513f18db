"""How busy a worker says it is, if its app may have several workers."""

import time
from collections.abc import Callable

import pytest

from tests.support.workshop import Worker, Workshop

ASYNC = """
import asyncio, os, time
from buntime import Response

async def fetch(request):
    kind, seconds = request.path[1:].split("-")
    until = time.monotonic() + float(seconds)
    if kind == "compute":
        while time.monotonic() < until and not os.path.exists("enough"):
            sum(range(5000))
            await asyncio.sleep(0)
    elif kind == "block":
        time.sleep(float(seconds))
    else:
        await asyncio.sleep(float(seconds))
    return Response("done")
"""

SYNC = """
import os, time
from buntime import Response

def fetch(request):
    kind, seconds = request.path[1:].split("-")
    until = time.monotonic() + float(seconds)
    if kind == "compute":
        while time.monotonic() < until and not os.path.exists("enough"):
            sum(range(5000))
    else:
        time.sleep(float(seconds))
    return Response("done")
"""

SOCKET = """
async def fetch(request):
    raise AssertionError

async def websocket(ws):
    await ws.accept()
    async for message in ws:
        await ws.send(message)
"""


def falls_silent(worker: Worker) -> None:
    """Wait until it stops reporting; a quiet worker sends only a few reports before that."""
    for _ in range(20):
        try:
            worker.take(lambda m: m["type"] == "BUSY", timeout_s=0.5)
        except AssertionError:
            return
    raise AssertionError("it goes on telling")


BOTH = pytest.mark.parametrize("source", [ASYNC, SYNC], ids=["async", "sync"])


def shares(worker: Worker) -> list[float]:
    """The reports so far that nobody has taken."""
    return [message["share"] for message in worker.leftover() if message["type"] == "BUSY"]


def tells(worker: Worker, is_wanted: Callable[[float], bool], message: str) -> float:
    """Wait until it makes the wanted report."""
    told, _ = worker.take(lambda m: m["type"] == "BUSY" and is_wanted(m["share"]))
    assert 0 <= told["share"] <= 1, message
    return float(told["share"])


@BOTH
def test_a_worker_that_computes_is_busy(shop: Workshop, source: str) -> None:
    """It reports being busy while it computes, and being quiet when it has finished."""
    worker = shop.start(source, tells_busy=True)
    numbers = [worker.request("/shop/compute-20") for _ in range(2)]
    tells(worker, lambda share: share > 0.7, "while it computes")
    (worker.app / "enough").touch()
    for number in numbers:
        assert worker.answer(number).text == "done"
    tells(worker, lambda share: share < 0.1, "afterwards")


@BOTH
def test_a_worker_that_waits_is_not_busy(shop: Workshop, source: str) -> None:
    """It is not busy however many requests it has; it keeps reporting, since silence means
    computing."""
    worker = shop.start(source, tells_busy=True)
    numbers = [worker.request("/shop/wait-1") for _ in range(8)]
    for number in numbers:
        assert worker.answer(number).text == "done"
    told = shares(worker)
    assert len(told) >= 4
    assert sorted(told)[len(told) // 2] < 0.5


@BOTH
def test_a_quiet_worker_tells_nothing(shop: Workshop, source: str) -> None:
    """After its last report there is none until the next request, which wakes it."""
    worker = shop.start(source, tells_busy=True)
    for _ in range(2):
        worker.get("/shop/wait-0")
        tells(worker, lambda share: share < 0.1, "the last one")
        falls_silent(worker)


@BOTH
def test_a_worker_that_is_not_asked_tells_nothing(shop: Workshop, source: str) -> None:
    """A worker that is not asked to report, as for an app with one worker, does not."""
    worker = shop.start(source)
    worker.get("/shop/wait-0.3")
    assert shares(worker) == []
    assert worker.get("/shop/wait-0").text == "done"


def test_a_blocked_loop_is_busy(shop: Workshop) -> None:
    """An async handler that blocks uses no CPU, but holds up all others."""
    worker = shop.start(ASYNC, tells_busy=True)
    number = worker.request("/shop/block-0.6")
    assert worker.answer(number).text == "done"
    assert tells(worker, lambda share: True, "as soon as it can") > 0.7


def test_a_loop_of_another_kind_is_measured_by_its_lag(shop: Workshop) -> None:
    """A loop like uvloop's, without a selector to measure, is measured by its lag."""
    source = """
    import asyncio, sys

    class Own(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__()
            self.hidden = self.__dict__.pop("_selector")

        def __getattr__(self, name):
            asks = sys._getframe(1).f_code.co_filename
            if name == "_selector" and not asks.endswith("meter.py"):
                return self.hidden
            raise AttributeError(name)

    asyncio.set_event_loop(Own())
    """
    indented = ASYNC.replace("\n", "\n    ")
    worker = shop.start(source + indented, tells_busy=True)
    number = worker.request("/shop/block-0.6")
    assert worker.answer(number).text == "done"
    assert tells(worker, lambda share: True, "as soon as it can") > 0.7


def test_open_websockets_alone_keep_nobody_telling(shop: Workshop) -> None:
    """A worker with silent sockets sleeps; a message wakes it."""
    worker = shop.start(SOCKET, tells_busy=True)
    number = worker.request("/shop/", upgrade="websocket", subprotocols=[])
    worker.take_type("ACCEPT", number)
    tells(worker, lambda share: share < 0.1, "the last one")
    falls_silent(worker)
    worker.send({"type": "MESSAGE", "id": number, "kind": "text", "size": 2, "end": True}, b"hi")
    worker.take_type("MESSAGE", number)
    worker.take(lambda m: m["type"] == "BUSY")


@BOTH
def test_telling_goes_on_through_thousands_of_requests(shop: Workshop, source: str) -> None:
    """Reporting continues whether requests come during the last report or just after it."""
    worker = shop.start(source, tells_busy=True)
    begun = time.monotonic()
    while time.monotonic() < begun + 1.5:
        assert worker.get("/shop/wait-0.01").text == "done"
    assert len(shares(worker)) >= 5
