"""Clients that hold slots for long, and what happens to them while others wait for one."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buntime.core.http1.leastrate import PERIOD_S
from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, read_until, running, wait_until, write_app

APP = """
from buntime import Event, Response

def events():
    yield Event("first")
    while True:
        yield Event("x" * 50_000)

def fetch(request):
    if request.path == "/large":
        return Response(b"x" * 50_000 for _ in range(10**6))
    if request.path == "/whole":
        return Response(bytes(range(251)) * 6_000 + b"the end")
    if request.path == "/events":
        return Response.events(events())
    if request.path == "/body":
        return Response(str(sum(map(len, request.stream()))))
    return Response("fine")
"""
# Each request has a thread, and wsgi.input is read before the app runs if its length is unknown.
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/large":
        return (b"x" * 50_000 for _ in range(10**6))
    return [str(len(environ["wsgi.input"].read())).encode()]
"""
SLOTS = 2
MOST = SLOTS + 1  # with what is lent: all the room that the pool has
PROMPT_S = 2.0  # far less than a period
ENDED_S = 7.0  # a brief period, the time between two looks, and a slow machine
CHUNKED = b"POST /stays/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n"
COUNTED = b"POST /stays/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
LARGE = b"POST /once/body HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 140_000


Cuts = Callable[[], Counter[str]]


@contextlib.contextmanager
def serving(folder: Path, first: str = "") -> Iterator[Runtime]:
    write_app(folder / "once", {"app.py": APP}, ttl=0, timeout=60)
    write_app(folder / "stays", {"app.py": WSGI}, ttl=3600, timeout=60, concurrency=SLOTS)
    write_app(folder / "site", {"index.html": ""})
    with open(folder / "site/large.bin", "wb") as file:
        file.truncate(8 << 20)
    env = {
        "RUNTIME_EPHEMERAL_CONCURRENCY": str(SLOTS),
        "RUNTIME_POOL_SIZE": str(MOST),
        "RUNTIME_SEND_TIMEOUT": "60s",
        "RUNTIME_BODY_TIMEOUT": "60s",
        "RUNTIME_SHUTDOWN_TIMEOUT": "1",
    }
    with running(folder, env=env, first=first) as started:
        yield started


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with serving(tmp_path_factory.mktemp("usual")) as started:
        yield started


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with serving(tmp_path_factory.mktemp("brief"), "tests.support.briefperiod") as started:
        yield started


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """The runtime of several tests, without the clients of those before."""
    shared: Runtime = request.getfixturevalue(getattr(request, "param", "usual"))
    apps = ("once", "stays")
    wait_until(lambda: not any(each["inHand"] for app in apps for each in workers_of(shared, app)))
    return shared


# For tests that let a period pass.
of_a_brief_period = pytest.mark.parametrize("runtime", ["brief"], indirect=True)


def counted(runtime: Runtime) -> Counter[str]:
    """How many clients were cut off so far, with `"body"` and `"answer"`."""
    text = fetch(runtime, "/metrics").body.decode()
    found = re.findall(r'^buntime_slow_clients_total\{.*with="(\w+)".*\} (\d+)\.0$', text, re.M)
    return sum((Counter({what: int(number)}) for what, number in found), Counter())


@pytest.fixture
def cuts(runtime: Runtime) -> Cuts:
    """The clients that were cut off since the test began."""
    before = counted(runtime)
    return lambda: counted(runtime) - before


def connect(runtime: Runtime) -> socket.socket:
    """A client that reads little at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", runtime.port))
    return sock


@contextlib.contextmanager
def slow(runtime: Runtime, number: int, first: bytes) -> Iterator[list[socket.socket]]:
    """This many clients, each with a slot; each moves a few bytes from time to time."""
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(runtime)) for _ in range(number)]
        for sock in socks:
            sock.sendall(first)
        app = first.split(b"/")[1].decode()
        wait_until(lambda: sum(each["inHand"] for each in workers_of(runtime, app)) == number)

        def drip() -> None:
            while not stop.wait(0.3):
                for sock in socks:
                    with contextlib.suppress(OSError):
                        if first.startswith(b"GET"):
                            sock.recv(20)
                        else:
                            sock.send(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield socks
        finally:
            stop.set()
            thread.join()


TCP = Path("/proc/net/tcp")


@pytest.mark.skipif(not TCP.exists(), reason="the kernel's queues are in /proc on Linux")
@pytest.mark.parametrize(("app", "path"), [("stays", "/large"), ("site", "/large.bin")])
def test_the_kernel_takes_little_for_them(runtime: Runtime, app: str, path: str) -> None:
    """A client that reads nothing costs some 256 KiB of the kernel's memory, not megabytes."""
    with connect(runtime) as sock:
        sock.sendall(get(path, app))
        seen = [0, 0]

        def is_full() -> bool:
            seen.append(unsent_bytes(runtime.port, sock.getsockname()[1]))
            return seen[-1] == seen[-3] > 100_000

        wait_until(is_full)
        assert seen[-1] < 600_000


def unsent_bytes(local: int, remote: int) -> int:
    """What the kernel holds for the connection between these ports."""
    for line in TCP.read_text().splitlines()[1:]:
        _, ours, theirs, _, queues = line.split()[:5]
        if [int(each.partition(":")[2], 16) for each in (ours, theirs)] == [local, remote]:
            return int(queues.partition(":")[0], 16)
    return 0


def get(path: str, app: str = "once") -> bytes:
    return b"GET /%s%s HTTP/1.1\r\nHost: a\r\n\r\n" % (app.encode(), path.encode())


@of_a_brief_period
@pytest.mark.parametrize(
    ("first", "what"), [(get("/large"), "answer"), (LARGE, "body")], ids=["answers", "bodies"]
)
def test_all_slots_taken_by_slow_clients(
    runtime: Runtime, cuts: Cuts, first: bytes, what: str
) -> None:
    """Slow clients are cut off after a period, and a client that waits for a slot is answered."""
    with slow(runtime, SLOTS, first) as socks:
        begun = time.monotonic()
        assert fetch(runtime, "/once/").body == b"fine"
        assert time.monotonic() - begun < ENDED_S
        wait_until(lambda: cuts()[what] > 0)
        runtime.wait_for_record("client.too_slow")
        if first is LARGE:
            assert read_until(socks[0], b"\r\n\r\n").startswith(b"HTTP/1.1 408 ")


@of_a_brief_period
@pytest.mark.parametrize(
    ("first", "what"),
    [(get("/large", "stays"), "answer"), (COUNTED, "body"), (CHUNKED, "body")],
    ids=["answers", "bodies", "chunks"],
)
def test_all_places_of_an_app_taken_by_slow_clients(
    runtime: Runtime, cuts: Cuts, first: bytes, what: str
) -> None:
    """Slots of workers with a ttl go to waiting clients, too."""
    with slow(runtime, SLOTS, first):
        begun = time.monotonic()
        assert fetch(runtime, "/stays/").body == b"0"
        assert time.monotonic() - begun < ENDED_S
        wait_until(lambda: cuts()[what] > 0)


@pytest.mark.parametrize("first", [get("/large"), LARGE], ids=["answers", "bodies"])
def test_who_waits_for_slow_clients_lends_its_slot(
    runtime: Runtime, cuts: Cuts, first: bytes
) -> None:
    """If slow clients hold all slots and more, others need not wait until those are cut off."""
    with slow(runtime, SLOTS, first):
        begun = time.monotonic()
        assert fetch(runtime, "/once/").body == b"fine"
        assert time.monotonic() - begun < PROMPT_S
    assert not cuts()


@pytest.mark.parametrize("first", [get("/large"), LARGE], ids=["answers", "bodies"])
def test_others_wait_for_a_moment(runtime: Runtime, cuts: Cuts, first: bytes) -> None:
    """Slow clients take all slots, those that are lent, and the room in the pool."""
    with slow(runtime, MOST, first):
        begun = time.monotonic()
        assert fetch(runtime, "/once/").body == b"fine"
        assert fetch(runtime, "/stays/").body == b"0"
        assert time.monotonic() - begun < PERIOD_S
        wait_until(lambda: any(cuts().values()))


def test_a_whole_answer_waits_on_disk(runtime: Runtime, cuts: Cuts) -> None:
    """Six clients that take nothing keep nobody waiting, and no more workers than are not
    missed; whenever they go on, they get all of it."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(runtime)) for _ in range(2 * MOST)]
        for sock in socks:
            sock.sendall(get("/whole"))
        assert fetch(runtime, "/stays/").body == b"0"
        assert fetch(runtime, "/once/").body == b"fine"
        wait_until(lambda: len(workers_of(runtime, "once", status="once")) <= SLOTS // 2)
        whole = bytes(range(251)) * 6_000 + b"the end"
        for sock in socks[:2]:
            body = read_until(sock, b"the end").partition(b"\r\n\r\n")[2]
            assert body == whole
    assert not cuts()


@of_a_brief_period
def test_who_keeps_the_rate_is_left_alone(runtime: Runtime, cuts: Cuts) -> None:
    """Though the kernel takes what is sent in large pieces, with many seconds between them."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(runtime)) for _ in range(SLOTS)]
        for sock in socks:
            sock.sendall(get("/large"))
        until = time.monotonic() + 3  # some periods
        while time.monotonic() < until:
            for sock in socks:
                assert sock.recv(3000)
            time.sleep(0.1)  # the pace of the slow ones
    assert not cuts()


@of_a_brief_period
def test_half_of_the_slots_may_be_slow(runtime: Runtime, cuts: Cuts) -> None:
    """If others have room, only the timeouts apply: no one is cut off after a period."""
    with slow(runtime, SLOTS // 2, get("/large")):
        time.sleep(2.5)  # the pace of the slow clients
        assert len(workers_of(runtime, "once", status="once")) == SLOTS // 2
    assert not cuts()


@of_a_brief_period
def test_event_streams_may_be_slow(runtime: Runtime) -> None:
    """Event streams keep their slots, whatever is short."""
    with slow(runtime, SLOTS, get("/events")):
        time.sleep(2.5)  # the pace of the slow clients
        assert len(workers_of(runtime, "once", status="once")) == SLOTS
