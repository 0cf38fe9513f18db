"""Apps and plugins call services of plugins, in a real runtime."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, wait_until, write_app
from tests.support.pluginfolders import plugged, plugins_of, wait_for_state, write_plugin
from tests.support.serviceapps import CALLS, HEAD, STORE, call, told

TO_ALL = {"to": "all"}

# Apps of each kind

SYNC = (
    HEAD
    + """
import os
at_import = kv.echo("import")
def threads():
    found = []
    threads = [threading.Thread(target=lambda n=n: found.append(kv.echo(n))) for n in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return sorted(each[0][0] for each in found)
def blocks():
    with kv.blocks(3, 200_000) as blocks:
        return [[len(each), each[0]] for each in blocks]
def late():
    begun = time.monotonic()
    try:
        service("kv", timeout_s=0.3).sleep(30)
    except ServiceError as exc:
        return [exc.code, time.monotonic() - begun < 10]
def forked():
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kv.who()
        except ServiceError as exc:
            os.write(writing, exc.code.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return [os.read(reading, 100).decode(), kv.who()]
def fetch(request):
    if request.path == "/late":
        return Response.json(late())
    if request.path == "/forked":
        return Response.json(forked())
    if request.path == "/sleep":
        return Response.json(kv.sleep(30))
    large = [kv.size(b"x" * 2_000_000), kv.size("ä" * 200_000)]
    return Response.json([at_import, large, threads(), blocks()])
"""
)
ASYNC = (
    HEAD
    + """
at_import = kv.echo("import")
async def threads():
    found = await asyncio.gather(*(akv.echo(n) for n in range(20)))
    return sorted(each[0][0] for each in found)
async def many():
    waiting = [asyncio.ensure_future(akv.sleep(30)._result()) for _ in range(64)]
    await asyncio.sleep(0)
    try:
        await akv.who()
    except ServiceError as exc:
        code = exc.code
    [each.cancel() for each in waiting]
    while True:
        try:
            return [code, await akv.who()]
        except ServiceError:
            await asyncio.sleep(0.01)
async def fetch(request):
    if request.path == "/many":
        return Response.json(await many())
    large = [await akv.size(b"x" * 2_000_000), await akv.size("ä" * 200_000)]
    blocks = [[len(each), each[0]] async for each in akv.blocks(3, 200_000)]
    return Response.json([at_import, large, await threads(), blocks])
"""
)
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "sync": (SYNC, {}),
    "one-at-a-time": (SYNC, {"concurrency": 1}),
    "async": (ASYNC, {}),
    "for-each-request": (SYNC, {"ttl": 0}),
    "async-for-each-request": (ASYNC, {"ttl": 0}),
}

# Hostile workers

HOSTILE = (
    HEAD
    + """
import os, socket
from buntime.worker.calls import Calls
from buntime.sdk.services import link
from buntime.wire import encode
def fetch(request):
    if request.path == "/who":
        return Response.json(kv.who())
    message, payload = json.loads(unquote(request.target.partition("?")[2]))
    if request.path == "/claim":
        head_of = link()._head_of
        link()._head_of = lambda call, wanted: message | {"id": call.id}
        try:
            return Response.json(kv.who())
        finally:
            link()._head_of = head_of
    descriptor = link().channel.descriptor
    os.write(descriptor, encode(message) + payload.encode())
    time.sleep(20)
"""
)
GARBAGE: dict[str, tuple[dict[str, object], str]] = {
    "a call by another": (
        {"type": "CALL", "id": 5, "service": "kv", "method": "who", "args": [], "kwargs": {}},
        "",
    ),
    "a result of nothing": ({"type": "RESULT", "id": 5, "ok": True, "value": 1}, ""),
    "a notice": ({"type": "NOTICE", "notice": "forget", "tag": "a"}, ""),
    "a total that is none": (
        {"type": "CALL", "id": -900, "service": "kv", "method": "who", "text": 1, "total": -1},
        "",
    ),
}

# Plugins beside `store`

AUDIT = """
from buntime.plugin import exposed, plugin
kv = plugin.service("kv")
def on_init(): print("at init:", kv.who())
class Audit:
    @exposed
    def both(self): return [plugin.caller, kv.who()]
class Later:
    @exposed
    async def who(self): return plugin.caller
    @exposed
    async def size(self, data): return len(data)
    @exposed
    async def count(self, most):
        for n in range(most):
            yield n
services = {"audit": Audit(), "later": Later()}
"""
FULL = "import os\nif not os.path.exists(DISK): raise OSError('full')\n"


def store_of(service: str) -> str:
    """The code of a plugin like `store` whose service has this name."""
    return STORE.replace('{"kv":', f'{{"{service}":')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[Runtime]:
    """A runtime with the plugins and apps of all tests. What a test kills is its own."""

    def plugin(name: str, source: str, to: object = TO_ALL, **manifest: object) -> None:
        fields = {"provides": {name: to}, **manifest}
        write_plugin(folder / "plugins", name, source, **fields)

    def app(name: str, source: str, **manifest: object) -> None:
        settings = {"ttl": 600, "uses": ["kv"], "timeout": "20s", **manifest}
        write_app(folder / "apps" / name, {"app.py": source}, **settings)

    store = STORE.replace('{"kv":', '{"closed": Store(), "kv":')
    plugin("store", store, provides={"kv": TO_ALL, "closed": {}})
    provides = {"audit": {"to": ["app:shop"]}, "later": TO_ALL}
    plugin("audit", AUDIT, provides=provides, uses=["kv", "needed"])
    plugin("needed", store_of("needed"), start="lazy")
    plugin("mortal", store_of("mortal"))
    plugin("broken", "def on_init(): raise RuntimeError('no disk')")
    app("shop", CALLS, uses=["kv", "audit", "later", "mortal", "broken", "gone"])
    for name, (source, manifest) in KINDS.items():
        app(name, source, **manifest)
    app("hostile", HOSTILE)

    full = FULL.replace("DISK", repr(str(folder / "disk")))
    for name, source in {"lazy": store_of("lazy"), "full": full + store_of("full")}.items():
        plugin(name, source, start="lazy")
        app(f"calls-{name}", CALLS, uses=[name])
    plugin("opened", store_of("opened"), {"to": ["app:user"]}, start="lazy")
    app("user", CALLS, uses=["opened"])
    app("stranger", CALLS, uses=["opened", "closed"])
    with plugged(folder) as runtime:
        yield runtime


def args(*values: object) -> str:
    return quote(json.dumps(values))


def events(shop: Runtime) -> list[str]:
    """What has happened in the plugin `store` to its calls."""
    found = call(shop, "told")["value"]
    assert isinstance(found, list)
    return found


# Callers, arguments and results


def test_who_calls(shop: Runtime) -> None:
    """The plugin knows the app by its worker."""
    assert call(shop, "who") == {"value": "app:shop"}


def test_values(shop: Runtime) -> None:
    """Arguments and results are JSON, and arrive unchanged."""
    value = [1, None, "ä\ud83d", {"a": [True, 1.5]}, {"$bytes": 3}]
    assert call(shop, f"echo?{args(*value)}") == {"value": [value, {}]}


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 10_000_000])
def test_sizes(shop: Runtime, size: int) -> None:
    """Bytes of any size come back whole, in one message or in many."""
    assert call(shop, f"make?[{size}]") == {"value": size}


@pytest.mark.parametrize(
    ("method", "code", "text"),
    [
        ("fails", "failed", "RuntimeError: no disk"),
        ("refuses", "conflict", "another one was first"),
        ("nothing", "unknown", "the service kv has no method nothing"),
        ("breaks", "gone", "the rest is lost"),
    ],
)
def test_errors(shop: Runtime, method: str, code: str, text: str) -> None:
    """What the plugin raises arrives with its code, also after the first items of a stream."""
    assert call(shop, method) == {"code": code, "text": text}


def test_streams(shop: Runtime) -> None:
    """Items come in their order, more of them than the credit allows at once."""
    assert call(shop, "count?[4000]") == {"value": list(range(4000))}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_apps(shop: Runtime, kind: str) -> None:
    """Calls work at import, in handlers and threads, blocking and awaited, large and streamed."""
    at_import, large, threads, blocks = told(fetch(shop, f"/{kind}/"))
    assert at_import == [["import"], {}]
    assert large == [2_000_000, 200_000]
    assert threads == list(range(20))
    assert blocks == [[200_000, n] for n in range(3)]


def test_an_async_plugin(shop: Runtime) -> None:
    """A plugin whose methods are async works the same."""
    assert call(shop, "later/who") == {"value": "app:shop"}
    assert call(shop, "later/count?[3]") == {"value": [0, 1, 2]}


def test_a_plugin_that_calls_a_plugin(shop: Runtime) -> None:
    """The provider sees the plugin that called it, not the app that called the plugin."""
    assert call(shop, "audit/both") == {"value": ["app:shop", "plugin:audit"]}
    shop.wait_for_plugin_line("at init: plugin:audit")


# What is refused


def test_grants(shop: Runtime) -> None:
    """A call needs the consent of both sides: `uses` of the caller, `to` of the plugin."""
    assert call(shop, "kv/who") == {"value": "app:shop"}
    assert call(shop, "closed/who")["code"] == "no grant"
    assert call(shop, "closed/who", "stranger")["code"] == "no grant"
    assert call(shop, "kv/who", "stranger")["code"] == "no grant"


def test_no_plugin_at_all(shop: Runtime) -> None:
    """A service that no plugin offers is unknown."""
    assert call(shop, "gone/who")["code"] == "unknown"


def test_a_forked_child(shop: Runtime) -> None:
    """A forked child has no channel of its own, and does not disturb its parent's."""
    assert told(fetch(shop, "/sync/forked")) == ["forked", "app:sync"]


def test_too_many(shop: Runtime) -> None:
    """64 calls of an app may be under way; the next gets `busy`, and later ones succeed."""
    assert told(fetch(shop, "/async/many")) == ["busy", "app:async"]


# Slow, dead, gone


def test_a_slow_plugin(shop: Runtime) -> None:
    """The call ends at the caller's own deadline, and the plugin's method can see that."""
    before = len(events(shop))
    while not events(shop)[before:]:  # on a busy machine its time may pass before it begins
        assert told(fetch(shop, "/sync/late")) == ["late", True]
    wait_until(lambda: events(shop)[before:] == ["begun", "cancelled"], 10, "it ends")


def test_a_plugin_that_dies(shop: Runtime) -> None:
    """Calls to a plugin that dies end with `away`, and the plugin is started again."""
    assert call(shop, "mortal/die")["code"] == "away"
    assert call(shop, "mortal/who")["code"] == "away"  # no call waits for the back-off
    wait_until(lambda: call(shop, "mortal/who") == {"value": "app:shop"}, 20, "it serves again")


def test_a_caller_that_dies(shop: Runtime) -> None:
    """The calls of a worker that dies are cancelled; the plugin goes on."""
    before = len(events(shop))

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            fetch(shop, "/one-at-a-time/sleep", method="POST")

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: events(shop)[before:] == ["begun"], 10, "it is called")
    (worker,) = workers_of(shop, "one-at-a-time")
    os.kill(worker["pid"], signal.SIGKILL)
    thread.join()
    wait_until(lambda: events(shop)[before:] == ["begun", "cancelled"], 10, "it was cancelled")


def test_a_plugin_that_fails_to_start(shop: Runtime) -> None:
    """The service of a plugin that fails to start is away."""
    shop.wait_for_record("plugin.start_failed", plugin="broken")
    assert call(shop, "broken/who")["code"] == "away"


def test_a_lazy_plugin(shop: Runtime) -> None:
    """A lazy plugin starts at the first call, which waits for it, and again at a call, once the
    back-off after its death is over."""
    assert plugins_of(shop)["lazy"]["state"] == "asleep"
    assert call(shop, "lazy/who", "calls-lazy") == {"value": "app:calls-lazy"}
    assert call(shop, "lazy/die", "calls-lazy")["code"] == "away"
    assert call(shop, "lazy/who", "calls-lazy")["code"] == "away"
    wait_until(lambda: "value" in call(shop, "lazy/who", "calls-lazy"), 20, "it serves again")


def test_a_lazy_plugin_starts_with_who_uses_it(shop: Runtime) -> None:
    """A worker of an app that may call the plugin starts it, one that may not does not."""
    assert call(shop, "opened/who", "stranger")["code"] == "no grant"
    assert plugins_of(shop)["opened"]["state"] == "asleep"
    assert call(shop, "kv/who", "user")["code"] == "no grant"
    wait_for_state(shop, "opened", "serving")


def test_a_lazy_plugin_starts_with_a_plugin_that_uses_it(shop: Runtime) -> None:
    wait_for_state(shop, "audit", "serving")
    wait_for_state(shop, "needed", "serving")


def test_a_lazy_plugin_that_fails_to_start(shop: Runtime, folder: Path) -> None:
    """A lazy plugin is tried again at a call, once the back-off after its failure is over."""
    assert call(shop, "full/who", "calls-full")["code"] == "away"
    (folder / "disk").write_text("")
    wait_until(lambda: "value" in call(shop, "full/who", "calls-full"), 20, "it serves")


# Hostile workers


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(shop: Runtime, name: str) -> None:
    """A worker that writes garbage to its channel is killed; plugin and app go on."""
    assert told(fetch(shop, "/hostile/who")) == "app:hostile"
    (worker,) = workers_of(shop, "hostile")
    answer = fetch(shop, f"/hostile/write?{quote(json.dumps(GARBAGE[name]))}", method="POST")
    assert answer.status == 502
    shop.wait_for_record("worker.protocol_broken", worker=worker["id"])
    assert told(fetch(shop, "/hostile/who")) == "app:hostile"


def test_a_caller_that_says_who_it_is(shop: Runtime) -> None:
    """Only the runtime sets `caller`."""
    claim = {"type": "CALL", "service": "kv", "method": "who", "caller": "plugin:store"}
    target = quote(json.dumps([claim, ""]))
    assert told(fetch(shop, f"/hostile/claim?{target}")) == "app:hostile"
