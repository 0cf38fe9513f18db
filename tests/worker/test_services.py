"""Who calls services: apps and plugins, wherever the call is made and whoever reads the channel."""

import sys

import pytest

from tests.support.plugins import ask, boot_plugin, plugin_init, verdict
from tests.support.services import (
    call as call_plugin,
)
from tests.support.services import (
    give,
    give_item,
    grant,
    outcome,
    refuse,
    send_by_credit,
    the_call,
)
from tests.support.workshop import Worker, Workshop

USES = {"uses": ["kv"]}
HEAD = "from buntime import Response, ServiceError, async_service, service\n"
SYNC = (
    HEAD + "def fetch(request):\n    return Response.json(service('kv').get(request.path, n=1))\n"
)
ASYNC = HEAD + (
    "async def fetch(request):\n"
    "    return Response.json(await async_service('kv').get(request.path, n=1))\n"
)
# How a handler calls: (source, what INIT has besides)
HANDLERS = {
    "sync": (SYNC, {}),
    "one thread": (SYNC, {"concurrency": 1}),
    "one request": (SYNC, {"config": {"ttl": 0}}),
    "async": (ASYNC, {}),
    "on the loop, blocking": (SYNC.replace("def fetch", "async def fetch"), {}),
    "a thread beside the loop": (
        SYNC.replace("def fetch", "def show")
        + "async def other(request): ...\nroutes = {'/*': show, '/other': other}\n",
        {},
    ),
    "a loop in a handler": (
        HEAD + "import asyncio\n"
        "async def get(path):\n    return await async_service('kv').get(path, n=1)\n"
        "def fetch(request):\n    return Response.json(asyncio.run(get(request.path)))\n",
        {"concurrency": 1},
    ),
    "a thread that a handler waits for": (
        HEAD + "from concurrent.futures import ThreadPoolExecutor as Pool\n"
        "def fetch(request):\n    with Pool(1) as pool:\n"
        "        got = pool.submit(service('kv').get, request.path, n=1)\n"
        "        return Response.json(got.result())\n",
        {"concurrency": 1},
    ),
}
HANDLERS["such a thread, of many"] = (HANDLERS["a thread that a handler waits for"][0], {})


def start(shop: Workshop, source: str, **init: object) -> Worker:
    return shop.start(source, **{**USES, **init})


@pytest.mark.parametrize("name", HANDLERS)
def test_a_call(shop: Workshop, name: str) -> None:
    """A handler's call is sent with its arguments, and its result comes back."""
    source, init = HANDLERS[name]
    worker = start(shop, source, **init)
    for number in range(1 if name == "one request" else 3):
        request = worker.request(f"/shop/{number}")
        call = the_call(worker)
        assert call["id"] < 0
        assert (call["service"], call["method"]) == ("kv", "get")
        assert (call["args"], call["kwargs"]) == ([f"/{number}"], {"n": 1})
        give(worker, call, {"a": [number, None]})
        assert worker.answer(request).json == {"a": [number, None]}
    assert worker.terminate() == 0
    assert worker.stderr == ""


@pytest.mark.parametrize("name", [name for name in HANDLERS if name != "one request"])
def test_requests_come_meanwhile(shop: Workshop, name: str) -> None:
    """What arrives while a call waits is neither lost nor out of order."""
    source, init = HANDLERS[name]
    worker = start(shop, source, **init)
    numbers = [worker.request(f"/shop/{n}", "POST", body=b"x", end=False) for n in range(3)]
    first = the_call(worker)
    for number in numbers:
        worker.body(number, b"more", end=True)
    give(worker, first, first["args"])
    for _ in range(2):
        call = the_call(worker)
        give(worker, call, call["args"])
    assert sorted(worker.answer(number).json[0] for number in numbers) == ["/0", "/1", "/2"]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("init", [{}, {"concurrency": 1}, {"config": {"ttl": 0}}])
def test_at_import_and_at_the_end(shop: Workshop, kind: str, init: dict[str, object]) -> None:
    """Calls work while the app is imported, with a request waiting, and in on_terminate and
    atexit."""
    source = (
        HEAD
        + """
import atexit, threading
kv = service("kv")
assert kv.get("import") == "imported"
atexit.register(lambda: print(kv.get("atexit")))
def on_terminate():
    thread = threading.Thread(target=lambda: print(kv.get("thread")))
    thread.start()
    print(kv.get("terminate"))
    thread.join()
{async_}def fetch(request):
    return Response(kv.get("request"))
""".replace("{async_}", "async " if kind == "async" else "")
    )
    worker = shop.boot(source, **{**USES, **init})
    number = worker.request()
    call = the_call(worker)
    assert call["args"] == ["import"]
    give(worker, call, "imported")
    worker.ready()
    give(worker, the_call(worker), "requested")
    assert worker.answer(number).text == "requested"
    worker.send({"type": "TERMINATE"})
    for _ in range(2):
        call = the_call(worker)
        give(worker, call, call["args"][0] + "d")
    call = the_call(worker)
    assert call["args"] == ["atexit"]
    give(worker, call, "exited")
    assert worker.process.wait(20) == 0
    assert sorted(worker.stdout.splitlines()) == ["exited", "terminated", "threadd"]
    assert worker.stderr == ""


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("concurrency", [1, None])
def test_threads_of_the_app(shop: Workshop, kind: str, concurrency: int | None) -> None:
    """Threads that the app started at its import can call throughout its life."""
    source = (
        HEAD
        + """
import threading
kv = service("kv")
def count():
    while kv.next() != "stop":
        pass
    print("stopped")
threads = [threading.Thread(target=count) for _ in range(3)]
for thread in threads:
    thread.start()
kv.ready()
{async_}def fetch(request):
    return Response(kv.get("request"))
def on_terminate():
    kv.last()
""".replace("{async_}", "async " if kind == "async" else "")
    )
    worker = shop.boot(source, **USES, concurrency=concurrency)

    def turns(count: int) -> None:
        for _ in range(count):
            give(worker, the_call(worker, "next"), "on")

    turns(10)
    ready = the_call(worker, "ready")
    turns(10)
    give(worker, ready)
    turns(10)
    worker.ready()
    turns(50)
    for _ in range(5):
        number = worker.request()
        get = the_call(worker, "get")
        turns(20)
        give(worker, get, "got")
        turns(5)
        assert worker.answer(number).text == "got"
    turns(20)
    worker.send({"type": "TERMINATE"})
    turns(20)
    last = the_call(worker, "last")
    turns(20)
    give(worker, last)
    turns(20)
    for _ in range(3):
        give(worker, the_call(worker, "next"), "stop")
    assert worker.process.wait(20) == 0
    assert (worker.stdout, worker.stderr) == ("stopped\n" * 3, "")


def test_many_at_once(shop: Workshop) -> None:
    """Results in any order reach their callers, in handlers and threads."""
    source = (
        HEAD
        + """
import threading
def fetch(request):
    got = []
    def call(n):
        got.append(service("kv").get(n))
    threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    own = service("kv").get("own")
    for thread in threads:
        thread.join()
    return Response.json([own, sorted(got)])
"""
    )
    for concurrency in (1, 8):
        worker = start(shop, source, concurrency=concurrency)
        for _ in range(20):
            number = worker.request()
            calls = [the_call(worker) for _ in range(5)]
            for call in reversed(calls):
                give(worker, call, call["args"][0])
            assert worker.answer(number).json == ["own", [0, 1, 2, 3]]


@pytest.mark.parametrize("name", ["sync", "one thread", "async", "on the loop, blocking"])
def test_errors(shop: Workshop, name: str) -> None:
    """An error arrives as a ServiceError with its code and its message."""
    source, init = HANDLERS[name]
    source = source.replace("return Response.json(", "value = (").replace("n=1))", "n=1))")
    source = source.replace("    value = (", "    try:\n      value = (")
    source += """
    except ServiceError as exc:
      return Response.json([exc.code, str(exc)])
"""
    worker = start(shop, source, **init)
    for code in ("unknown", "no grant", "late", "away", "busy", "own"):
        number = worker.request()
        refuse(worker, the_call(worker), code, f"because of {code}")
        assert worker.answer(number).json == [code, f"because of {code}"]


def test_without_uses(shop: Workshop) -> None:
    """An app that names no services gets an error that says so, and so does a child process, which
    cannot call."""
    source = (
        HEAD
        + """
import multiprocessing
def code(_=None):
    try:
        service("kv").get("a")
    except ServiceError as exc:
        return [exc.code, str(exc)]
def fetch(request):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return Response.json([code(), pool.map(code, [1])])
"""
    )
    answer = shop.start(source).get().json
    assert answer[0] == ["no grant", "the manifest names no services under `uses`"]
    assert answer[1][0][0] == "forked"


@pytest.mark.parametrize("kind", ["", "async "])
def test_forked(shop: Workshop, kind: str) -> None:
    """A forked child is refused at once, even amid another thread's call; its parent can still
    call."""
    source = (
        HEAD
        + f"""
import os, threading, time
{kind}def fetch(request):
    thread = threading.Thread(target=service("kv").wait)
    thread.start()
    time.sleep(0.05)
    child = os.fork()
    if not child:
        try:
            service("kv").get("child")
        except ServiceError as exc:
            os._exit(7 if exc.code == "forked" else 8)
        os._exit(9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Response.json([code, service("kv").get("parent")])
"""
    )
    worker = start(shop, source)
    number = worker.request()
    waiting = the_call(worker, "wait")
    parent = the_call(worker, "get")
    assert parent["args"] == ["parent"]
    give(worker, parent, "on")
    assert worker.answer(number).json == [7, "on"]
    give(worker, waiting)


def test_what_can_be_sent(shop: Workshop) -> None:
    """JSON and bytes travel both ways unchanged, whatever keys they have; the rest is refused."""
    source = (
        HEAD
        + r"""
values = [
    None, True, 1.5, "ü\ud800", [], {}, b"", b"\x00\xff", [b"a", {"b": b"bc", "c": [b"d"]}],
    {"$bytes": 3}, {"$$bytes": b"x"}, {"$bytes": b"y", "z": 1}, {"bytes": 1}, [[{"$bytes": {}}]],
]
bad = [object(), {1, 2}, float("nan"), {"a": object()}, {b"k": 1}]
loop = []
loop.append(loop)
def fetch(request):
    if request.path == "/bad":
        for value in [*bad, loop]:
            try:
                service("kv").get(value)
            except (TypeError, ValueError) as exc:
                print(type(exc).__name__)
        return Response("")
    for value in values:
        got = service("kv").get(value, key=value)
        assert got == [[value], {"key": value}], got
    assert service("kv").get((1, bytearray(b"x"), memoryview(b"y"))) == [[[1, b"x", b"y"]], {}]
    return Response("same")
"""
    )
    worker = start(shop, source)
    number = worker.request()
    for _ in range(15):
        call = the_call(worker)
        give(worker, call, [call["args"], call["kwargs"]], call["payload"])
    answer = worker.answer(number)
    assert answer.text == "same", answer.stack
    assert worker.get("/shop/bad").text == ""
    assert len(worker.stdout.splitlines()) == 6
    assert worker.leftover() == []


@pytest.mark.parametrize("name", ["sync", "one thread", "async", "on the loop, blocking"])
def test_large_arguments_and_results(shop: Workshop, name: str) -> None:
    """What is above 64 KiB is sent in pieces, by credit, both ways."""
    source, init = HANDLERS[name]
    source = source.replace("request.path, n=1", "'t' * 300_000, b'b' * 300_000")
    source = source.replace("Response.json(", "Response.json((lambda v: [len(v[0]), len(v[1])])(")
    source = source.replace("300_000))\n", "300_000)))\n")
    worker = start(shop, source, **init)
    number = worker.request()
    call = the_call(worker)
    assert "total" in call
    assert [len(call["args"][0]), len(call["payload"])] == [300_000, 300_000]
    assert call["args"][1] == {"$bytes": 300_000}
    text = b'["' + b"r" * 500_000 + b'",{"$bytes":200000}]'
    sizes = {"text": len(text), "total": len(text) + 200_000}
    worker.send({"type": "RESULT", "id": call["id"], "ok": True, **sizes})
    send_by_credit(worker, call["id"], text + b"b" * 200_000)
    assert worker.answer(number).json == [500_000, 200_000]


def test_credit_for_arguments(shop: Workshop) -> None:
    """No more than the window is sent without credit, and nothing once the call was refused."""
    source = (
        HEAD
        + """
def fetch(request):
    try:
        service("kv").put(b"x" * 1_000_000)
    except ServiceError as exc:
        return Response(exc.code)
"""
    )
    worker = start(shop, source)
    number = worker.request()
    head = worker.take(lambda m: m["type"] == "CALL")[0]
    got = 0
    while got + 65536 <= 128 * 1024 - 2 * 64:
        got += len(worker.take(lambda m: m["type"] == "ITEM")[1])
    grant(worker, head["id"], 65536 + 64)
    worker.take(lambda m: m["type"] == "ITEM")
    refuse(worker, head, "no grant")
    assert worker.answer(number).text == "no grant"
    assert [m for m in worker.leftover() if m["type"] == "ITEM"] == []


def test_arguments_that_are_too_large(shop: Workshop) -> None:
    """Values above 16 MiB are refused where they are called with, and garbage fails the call."""
    source = (
        HEAD
        + """
def fetch(request):
    try:
        service("kv").put(b"x" * (17 << 20 if request.path == "/large" else 1))
    except (ServiceError, ValueError) as exc:
        return Response(str(exc))
"""
    )
    worker = start(shop, source)
    assert "carries at most 16777216 bytes" in worker.get("/shop/large").text
    for value, payload in (({"$bytes": 3}, b"12"), ({"$bytes": -1}, b""), (1, b"x")):
        number = worker.request()
        give(worker, the_call(worker), value, payload)
        assert "the answer cannot be read" in worker.answer(number).text


def too_deep() -> list[dict[str, object]]:
    """A value that Python's JSON reader refuses; from 3.14 on it reads all that it can write."""
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    return [{"ok": True, "value": deep}] if sys.version_info < (3, 14) else []


@pytest.mark.parametrize("name", ["sync", "async"])
def test_what_a_plugin_should_not_send(shop: Workshop, name: str) -> None:
    """An invalid result or item fails its call, and nothing else."""
    source, init = HANDLERS[name]
    source = source.replace("    return", "    try:\n     return")
    source += "    except ServiceError as exc:\n        return Response.json(exc.code)\n"
    worker = start(shop, source, **init)
    garbage: list[dict[str, object]] = [
        *too_deep(),
        {"ok": True},
        {"ok": False},
        {"ok": False, "error": 5},
        {"ok": True, "text": 1},
        {"ok": True, "text": None, "total": 5},
        {"ok": True, "value": {"$bytes": [1]}},
    ]
    for message in garbage:
        number = worker.request()
        worker.send({"type": "RESULT", "id": the_call(worker)["id"], **message})
        assert worker.answer(number).json == "failed"


def test_more_than_its_credit(shop: Workshop) -> None:
    """A stream that ignores its credit is given up, instead of being kept in memory."""
    source = (
        HEAD
        + """
import threading
gate = threading.Event()
def fetch(request):
    if request.path == "/open":
        gate.set()
        return Response("")
    items = service("kv").watch()
    gate.wait(30)
    try:
        return Response.json(len(list(items)))
    except ServiceError as exc:
        return Response(str(exc))
"""
    )
    worker = start(shop, source)
    number = worker.request()
    call = the_call(worker)
    worker.send({"type": "RESULT", "id": call["id"], "ok": True, "stream": True})
    for _ in range(50):
        give_item(worker, call["id"], {"$bytes": 30_000}, b"x" * 30_000)
    assert worker.take_type("CANCEL", call["id"])
    worker.get("/shop/open")
    assert "more than its credit" in worker.answer(number).text


STREAMS = {
    "sync": "def fetch(request):\n    for item in service('kv').watch(): take(item)\n",
    "async": "async def fetch(request):\n"
    "    async for item in async_service('kv').watch(): take(item)\n",
    "awaited": "async def fetch(request):\n"
    "    async for item in await async_service('kv').watch(): take(item)\n",
    "on the loop, blocking": "async def fetch(request):\n"
    "    for item in service('kv').watch(): take(item)\n",
    "a loop in a handler": "import asyncio\nasync def all():\n"
    "    async for item in async_service('kv').watch(): take(item)\n"
    "def fetch(request):\n    asyncio.run(all())\n",
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("concurrency", [1, None])
def test_streams(shop: Workshop, name: str, concurrency: int | None) -> None:
    """A method that yields sends its items one by one, however large, and its end or error."""
    source = HEAD + "got = []\n"
    source += "def take(item):\n    got.append(len(item) if type(item) is bytes else item)\n"
    source += STREAMS[name].replace("fetch", "run").replace("(request)", "()")
    run = "await run()" if name not in ("sync", "a loop in a handler") else "run()"
    source += f"""
{"async " if "await" in run else ""}def fetch(request):
    got.clear()
    try:
        {run}
    except ServiceError as exc:
        got.append(exc.code)
    return Response.json(got)
"""
    worker = start(shop, source, concurrency=concurrency)
    for error in ({}, {"error": {"code": "moved", "message": "reloaded"}}):
        number = worker.request()
        call = the_call(worker)
        worker.send({"type": "RESULT", "id": call["id"], "ok": True, "stream": True})
        for value in (1, None, {"a": "b"}):
            give_item(worker, call["id"], value)
        give_item(worker, call["id"], {"$bytes": 50_000}, b"x" * 50_000)
        worker.send({"type": "ITEM", "id": call["id"], "end": True, **error})
        expected = [1, None, {"a": "b"}, 50_000] + (["moved"] if error else [])
        assert worker.answer(number).json == expected


def test_credit_of_a_stream(shop: Workshop) -> None:
    """Credit comes back as items are taken; a caller that takes none gives none."""
    source = (
        HEAD
        + """
import threading
gate = threading.Event()
def fetch(request):
    if request.path == "/open":
        gate.set()
        return Response("")
    items = service("kv").watch()
    gate.wait(30)
    return Response.json(sum(len(item) for item in items))
"""
    )
    worker = start(shop, source)
    number = worker.request()
    call = the_call(worker)
    worker.send({"type": "RESULT", "id": call["id"], "ok": True, "stream": True})
    for _ in range(4):
        give_item(worker, call["id"], {"$bytes": 30_000}, b"x" * 30_000)
    worker.get("/shop/open")
    credit = 0
    while credit < 90_000:
        credit += worker.take_type("WINDOW", call["id"])["credit"]
    give_item(worker, call["id"], {"$bytes": 300_000}, b"x" * 300_000)
    worker.send({"type": "ITEM", "id": call["id"], "end": True})
    assert worker.answer(number).json == 420_000


@pytest.mark.parametrize("how", ["close", "with", "drop", "async break"])
def test_a_stream_that_is_left(shop: Workshop, how: str) -> None:
    """A stream that is left early is cancelled, and what still arrives is dropped."""
    ways = {
        "close": "items = service('kv').watch()\n    next(items)\n    items.close()",
        "with": "with service('kv').watch() as items: next(items)",
        "drop": "next(service('kv').watch())",
        "async break": "async for _ in async_service('kv').watch(): break",
    }
    kind = "async " if how == "async break" else ""
    source = HEAD + f"{kind}def fetch(request):\n    {ways[how]}\n    return Response('left')\n"
    worker = start(shop, source)
    number = worker.request()
    call = the_call(worker)
    worker.send({"type": "RESULT", "id": call["id"], "ok": True, "stream": True})
    give_item(worker, call["id"], 1)
    assert worker.answer(number).text == "left"
    give_item(worker, call["id"], 2)
    assert worker.take_type("CANCEL", call["id"])["reason"] == "caller"
    worker.send({"type": "ITEM", "id": call["id"], "end": True})
    assert worker.terminate() == 0
    assert worker.stderr == ""


def test_cancelled_tasks(shop: Workshop) -> None:
    """A task that is cancelled during a call cancels the call, also by asyncio's own timeout."""
    source = (
        HEAD
        + """
import asyncio
async def fetch(request):
    try:
        await asyncio.wait_for(async_service("kv").get("a"), 0.01)
    except asyncio.TimeoutError:
        return Response("late")
"""
    )
    worker = start(shop, source)
    number = worker.request()
    call = the_call(worker)
    worker.take_type("CANCEL", call["id"])
    assert worker.answer(number).text == "late"
    give(worker, call, "too late")
    assert worker.terminate() == 0


def test_lifespan(shop: Workshop) -> None:
    """An ASGI app can call services in its lifespan, before it is ready and at its end."""
    source = (
        HEAD
        + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            print(await async_service("kv").get(word))
            await send({"type": f"lifespan.{word}.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ok"})
"""
    )
    worker = shop.boot(source, **USES)
    number = worker.request()
    give(worker, the_call(worker), "up")
    worker.ready()
    assert worker.answer(number).text == "ok"
    worker.send({"type": "TERMINATE"})
    give(worker, the_call(worker), "down")
    assert worker.process.wait(20) == 0
    assert worker.stdout == "up\ndown\n"


def test_deadlines(shop: Workshop) -> None:
    """A call says how long it may take: what the caller says, or the time left to its own hook."""
    source = """
    from buntime.plugin import plugin, exposed, Continue
    def on_request(request):
        plugin.service("kv").get(1)
        plugin.service("kv", timeout_s=0.2).get(2)
        plugin.service("kv", timeout_s=60).get(3)
    def on_init():
        plugin.service("kv").get(0)
        plugin.service("kv", timeout_s=60).get(0)
    class Other:
        @exposed
        def put(self):
            plugin.service("kv").get(4)
    services = {"other": Other()}
    """
    worker = shop.boot(source, **plugin_init())
    call = the_call(worker)
    assert "timeout_ms" not in call
    give(worker, call)
    call = the_call(worker)
    assert call["timeout_ms"] == 60_000
    give(worker, call)
    worker.ready()
    number = ask(worker)
    for lowest, highest in ((1, 1000), (1, 200), (1, 1000)):
        call = the_call(worker)
        assert lowest <= call["timeout_ms"] <= highest
        give(worker, call)
    assert verdict(worker, number).action == "continue"
    put = call_plugin(worker, "put", service="other", timeout_ms=300)
    call = the_call(worker)
    assert 1 <= call["timeout_ms"] <= 300
    give(worker, call)
    assert outcome(worker, put).value is None


def test_forget(shop: Workshop) -> None:
    """plugin.forget sends the runtime a tag, from hooks, threads and tasks."""
    for words in ("sync", "async"):
        source = """
        import threading
        from buntime.plugin import plugin
        plugin.forget("import")
        {async_}def on_request(request):
            thread = threading.Thread(target=plugin.forget, args=("thread",))
            thread.start()
            thread.join()
            plugin.forget("hook")
        """
        worker = boot_plugin(shop, source, words)
        tags = [worker.take(lambda m: m["type"] == "NOTICE")[0]["tag"]]
        worker.ready()
        assert verdict(worker, ask(worker)).action == "continue"
        tags += [worker.take(lambda m: m["type"] == "NOTICE")[0]["tag"] for _ in range(2)]
        assert tags == ["import", "thread", "hook"]
        assert worker.leftover() == []


def test_apps_without_services_load_none_of_it(shop: Workshop) -> None:
    """An app that does not call services loads none of the code for it."""
    shop.forks = False  # what it is forked from has some
    source = """
    import sys
    from buntime import Response
    def fetch(request):
        words = ("call", "service", "plugin", "mailbox", "content", "verdict", "lanes")
        names = [name for name in sys.modules if name.startswith("buntime.")]
        return Response.json([name for name in names if any(word in name for word in words)])
    """
    assert shop.start(source).get().json == ["buntime.worker.callables"]
