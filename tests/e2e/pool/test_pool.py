"""The pool as clients, apps and operators see it: which worker serves, and which is ended when."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.support.client import Answer, Gates, fetch, metrics, workers_of
from tests.support.harness import Runtime, is_alive, read_until, running, wait_until, write_app

APP = (
    Gates.CODE
    + """
served = []

def fetch(request):
    served.append(request.query.get("name"))
    if "started" in request.query:
        reach(request.query["started"])
    if "gate" in request.query:
        pass_through(request.query["gate"])
    return Response.json({"pid": os.getpid(), "served": served})

def on_idle():
    print("hook on_idle")

def on_terminate():
    print("hook on_terminate")
"""
)

# Its import waits for a gate, so a replacement loads for as long as a test likes.
SLOW_TO_LOAD = APP + '\npass_through("loading")\n'

# Streams until a gate opens; a request with ?sleep= blocks its thread and cannot be cancelled.
STREAMS = (
    Gates.CODE
    + """
def pieces(name):
    try:
        while not pathlib.Path(os.environ["GATES"], name).exists():
            yield "piece "
            time.sleep(0.05)
        yield "end"
    finally:
        print("stream closed")

def fetch(request):
    if "sleep" in request.query:
        time.sleep(float(request.query["sleep"]))
    if "stream" in request.query:
        return Response(pieces(request.query["stream"]), headers={"x-pid": str(os.getpid())})
    return Response.json({"pid": os.getpid()})
"""
)

WRITES_ON = """
import time

def application(environ, start_response):
    write = start_response("200 OK", [("content-type", "text/plain")])
    if environ["PATH_INFO"] != "/on":
        return [b"{}"]
    write(b"first")
    time.sleep(0.8)
    try:
        write(b"second")
    except OSError as exc:
        print("write:", exc)
        raise
    return []
"""

OBEYS = """
import asyncio, os
from buntime import Response

async def fetch(request):
    if "sleep" in request.query:
        try:
            await asyncio.sleep(float(request.query["sleep"]))
        except asyncio.CancelledError:
            print("cancelled", request.path)
            raise
    return Response.json({"pid": os.getpid()})
"""


class Pool(NamedTuple):
    """A runtime, and the gates that its apps wait at."""

    runtime: Runtime
    gates: Gates


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    gates = Gates()
    apps = folder / "apps"

    def app(name: str, text: str = APP, **manifest: Any) -> None:
        write_app(apps / name, {"app.py": text}, env=gates.env, **manifest)

    quick: dict[str, Any] = {"timeout": 0.4, "idleTimeout": 0.4}
    app("once")
    app("kept", ttl=60)
    app("idler", ttl=60, **quick)
    app("busy-idler", ttl=60, concurrency=2, **quick)
    app("recycled", ttl=60, maxRequests=10)
    app("recycled-slowly", SLOW_TO_LOAD, ttl=60, maxRequests=5)
    app("aged", SLOW_TO_LOAD, ttl=1, timeout=1, idleTimeout=1)
    app("two-workers", ttl=60, workers=2, concurrency=1)
    app("two-at-once", ttl=60, concurrency=2)
    app("one-at-once", ttl=60, concurrency=1)
    app("long", STREAMS, ttl=60, timeout=0.8, idleTimeout=0.8)
    app("late", STREAMS, ttl=60, timeout=1, idleTimeout=60)
    app("late-alone", STREAMS, ttl=60, timeout=1.8, concurrency=1)
    app("late-writer", WRITES_ON, ttl=60, timeout=0.4)
    app("late-once", STREAMS, timeout=0.4)
    app("late-async", OBEYS, ttl=60, timeout=0.4)
    app("streams", STREAMS, ttl=60)
    app("warm", ttl=60, prewarm=2, workers=2)
    app("warm-once", prewarm=1)
    env = {"RUNTIME_ENV": "production", "RUNTIME_SPARE_WORKERS": "2"}
    with running(apps, env=env) as runtime:
        yield Pool(runtime, gates)


def served(runtime: Runtime, path: str) -> Answer:
    """Asks until an app answers whose timeout may be shorter than loading on a busy machine."""
    answers: list[Answer] = []

    def is_served() -> bool:
        answers.append(fetch(runtime, path))
        assert answers[-1].status in (200, 503), answers[-1]
        return answers[-1].status == 200

    wait_until(is_served, what=f"an answer of {path}")
    return answers[-1]


def pid_of(answer: Answer) -> int:
    assert answer.status == 200, answer
    return int(answer.json()["pid"])


def wait_for_end(pid: int) -> None:
    wait_until(lambda: not is_alive(pid), what=f"the end of worker {pid}")


def wait_until_taken(runtime: Runtime, app: str, count: int) -> None:
    """Wait until this many requests to an app have reached the pool."""

    def are_taken() -> bool:
        stats = fetch(runtime, "/api/workers/stats").json()
        return bool(app in stats and stats[app]["requestCount"] >= count)

    wait_until(are_taken, what=f"{count} requests for {app}")


# ---- how long a worker lives


def test_ttl_0_starts_a_process_for_each_request_and_ends_it(pool: Pool) -> None:
    """Each request to an app with ttl 0 has a process of its own, which then ends."""
    first, second = (fetch(pool.runtime, "/once/").json() for _ in range(2))
    assert first["pid"] != second["pid"]
    assert len(first["served"]) == len(second["served"]) == 1
    wait_for_end(first["pid"])
    wait_for_end(second["pid"])


def test_ttl_0_runs_on_terminate(pool: Pool) -> None:
    """A worker of one request runs the app's on_terminate, but not its on_idle."""
    answer = fetch(pool.runtime, "/once/")
    wait_for_end(pid_of(answer))
    worker = access_of(pool.runtime, answer)["worker"]
    pool.runtime.wait_for_line("hook on_terminate", app="once", worker=worker)
    assert hooks_of(pool.runtime, worker) == ["hook on_terminate"]


def test_ttl_keeps_a_worker(pool: Pool) -> None:
    """An app with a ttl is loaded once, and its worker serves one request after another."""
    answers = [fetch(pool.runtime, "/kept/").json() for _ in range(3)]
    assert len({answer["pid"] for answer in answers}) == 1
    assert [len(answer["served"]) for answer in answers] == [1, 2, 3]


def test_idle_worker_ends(pool: Pool) -> None:
    """After idleTimeout a worker runs on_idle, then on_terminate, and ends; a new one serves."""
    answer = served(pool.runtime, "/idler/")
    wait_for_end(pid_of(answer))
    worker = access_of(pool.runtime, answer)["worker"]
    pool.runtime.wait_for_line("hook on_terminate", worker=worker)
    assert hooks_of(pool.runtime, worker) == ["hook on_idle", "hook on_terminate"]
    assert pid_of(served(pool.runtime, "/idler/")) != pid_of(answer)


def test_worker_with_a_request_is_not_idle(pool: Pool) -> None:
    """A request that takes longer than idleTimeout does not make its worker idle."""
    runtime, gates = pool
    with ThreadPoolExecutor() as threads:
        served(runtime, "/long/")
        stream = threads.submit(fetch, runtime, "/long/?stream=not-idle")
        wait_until(lambda: workers_of(runtime, "long", inHand=1))
        [worker] = workers_of(runtime, "long")
        time.sleep(1.5)  # time enough for the mistake to happen
        assert workers_of(runtime, "long", id=worker["id"], status="busy")
        gates.open("not-idle")
        assert stream.result().body.endswith(b"end")


def access_of(runtime: Runtime, answer: Answer) -> dict[str, object]:
    record: dict[str, object] = runtime.wait_for_record(
        "request.access", request_id=answer.headers["x-request-id"]
    )
    return record


def hooks_of(runtime: Runtime, worker: object) -> list[str]:
    return [
        record["message"]
        for record in runtime.records
        if record["message"].startswith("hook") and record["worker"] == worker
    ]


# ---- recycling


def test_recycling_under_load_loses_no_request(pool: Pool) -> None:
    """Workers that are recycled every 10 requests, under four clients, lose no request."""
    runtime = pool.runtime
    served: Counter[int] = Counter()  # requests by the worker that had them

    def ask(_: int) -> None:
        served[pid_of(fetch(runtime, "/recycled/"))] += 1

    # While a replacement loads, the old worker still serves, so it may get more than 10.
    asked = 0
    with ThreadPoolExecutor(4) as threads:
        while len(served) < 3:
            assert asked < 5000
            asked += len(list(threads.map(ask, range(20))))
    assert served.total() == asked
    wait_until(lambda: len(workers_of(runtime, "recycled")) <= 1)
    left = [worker["pid"] for worker in workers_of(runtime, "recycled")]
    for pid in set(served) - set(left):
        wait_for_end(pid)


def test_recycling_at_max_requests_starts_the_replacement_first(pool: Pool) -> None:
    """A worker at its maxRequests serves until its replacement has loaded, then ends."""
    replaced_while_serving(pool, "recycled-slowly")


def test_recycling_at_ttl_starts_the_replacement_first(pool: Pool) -> None:
    """A worker at the end of its ttl serves until its replacement has loaded, then ends."""
    replaced_while_serving(pool, "aged")


def replaced_while_serving(pool: Pool, app: str) -> None:
    runtime, gates = pool
    gates.open("loading")
    old = pid_of(served(runtime, f"/{app}/"))
    gates.shut("loading")

    def is_being_replaced() -> bool:
        assert pid_of(fetch(runtime, f"/{app}/")) == old
        return bool(workers_of(runtime, app, status="loading"))

    wait_until(is_being_replaced, what="a replacement")
    for _ in range(5):
        assert pid_of(fetch(runtime, f"/{app}/")) == old
    [replacement] = workers_of(runtime, app, status="loading")
    gates.open("loading")
    wait_until(lambda: pid_of(fetch(runtime, f"/{app}/")) == replacement["pid"])
    wait_for_end(old)


def test_old_worker_without_traffic_is_not_replaced(pool: Pool) -> None:
    """The worker of an app without requests ends, and no other is started."""
    pid = pid_of(served(pool.runtime, "/busy-idler/"))
    wait_for_end(pid)
    wait_until(lambda: not workers_of(pool.runtime, "busy-idler"))


# ---- many requests at once


def test_workers_lets_an_app_have_several(pool: Pool) -> None:
    """With `workers: 2` and `concurrency: 1`, two requests at once are in two processes."""
    runtime, gates = pool
    with ThreadPoolExecutor() as threads:
        held = [
            threads.submit(fetch, runtime, f"/two-workers/?gate=two&started=two-{number}")
            for number in range(2)
        ]
        gates.wait_for("two-0")
        gates.wait_for("two-1")
        third = threads.submit(fetch, runtime, "/two-workers/?started=two-third")
        wait_until_taken(runtime, "two-workers", 3)
        assert [each["inHand"] for each in workers_of(runtime, "two-workers")] == [1, 1]
        assert not gates.is_open("two-third")
        gates.open("two")
        pids = {pid_of(each.result()) for each in held}
        assert len(pids) == 2
        assert pid_of(third.result()) in pids


def test_concurrency_is_kept(pool: Pool) -> None:
    """With `concurrency: 2`, two requests are in one process at once, and the third waits."""
    runtime, gates = pool
    with ThreadPoolExecutor() as threads:
        held = [
            threads.submit(fetch, runtime, f"/two-at-once/?gate=both&started=both-{number}")
            for number in range(2)
        ]
        gates.wait_for("both-0")
        gates.wait_for("both-1")
        third = threads.submit(fetch, runtime, "/two-at-once/?started=both-third")
        wait_until_taken(runtime, "two-at-once", 3)
        assert [each["inHand"] for each in workers_of(runtime, "two-at-once")] == [2]
        assert not gates.is_open("both-third")
        gates.open("both")
        assert len({pid_of(each.result()) for each in [*held, third]}) == 1


def test_queued_request_dies_with_its_client(pool: Pool) -> None:
    """A queued request whose client has certainly left, by a reset, never reaches the app. One
    whose client may have left goes last: tests/e2e/http1/test_half_closed.py."""
    runtime, gates = pool
    with ThreadPoolExecutor() as threads:
        held = threads.submit(fetch, runtime, "/one-at-once/?name=held&gate=left&started=left-1")
        gates.wait_for("left-1")
        with runtime.connect() as sock:
            sock.sendall(
                b"GET /one-at-once/?name=left HTTP/1.1\r\nhost: x\r\n"
                b"x-request-id: left-in-the-queue\r\n\r\n"
            )
            wait_until_taken(runtime, "one-at-once", 2)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        runtime.wait_for_record(
            "request.access", request_id="left-in-the-queue", status=499, worker=None
        )
        gates.open("left")
        assert held.result().status == 200
        assert fetch(runtime, "/one-at-once/?name=next").json()["served"] == ["held", "next"]


def test_stream_ends_when_its_client_leaves(pool: Pool) -> None:
    """A streaming app learns that its client has left, and its worker serves on."""
    runtime = pool.runtime
    with runtime.connect() as sock:
        sock.sendall(b"GET /streams/?stream=never HTTP/1.1\r\nhost: x\r\n\r\n")
        head = read_until(sock, b"piece")
    pid = int(head.partition(b"x-pid: ")[2].split()[0])
    runtime.wait_for_line("stream closed", app="streams")
    wait_until(lambda: workers_of(runtime, "streams", pid=pid, inHand=0))
    assert pid_of(fetch(runtime, "/streams/")) == pid


# ---- timeouts


def test_late_request_is_answered_504(pool: Pool) -> None:
    """A request that exceeds its app's timeout is answered 504, and the log says which it was."""
    began = time.monotonic()
    answer = fetch(pool.runtime, "/late-once/?sleep=30", headers={"x-request-id": "late-once-1"})
    assert time.monotonic() - began < 5
    assert (answer.status, answer.error["code"]) == (504, "app_timeout")
    assert answer.error["requestId"] == "late-once-1"
    record = pool.runtime.wait_for_record("app.timeout", request_id="late-once-1")
    assert (record["level"], record["path"]) == ("warn", "/late-once/")


def test_late_worker_of_one_request_is_killed(pool: Pool) -> None:
    """A worker of one request that does not give up its late request is killed."""
    wait_until(lambda: not workers_of(pool.runtime, "late-once"))
    answer = fetch(pool.runtime, "/late-once/?sleep=30")
    assert answer.status == 504
    [worker] = workers_of(pool.runtime, "late-once")
    wait_for_end(worker["pid"])


def test_stuck_worker_is_replaced_and_finishes_the_rest(pool: Pool) -> None:
    """A worker that is stuck in one request gets no more, finishes its others, and is killed."""
    runtime, gates = pool
    with ThreadPoolExecutor() as threads:
        served(runtime, "/late/")
        other = threads.submit(fetch, runtime, "/late/?stream=finish")
        wait_until(lambda: workers_of(runtime, "late", inHand=1))
        [worker] = workers_of(runtime, "late")
        assert fetch(runtime, "/late/?sleep=30").status == 504
        wait_until(lambda: workers_of(runtime, "late", id=worker["id"], status="retiring"))
        assert pid_of(served(runtime, "/late/")) != worker["pid"]
        assert is_alive(worker["pid"])
        gates.open("finish")
        answer = other.result()
        assert int(answer.headers["x-pid"]) == worker["pid"]
        assert answer.body.endswith(b"end")
        wait_for_end(worker["pid"])


def test_request_behind_a_stuck_one_is_served(pool: Pool) -> None:
    """A request that waits behind a stuck one goes to the replacement and is not late."""
    runtime = pool.runtime
    served(runtime, "/late-alone/")
    assert fetch(runtime, "/late-alone/?sleep=30").status == 504
    [stuck] = workers_of(runtime, "late-alone")
    assert pid_of(fetch(runtime, "/late-alone/")) != stuck["pid"]
    wait_for_end(stuck["pid"])


def test_late_app_is_told_why_it_cannot_write(pool: Pool) -> None:
    """An app that still writes after its deadline gets an error that names the deadline."""
    served(pool.runtime, "/late-writer/")
    with pool.runtime.connect() as sock:
        sock.sendall(b"GET /late-writer/on HTTP/1.1\r\nhost: x\r\n\r\n")
        read_until(sock, b"first")
        pool.runtime.wait_for_record("app.timeout", app="late-writer")
    pool.runtime.wait_for_line("write: the deadline of this request has passed")


def test_obedient_worker_stays(pool: Pool) -> None:
    """A worker that gives up a late request when it is cancelled is kept."""
    runtime = pool.runtime
    pid = pid_of(served(runtime, "/late-async/"))
    assert fetch(runtime, "/late-async/slept?sleep=30").status == 504
    runtime.wait_for_line("cancelled /slept", app="late-async")
    time.sleep(1.2)  # as long as a worker has to obey, and a little more
    assert pid_of(fetch(runtime, "/late-async/")) == pid


# ---- workers that are ready before a request


def test_prewarm_keeps_workers_of_a_persistent_app_ready(pool: Pool) -> None:
    """`prewarm: 2` loads two workers before there is a request, and a request goes to one."""
    wait_until(lambda: len(workers_of(pool.runtime, "warm", status="idle")) == 2)
    ready = {worker["pid"] for worker in workers_of(pool.runtime, "warm")}
    assert pid_of(fetch(pool.runtime, "/warm/")) in ready


def test_prewarm_keeps_a_worker_of_an_ephemeral_app_ready(pool: Pool) -> None:
    """`prewarm: 1` with ttl 0: a request gets the loaded worker, and the next one is loaded."""
    used = []
    for _ in range(3):
        wait_until(lambda: workers_of(pool.runtime, "warm-once", status="idle"))
        [ready] = workers_of(pool.runtime, "warm-once", status="idle")
        assert pid_of(fetch(pool.runtime, "/warm-once/")) == ready["pid"]
        used.append(ready["pid"])
    assert len(set(used)) == 3


def test_spares_are_kept_ready(pool: Pool) -> None:
    """A worker is made from a waiting spare, and another spare takes its place."""
    runtime = pool.runtime
    wait_until(lambda: len(workers_of(runtime, None, status="spare")) == 2)
    spares = {worker["pid"] for worker in workers_of(runtime, None)}
    pid = pid_of(fetch(runtime, "/once/"))
    assert pid in spares
    wait_until(lambda: len(workers_of(runtime, None, status="spare")) == 2)
    assert pid not in {worker["pid"] for worker in workers_of(runtime, None)}


# ---- a pool that is full


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A runtime with room for two workers, one of them for apps with ttl 0."""
    folder = tmp_path_factory.mktemp("small")
    gates = Gates()
    apps = folder / "apps"
    for name in ("a", "b", "c"):
        write_app(apps / name, {"app.py": APP}, ttl=60, env=gates.env)
    write_app(apps / "once", {"app.py": APP}, env=gates.env)
    write_app(apps / "queues-late", {"app.py": APP}, env=gates.env, timeout=0.3)
    write_app(apps / "endless", {"app.py": "import time\ntime.sleep(60)\n"}, ttl=60)
    write_app(apps / "endless-once", {"app.py": "import time\ntime.sleep(60)\n"})
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_POOL_SIZE": "2",
        "RUNTIME_SPARE_WORKERS": "0",
        "RUNTIME_EPHEMERAL_CONCURRENCY": "1",
        "RUNTIME_EPHEMERAL_QUEUE_LIMIT": "1",
        "RUNTIME_BOOT_TIMEOUT": "2",
    }
    with running(apps, env=env) as runtime:
        yield Pool(runtime, gates)


def test_full_pool_evicts_the_worker_idle_longest(small: Pool) -> None:
    """If the pool is full, a new app's worker takes the place of the least recently used."""
    runtime = small.runtime
    before = metrics(runtime)["evictionCount"]
    a, b = (pid_of(fetch(runtime, f"/{name}/")) for name in "ab")
    assert pid_of(fetch(runtime, "/a/")) == a  # now b has been idle for longer
    c = pid_of(fetch(runtime, "/c/"))
    wait_for_end(b)
    assert pid_of(fetch(runtime, "/a/")) == a
    assert pid_of(fetch(runtime, "/c/")) == c
    assert metrics(runtime)["evictionCount"] == before + 1


def test_full_pool_never_evicts_a_busy_worker(small: Pool) -> None:
    """If all workers are busy, a request to another app waits until one is free."""
    runtime, gates = small
    with ThreadPoolExecutor() as threads:
        held = [
            threads.submit(fetch, runtime, f"/{name}/?gate=full&started=full-{name}")
            for name in "ac"
        ]
        gates.wait_for("full-a")
        gates.wait_for("full-c")
        count = fetch(runtime, "/api/workers/stats").json()["b"]["requestCount"]
        waiting = threads.submit(fetch, runtime, "/b/?started=full-b")
        wait_until_taken(runtime, "b", count + 1)
        assert len(workers_of(runtime, "a") + workers_of(runtime, "c")) == 2
        assert not gates.is_open("full-b")
        gates.open("full")
        assert {each.result().status for each in [*held, waiting]} == {200}


def test_flood_of_an_ephemeral_app_is_refused(small: Pool) -> None:
    """Beyond the limits of concurrency and queue: 503 at once, with Retry-After."""
    runtime, gates = small
    with ThreadPoolExecutor() as threads:
        held = threads.submit(fetch, runtime, "/once/?gate=flood&started=flood-1")
        gates.wait_for("flood-1")
        queued = threads.submit(fetch, runtime, "/once/?started=flood-2")
        wait_until_taken(runtime, "once", 2)
        refused = fetch(runtime, "/once/")
        assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert not gates.is_open("flood-2")
        # The flood affects only its own app.
        assert fetch(runtime, "/a/").status == 200
        gates.open("flood")
        assert (held.result().status, queued.result().status) == (200, 200)
    wait_until(lambda: fetch(runtime, "/once/").status == 200)


def test_queued_request_that_is_late_is_refused(small: Pool) -> None:
    """A request that has waited for its app's timeout gets 503, and never reaches the app."""
    runtime, gates = small
    with ThreadPoolExecutor() as threads:
        held = threads.submit(fetch, runtime, "/once/?gate=late&started=late-1")
        gates.wait_for("late-1")
        refused = fetch(runtime, "/queues-late/?started=late-2")
        assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        gates.open("late")
        assert held.result().status == 200
    wait_until(lambda: fetch(runtime, "/once/").status == 200)
    assert not gates.is_open("late-2")


def test_app_that_does_not_load_in_time_is_given_up(small: Pool) -> None:
    """An app still loading at RUNTIME_BOOT_TIMEOUT is killed: 500, and the log says why."""
    runtime = small.runtime
    apps = ("endless", "endless-once")
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(fetch, runtime, f"/{app}/") for app in apps]
        wait_until(lambda: all(workers_of(runtime, app) for app in apps))
        pids = [worker["pid"] for app in apps for worker in workers_of(runtime, app)]
        answers = [each.result() for each in waiting]
    for app, answer in zip(apps, answers, strict=True):
        assert (answer.status, answer.error["code"]) == (500, "app_boot_failed")
        runtime.wait_for_record("app.boot_timeout", app=app, level="error", seconds=2.0)
    for pid in pids:
        wait_for_end(pid)
    assert fetch(runtime, "/a/").status == 200
