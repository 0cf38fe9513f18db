"""The thread that watches: it sleeps while it has nothing to do, and is there when it has."""

import random
import socket
import sys
import time
from pathlib import Path

import pytest

from buntime.wire import encode
from buntime.worker.standby import Standby, new_bell
from tests.support.workshop import Worker, Workshop, eventually
from tests.worker.test_followers import KINDS, STRESS, check, start

APP = """
import time
from buntime import Response

def fetch(request):
    if request.path == "/slow":
        time.sleep(60)
    return Response("done")
"""
# As on macOS, and where an app has replaced `select` by something without it.
WITHOUT_EPOLL = "import select\nif hasattr(select, 'epoll'): del select.epoll\n"
WAYS = pytest.mark.parametrize("before", ["", WITHOUT_EPOLL], ids=["epoll", "bells"])
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")


def switches(worker: Worker) -> dict[str, int]:
    """How often each thread has slept."""
    found = {}
    for task in Path(f"/proc/{worker.process.pid}/task").iterdir():
        [line] = [
            line
            for line in (task / "status").read_text().splitlines()
            if line.startswith("voluntary_ctxt")
        ]
        found[task.name] = int(line.split()[1])
    return found


def rested(worker: Worker) -> dict[str, int]:
    """Wait until no thread does anything; returns how often each has slept by then."""

    def rests() -> bool:
        before = switches(worker)
        time.sleep(0.05)  # nothing may happen in this time
        return switches(worker) == before

    eventually(rests)
    return switches(worker)


@linux
def test_a_lone_request_wakes_one_thread(shop: Workshop) -> None:
    """If nothing else comes while its handler runs, only the thread that reads it wakes up."""
    worker = shop.start(APP)
    worker.get()
    for _ in range(5):
        before = rested(worker)
        worker.get()
        after = rested(worker)
        assert sum(after[task] != before.get(task) for task in after) == 1


@linux
def test_it_soon_falls_asleep(shop: Workshop) -> None:
    """If each handler has to wake it, it does not tick for long after each."""
    worker = shop.start(WITHOUT_EPOLL + APP)
    worker.get()
    before = rested(worker)
    for _ in range(5):
        worker.get()
        after = rested(worker)
    most = max(after[task] - before[task] for task in before)
    assert most <= 5 * 12


@linux
def test_one_dozes_at_a_time() -> None:
    """A new standby ticks on while the former one, which the trigger is to wake, has not left."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        standby = Standby(ours.fileno())
        former, new = new_bell(), new_bell()
        for bell in former, new:
            standby.enlist(bell)
            assert not standby.wait(bell)  # it was rung
            standby.rest(bell)
            standby.rouse(bell)
        assert [standby.wait(new) for _ in range(3)] == [False] * 3
        assert standby.wait(former)
        standby.close()


@WAYS
@pytest.mark.parametrize("together", [False, True], ids=["apart", "together"])
def test_a_request_behind_a_slow_one(
    shop: Workshop, before: str, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered although the standby slept when the slow one began, whether it comes with
    the slow one or later."""
    kept: list[bytes] = []
    worker = shop.start(before + APP)
    worker.get()
    rested(worker)
    if together:
        monkeypatch.setattr(worker, "send", lambda message, _: kept.append(encode(message)))
        worker.request("/shop/slow")
        number = worker.request()
        worker.socket.sendall(b"".join(kept))
    else:
        worker.request("/shop/slow")
        rested(worker)
        number = worker.request()
    assert worker.answer(number).text == "done"


@WAYS
def test_a_sleeping_standby_ends(shop: Workshop, before: str) -> None:
    """TERMINATE ends a worker whose standby sleeps, and one in which it is the main thread."""
    worker = shop.start(before + APP)
    worker.get()
    for _ in range(3):  # the threads change their roles
        worker.request("/shop/slow")
        worker.get()
    rested(worker)
    worker.socket.close()
    worker.process.wait(20)
    worker = shop.start(before + APP)
    worker.get()
    rested(worker)
    assert worker.terminate() == 0


@WAYS
@pytest.mark.parametrize("concurrency", [2, 8])
def test_none_is_forgotten(shop: Workshop, before: str, concurrency: int) -> None:
    """With pauses in which the standby falls asleep, or is about to, each request still ends."""
    choose = random.Random(concurrency)
    worker = shop.start(before + STRESS, concurrency=concurrency)
    for _ in range(150):
        in_hand = [start(worker, choose.choice(KINDS)) for _ in range(choose.randint(1, 2))]
        for kind, number in in_hand:
            check(worker, kind, number)
        time.sleep(choose.random() * 0.005)  # around the time that it takes to fall asleep
    assert worker.terminate() == 0


@linux
def test_no_descriptors_are_left(shop: Workshop) -> None:
    """It says once what that costs, and serves on."""
    source = """
    import resource, select, time
    from buntime import Response

    def fetch(request):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        if request.path == "/slow":
            time.sleep(60)
        return Response("done")
    """
    worker = shop.start(source)
    worker.get()
    rested(worker)
    worker.request("/shop/slow")
    assert [worker.get().text for _ in range(3)] == ["done"] * 3
    assert worker.stderr.count("each request wakes a second thread from now on") == 1
