"""The threads of sync apps: how many, which ones, and that no request is ever forgotten."""

import random
import time
from pathlib import Path

import pytest

from tests.support.workshop import Worker, Workshop, eventually

THREADS = """
import threading, time
from buntime import Response

def fetch(request):
    if request.path == "/name":
        return Response(threading.current_thread().name)
    if request.path == "/threads":
        return Response(str(len(__import__("os").listdir("/proc/self/task"))))
    time.sleep(float(request.query["s"]))
    return Response("slept")
"""


def test_all_run_at_once(shop: Workshop) -> None:
    """As many handlers run at once as the concurrency says, and so do those after them."""
    source = """
    import threading
    from buntime import Response
    BARRIER = threading.Barrier(8)
    def fetch(request):
        BARRIER.wait(10)
        return Response("met")
    """
    worker = shop.start(source)
    for _ in range(3):
        ids = [worker.request() for _ in range(8)]
        assert [worker.answer(number).text for number in ids] == ["met"] * 8


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_never_more_at_once(shop: Workshop, concurrency: int) -> None:
    """No more handlers run at once than the concurrency says, even if there are more requests."""
    source = """
    import threading, time
    from buntime import Response
    LOCK = threading.Lock()
    now = most = 0
    def fetch(request):
        global now, most
        with LOCK:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with LOCK:
            now -= 1
        return Response(str(most))
    """
    worker = shop.start(source, concurrency=concurrency)
    ids = [worker.request() for _ in range(20)]
    assert max(int(worker.answer(number).text) for number in ids) == concurrency


def test_concurrency_one_is_the_main_thread(shop: Workshop) -> None:
    """With a concurrency of 1 all handlers run on the main thread, which is the only one."""
    worker = shop.start(THREADS, concurrency=1)
    assert {worker.get("/shop/name").text for _ in range(20)} == {"MainThread"}
    ids = [worker.request("/shop/sleep?s=0.01") for _ in range(3)]
    assert [worker.answer(number).text for number in ids] == ["slept"] * 3
    assert worker.get("/shop/threads").text == "1"


def test_quick_handlers_need_few_threads(shop: Workshop) -> None:
    """Requests one after another use only the thread that leads and the one that watches."""
    worker = shop.start(THREADS)
    for _ in range(50):
        worker.get("/shop/name")
    assert int(worker.get("/shop/threads").text) <= 4


def test_slow_handlers_hold_up_nobody(shop: Workshop) -> None:
    """While handlers sleep, the next request is answered."""
    worker = shop.start(THREADS)
    slow = [worker.request("/shop/sleep?s=5") for _ in range(7)]
    for _ in range(10):
        assert worker.get("/shop/name").status == 200
    assert not any(message["id"] in slow for message in worker.leftover())


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_body_arrives_while_all_are_busy(shop: Workshop, concurrency: int) -> None:
    """Handlers get their bodies even if each thread is in a handler that waits for one."""
    source = """
    from buntime import Response
    def fetch(request):
        return Response(str(len(request.bytes())))
    """
    worker = shop.start(source, concurrency=concurrency)
    for _ in range(3):
        ids = [worker.request(method="POST", end=False) for _ in range(concurrency)]
        for number in reversed(ids):
            worker.upload(number, b"x" * 300_000)
        assert [worker.answer(number).text for number in ids] == ["300000"] * concurrency


@pytest.mark.parametrize("concurrency", [1, 8])
def test_app_s_own_thread_reads(shop: Workshop, concurrency: int) -> None:
    """A thread of the app's own may read the body; once its handler has returned, reading fails."""
    source = """
    import threading
    from buntime import Response
    def read(request, into):
        try:
            into.append(len(request.bytes()))
        except OSError:
            pass  # the response has ended
        print("read")
    def fetch(request):
        into = []
        thread = threading.Thread(target=read, args=(request, into))
        thread.start()
        if request.path == "/join":
            thread.join()
        return Response(str(into))
    """
    worker = shop.start(source, concurrency=concurrency)
    for _ in range(3):
        number = worker.request("/shop/join", "POST", end=False)
        worker.upload(number, b"x" * 200_000)
        assert worker.answer(number).text == "[200000]"
        number = worker.request("/shop/leave", "POST", end=False)
        assert worker.answer(number).text == "[]"
        worker.body(number, b"x", end=True)
        number = worker.request("/shop/join", "POST", end=False)
        worker.upload(number, b"x" * 200_000)
        assert worker.answer(number).text == "[200000]"
    eventually(lambda: worker.stdout == "read\n" * 9)
    assert worker.terminate() == 0


def test_terminate_waits_for_what_is_in_hand(shop: Workshop) -> None:
    """TERMINATE lets handlers finish, with bodies and credit, and queued requests too."""
    source = """
    from buntime import Response
    def fetch(request):
        return Response(request.bytes() * 2)
    """
    worker = shop.start(source, concurrency=2)
    ids = [worker.request(method="POST", end=False) for _ in range(4)]
    worker.take_credit(ids[0])
    worker.send({"type": "TERMINATE"})
    refused = worker.request()
    for number in ids:
        worker.upload(number, b"x" * 150_000)
        assert len(worker.answer(number).body) == 300_000
    assert "came after its TERMINATE" in str(worker.answer(refused).error)
    assert worker.process.wait(20) == 0


@pytest.mark.parametrize("end", ["idle", "busy"])
def test_end_of_the_channel_ends_the_worker(shop: Workshop, end: str) -> None:
    """When the runtime closes its end of the channel, the worker exits at once."""
    worker = shop.start(THREADS)
    if end == "busy":
        worker.request("/shop/sleep?s=30")
        worker.get("/shop/name")
    worker.socket.close()
    worker.process.wait(20)


STRESS = """
import random, threading, time
from buntime import Response

def pieces(count, size, pause):
    for _ in range(count):
        time.sleep(pause)
        yield b"x" * size

def fetch(request):
    kind = request.path[1:]
    if kind == "quick":
        return Response("quick")
    if kind == "sleep":
        time.sleep(random.random() * 0.005)
        return Response("sleep")
    if kind == "busy":
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass
        return Response("busy")
    if kind == "upload":
        return Response(str(len(request.bytes())))
    if kind == "download":
        return Response(b"y" * 400_000)
    if kind == "stream":
        return Response(pieces(20, 10_000, 0.0005))
    raise KeyError(kind)
"""
KINDS = ["quick"] * 4 + ["sleep", "busy", "upload", "download", "stream", "raise", "cancel"]


@pytest.mark.parametrize("concurrency", [1, 2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_every_request_is_ended_once(shop: Workshop, concurrency: int, seed: int) -> None:
    """Whatever the mixture of requests, each ends exactly once."""
    choose = random.Random(seed)
    worker = shop.start(STRESS, concurrency=concurrency)
    for _ in range(12):
        in_hand = [
            start(worker, choose.choice(KINDS)) for _ in range(choose.randint(1, concurrency))
        ]
        choose.shuffle(in_hand)
        for kind, number in in_hand:
            check(worker, kind, number)
    assert [m for m in worker.leftover() if m["type"] not in ("WINDOW", "WAITS")] == []
    assert worker.terminate() == 0


def start(worker: Worker, kind: str) -> tuple[str, int]:
    path = "download" if kind == "cancel" else kind
    number = worker.request(f"/shop/{path}", "POST", end=kind != "upload")
    if kind == "cancel":
        worker.cancel(number)
    return kind, number


def check(worker: Worker, kind: str, number: int) -> None:
    if kind == "upload":
        worker.upload(number, b"x" * 150_000)
        assert worker.answer(number).text == "150000"
        return
    answer = worker.answer(number)
    sizes = {"download": 400_000, "stream": 200_000}
    if kind in sizes:
        assert len(answer.body) == sizes[kind]
    elif kind == "raise":
        assert answer.error == "KeyError: 'raise'"
    elif kind == "cancel":
        assert answer.types[-1] == "ERROR"
    else:
        assert answer.text == kind


def test_standby_rests(shop: Workshop) -> None:
    """A worker without requests uses no CPU."""
    worker = shop.start(THREADS)
    worker.get("/shop/name")

    tasks = Path(f"/proc/{worker.process.pid}/task")

    def switches() -> int:
        files = [task / "status" for task in tasks.iterdir()]
        lines = [line for file in files for line in file.read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))

    def rests() -> bool:
        before = switches()
        time.sleep(0.1)  # nothing may happen in this time
        return switches() == before

    eventually(rests)
