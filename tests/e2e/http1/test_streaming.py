"""Bodies pass through the runtime in both directions; it holds hardly any of them."""

from __future__ import annotations

import hashlib
import platform
import socket as sockets
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.pressure import (
    KERNEL_MAX,
    MB,
    has_proc,
    held_little,
    send_until_stopped,
    settled,
    small_client,
)
from tests.support.rawclient import RawClient, Reply, client_of, request
from tests.support.rawsocket import BINARY, handshake, switched, write_frame

PIECE = 64 * 1024
TIMES = 60  # requests whose times are compared
PERCENTILE_95 = TIMES * 95 // 100
# What may be held is a twelfth of the first, and a quarter of the second.
BIG = 48 * MB
SIZE = 16 * MB
SYNC = """
import hashlib, os, threading, time
from buntime import Response

PIECE = 64 * 1024
gates = {}
counts = {}

def gate(request):
    return gates.setdefault(request.query["id"], threading.Event())

def pieces(size, count=lambda: None):
    for number in range(size // PIECE):
        count()
        yield number.to_bytes(8, "big") * (PIECE // 8)

def source(request):
    return Response(pieces(int(request.query["size"])))

def known(request):
    size = request.query["size"]
    return Response(pieces(int(size)), headers={"content-length": size})

def counted(request):
    name = request.query["id"]
    counts[name] = 0
    def count():
        counts[name] += PIECE
    return Response(pieces(int(request.query["size"]), count))

def sink(request):
    if "id" in request.query:
        assert gate(request).wait(30)
    seen, size = hashlib.sha256(), 0
    for piece in request.stream():
        seen.update(piece)
        size += len(piece)
    return Response.json({"size": size, "sha256": seen.hexdigest()})

def mirror(request):
    return Response(request.stream())

def opened(request):
    gate(request).set()
    return Response("open")

def hold(request):
    while not request.is_cancelled():
        time.sleep(0.05)
    return Response("late")

def websocket(ws):
    for message in ws:
        ws.send(message)

PAGES = {
    "/source": source, "/known": known, "/counted": counted, "/sink": sink, "/mirror": mirror,
    "/open": opened, "/counts": lambda request: Response.json(counts),
    "/quick": lambda request: Response("quick"), "/hold": hold,
    "/pid": lambda request: Response(str(os.getpid())),
}

def fetch(request):
    return PAGES[request.path](request)
"""

ASYNC = """
import asyncio, hashlib, os
from buntime import Response

PIECE = 64 * 1024
counts = {}

async def pieces(size, name):
    counts[name] = 0
    for number in range(size // PIECE):
        counts[name] += PIECE
        yield number.to_bytes(8, "big") * (PIECE // 8)

async def fetch(request):
    if request.path in ("/source", "/counted"):
        return Response(pieces(int(request.query["size"]), request.query.get("id")))
    if request.path == "/counts":
        return Response.json(counts)
    if request.path == "/quick":
        return Response("quick")
    if request.path == "/pid":
        return Response(str(os.getpid()))
    if request.path == "/hold":
        await asyncio.sleep(60)
    if request.path == "/mirror":
        return Response(request.stream())
    seen, size = hashlib.sha256(), 0
    async for piece in request.stream():
        seen.update(piece)
        size += len(piece)
    return Response.json({"size": size, "sha256": seen.hexdigest()})

async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""


def pieces(size: int) -> Iterator[bytes]:
    """The same bytes as in the apps: no two pieces are alike."""
    for number in range(size // PIECE):
        yield number.to_bytes(8, "big") * (PIECE // 8)


@cache
def digest(size: int) -> str:
    seen = hashlib.sha256()
    for piece in pieces(size):
        seen.update(piece)
    return seen.hexdigest()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(
        folder / "s",
        {"app.py": SYNC},
        ttl=600,
        maxRequests=10**6,
        maxBodySize="128mb",
        concurrency=8,
    )
    write_app(folder / "a", {"app.py": ASYNC}, ttl=600, maxRequests=10**6, maxBodySize="128mb")
    write_app(folder / "site", {"index.html": "", "page.txt": "x" * 240_000})
    with running(folder, env={"RUNTIME_BODY_SIZE_MAX": "128mb"}) as runtime:
        for app in ("s", "a"):
            upload(runtime, f"/{app}/sink", MB)
            download(runtime, f"/{app}/source?size={MB}")
        yield runtime


def upload(runtime: Runtime, target: str, size: int, *, chunked: bool = False) -> None:
    """Sends a body, and checks by its hash that the app has got it."""
    with client_of(runtime) as client:
        if chunked:
            client.send(request(f"POST {target}", "Transfer-Encoding: chunked"))
            for piece in pieces(size):
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.send(b"0\r\n\r\n")
        else:
            client.send(request(f"POST {target}", f"Content-Length: {size}"))
            for piece in pieces(size):
                client.send(piece)
        check_sunk(client, size)


def check_sunk(client: RawClient, size: int) -> None:
    assert client.read().json == {"size": size, "sha256": digest(size)}


def download(runtime: Runtime, target: str) -> tuple[int, str]:
    """Size and hash of a body by HTTP/1.0: unframed, up to the end of the connection."""
    with client_of(runtime) as client:
        client.send(request(f"GET {target}", version="1.0"))
        return take_body(client)


def take_body(client: RawClient) -> tuple[int, str]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    seen, size = hashlib.sha256(body), len(body)
    while body := client.sock.recv(MB):
        seen.update(body)
        size += len(body)
    return size, seen.hexdigest()


def ask(runtime: Runtime, target: str) -> Reply:
    with client_of(runtime) as client:
        return client.get(target)


# Size


@has_proc
def test_a_big_upload(runtime: Runtime) -> None:
    """A body reaches the app as it was sent, and hardly any of it is held on the way."""
    with held_little(runtime):
        upload(runtime, "/s/sink", BIG)


@has_proc
def test_a_big_download(runtime: Runtime) -> None:
    """A body reaches the client as the app gave it, and hardly any of it is held on the way."""
    with held_little(runtime):
        assert download(runtime, f"/s/source?size={BIG}") == (BIG, digest(BIG))


@has_proc
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is another one")
def test_memory_of_a_download_is_used_again(tmp_path: Path) -> None:
    """The runtime's buffers are not fresh pages each time: that took half of a download's time."""
    write_app(tmp_path / "s", {"app.py": SYNC}, ttl=60)
    with running(tmp_path) as runtime:
        download(runtime, f"/s/source?size={SIZE}")
        before = page_faults(runtime)
        download(runtime, f"/s/source?size={SIZE}")
        assert page_faults(runtime) - before < 500  # of 4096 pages


def page_faults(runtime: Runtime) -> int:
    """How often the runtime touched a page that it did not have yet."""
    stat = Path(f"/proc/{runtime.process.pid}/stat").read_text("latin-1")
    return int(stat.rpartition(")")[2].split()[7])


@has_proc
@pytest.mark.parametrize("app", ["s", "a"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_uploads_of_each_kind(runtime: Runtime, app: str, chunked: bool) -> None:
    """By length and in chunks, to sync and async apps, a body arrives whole and is not held."""
    with held_little(runtime):
        upload(runtime, f"/{app}/sink", SIZE, chunked=chunked)


@has_proc
@pytest.mark.parametrize("page", ["s/source", "s/known", "a/source"])
def test_downloads_of_each_kind(runtime: Runtime, page: str) -> None:
    """With and without a length, from sync and async apps, a body arrives whole and is not held."""
    with held_little(runtime):
        assert download(runtime, f"/{page}?size={SIZE}") == (SIZE, digest(SIZE))


@has_proc
@pytest.mark.parametrize("app", ["s", "a"])
def test_both_directions_at_once(runtime: Runtime, app: str) -> None:
    """An app can send what it receives, while it receives it, at any length."""
    with held_little(runtime), client_of(runtime) as client:
        client.send(request(f"POST /{app}/mirror", f"Content-Length: {SIZE}", version="1.0"))

        def send() -> None:
            for piece in pieces(SIZE):
                client.send(piece)

        sending = threading.Thread(target=send)
        sending.start()
        assert take_body(client) == (SIZE, digest(SIZE))
        sending.join()


@has_proc
def test_many_bodies_at_once(runtime: Runtime) -> None:
    """Four uploads and four downloads on one worker do not mix, and do not add up in memory."""
    size = 4 * MB
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:
            failures.append(exc)

    def check_download() -> None:
        assert download(runtime, f"/s/source?size={size}") == (size, digest(size))

    works = [lambda: upload(runtime, "/s/sink", size), check_download] * 4
    with held_little(runtime):
        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


# A stalled side stops the other


@has_proc
def test_an_app_that_does_not_read_stops_its_client(runtime: Runtime) -> None:
    """An app that does not read yet is sent nothing more: the client can send only what the kernels
    hold, until the app reads; then all of it arrives."""
    size = 2 * KERNEL_MAX
    with held_little(runtime), small_client(runtime) as client:
        client.send(request("POST /s/sink?id=late", f"Content-Length: {size}"))
        data = memoryview(b"".join(pieces(size)))
        sent = send_until_stopped(client, data)
        assert 0 < sent < KERNEL_MAX
        assert ask(runtime, "/s/open?id=late").status == 200
        client.send(data[sent:])
        check_sunk(client, size)


@has_proc
def test_a_client_that_does_not_read_stops_the_app(runtime: Runtime) -> None:
    """An app cannot run ahead of its client by more than the kernels hold; when the client reads,
    all of the body comes."""
    size = 2 * KERNEL_MAX
    target = f"/s/counted?id=stalled&size={size}"
    with held_little(runtime), small_client(runtime) as client:
        client.send(request(f"GET {target}", version="1.0"))
        made = settled(lambda: ask(runtime, "/s/counts").json.get("stalled", 0))
        assert 0 < made < KERNEL_MAX
        assert take_body(client) == (size, digest(size))
    assert ask(runtime, "/s/counts").json["stalled"] == size


@has_proc
def test_a_client_that_pipelines_without_reading(runtime: Runtime) -> None:
    """Requests behind an answer that its client does not read are not begun: answers do not pile
    up. When the client reads, it gets all of them."""
    count, size = 100, 240_000  # twice what the kernels hold
    with held_little(runtime), small_client(runtime) as client:
        client.send(request("GET /site/page.txt") * count)
        served = settled(lambda: len(served_pages(runtime)))
        assert served * size < KERNEL_MAX
        for _ in range(count):
            assert len(client.read().body) == size
    wait_until(lambda: len(served_pages(runtime)) == count, what="the log of them")


def served_pages(runtime: Runtime) -> list[object]:
    return [each for each in tuple(runtime.records) if each.get("path") == "/site/page.txt"]


@pytest.mark.parametrize(("app", "stalled"), [("s", 6), ("a", 20)])
def test_stalled_downloads_do_not_slow_the_others(runtime: Runtime, app: str, stalled: int) -> None:
    """Clients that read nothing cost the others on the same worker no time."""
    names = [f"stalled-{number}" for number in range(stalled)]

    def made() -> int:
        counts = ask(runtime, f"/{app}/counts").json
        return min(counts.get(name, 0) for name in names) and sum(counts.values())

    with ExitStack() as stack:
        quick = stack.enter_context(client_of(runtime))
        before_s = typical_s(quick, f"/{app}/quick")
        for name in names:
            client = stack.enter_context(small_client(runtime))
            client.send(request(f"GET /{app}/counted?id={name}&size={64 * MB}"))
        settled(made)  # the kernels are full
        check_below(3 * before_s + 0.003, lambda: typical_s(quick, f"/{app}/quick"))


@pytest.mark.parametrize("app", ["s", "a"])
def test_whoever_stalls_does_not_slow_the_others(runtime: Runtime, app: str) -> None:
    """A stalled download, upload and WebSocket cost quick requests to the same worker no time, not
    even the slowest of them."""
    size = 32 * MB
    with ExitStack() as stack:
        quick = stack.enter_context(client_of(runtime))
        worker = quick.get(f"/{app}/pid").body
        before_s = times_s(quick, f"/{app}/quick")[PERCENTILE_95]
        download, upload, socket = (stack.enter_context(small_client(runtime)) for _ in range(3))
        download.send(request(f"GET /{app}/counted?id=mixed-{app}&size={size}"))
        for client in (upload, socket):  # leave by a reset, as a close comes after the unread bytes
            client.sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        upload.send(request(f"POST /{app}/hold", f"Content-Length: {size}"))
        assert send_until_stopped(upload, memoryview(bytes(size))) < KERNEL_MAX
        socket.send(handshake(f"/{app}/"))
        messages = write_frame(BINARY, bytes(MB)) * 32
        switched(socket)
        assert send_until_stopped(socket, memoryview(messages)) < 2 * KERNEL_MAX
        settled(lambda: ask(runtime, f"/{app}/counts").json.get(f"mixed-{app}", 0))
        check_below(3 * before_s + 0.05, lambda: times_s(quick, f"/{app}/quick")[PERCENTILE_95])
        assert quick.get(f"/{app}/pid").body == worker


def check_below(limit_s: float, measure: Callable[[], float]) -> None:
    """Measures up to five times: other work may get in between, but who stalls slows them all."""
    took = [measure()]
    while min(took) >= limit_s and len(took) < 5:
        took.append(measure())
    assert min(took) < limit_s, took


def times_s(client: RawClient, target: str) -> list[float]:
    """The times of some requests, the shortest first."""
    times = []
    for _ in range(TIMES):
        begun = time.monotonic()
        assert client.get(target).body == b"quick"
        times.append(time.monotonic() - begun)
    return sorted(times)


def typical_s(client: RawClient, target: str) -> float:
    """The median time of a request."""
    return statistics.median(times_s(client, target))


def test_nothing_is_left_behind(runtime: Runtime) -> None:
    """After all of it, no worker has anything in hand, and no callback of the runtime raised."""

    def in_hand() -> int:
        return sum(each["inHand"] for each in ask(runtime, "/api/workers").json["workers"])

    wait_until(lambda: in_hand() == 0, what="all workers to be idle")
    assert not [record for record in runtime.records if record["event"] == "runtime.internal_error"]
