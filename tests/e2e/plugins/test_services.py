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
from tests.support.pluginfolders import APP, plugged, plugins_of, wait_for_state, write_plugin
from tests.support.serviceapps import HEAD, STORE, call, serving, told


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with serving(tmp_path_factory.mktemp("shop")) as runtime:
        yield runtime


def args(*values: object) -> str:
    return quote(json.dumps(values))


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
    assert call(shop, "count?[20000]") == {"value": list(range(20_000))}


# Apps of each kind

SYNC = (
    HEAD
    + """
at_import = kv.echo("import")
def fetch(request):
    if request.path == "/import":
        return Response.json(at_import)
    if request.path == "/large":
        return Response.json([kv.size(b"x" * 10_000_000), kv.size("ä" * 1_000_000)])
    if request.path == "/threads":
        found = []
        threads = [threading.Thread(target=lambda n=n: found.append(kv.echo(n))) for n in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return Response.json(sorted(each[0][0] for each in found))
    with kv.blocks(3, 200_000) as blocks:
        return Response.json([[len(each), each[0]] for each in blocks])
"""
)
ASYNC = (
    HEAD
    + """
at_import = kv.echo("import")
async def fetch(request):
    if request.path == "/import":
        return Response.json(at_import)
    if request.path == "/large":
        return Response.json([await akv.size(b"x" * 10_000_000), await akv.size("ä" * 1_000_000)])
    if request.path == "/threads":
        found = await asyncio.gather(*(akv.echo(n) for n in range(20)))
        return Response.json(sorted(each[0][0] for each in found))
    return Response.json([[len(each), each[0]] async for each in akv.blocks(3, 200_000)])
"""
)
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "sync": (SYNC, {}),
    "one at a time": (SYNC, {"concurrency": 1}),
    "async": (ASYNC, {}),
    "a worker for each request": (SYNC, {"ttl": 0}),
    "async, a worker for each request": (ASYNC, {"ttl": 0}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_apps(tmp_path: Path, kind: str) -> None:
    """Calls work at import, in handlers and threads, blocking and awaited, large and streamed."""
    source, manifest = KINDS[kind]
    with serving(tmp_path, source, **manifest) as runtime:
        assert told(fetch(runtime, "/shop/import")) == [["import"], {}]
        assert told(fetch(runtime, "/shop/large")) == [10_000_000, 1_000_000]
        assert told(fetch(runtime, "/shop/threads")) == list(range(20))
        assert told(fetch(runtime, "/shop/blocks")) == [[200_000, n] for n in range(3)]


def test_an_async_plugin(tmp_path: Path) -> None:
    """A plugin whose methods are async works the same."""
    store = """
from buntime.plugin import exposed, plugin
class Store:
    @exposed
    async def who(self): return plugin.caller
    @exposed
    async def size(self, data): return len(data)
    @exposed
    async def count(self, most):
        for n in range(most):
            yield n
services = {"kv": Store()}
"""
    with serving(tmp_path, store=store) as runtime:
        assert call(runtime, "who") == {"value": "app:shop"}
        assert call(runtime, "count?[3]") == {"value": [0, 1, 2]}


def test_a_plugin_that_calls_a_plugin(tmp_path: Path) -> None:
    """The provider sees the plugin that called it, not the app that called the plugin."""
    write_plugin(
        tmp_path / "plugins",
        "audit",
        """
        from buntime.plugin import exposed, plugin
        kv = plugin.service("kv")
        def on_init(): print("at init:", kv.who())
        class Audit:
            @exposed
            def both(self): return [plugin.caller, kv.who()]
        services = {"audit": Audit()}
        """,
        uses=["kv"],
        provides={"audit": {"to": ["app:shop"]}},
    )
    source = HEAD + "def fetch(request): return Response.json(service('audit').both())\n"
    with serving(tmp_path, source, uses=["audit"]) as runtime:
        assert told(fetch(runtime, "/shop/")) == ["app:shop", "plugin:audit"]
        runtime.wait_for_plugin_line("at init: plugin:audit")


# What is refused


def test_grants(tmp_path: Path) -> None:
    """A call needs the consent of both sides: `uses` of the caller, `to` of the plugin."""
    source = (
        HEAD
        + """
def fetch(request):
    try:
        return Response.json(service(request.path.strip("/")).who())
    except ServiceError as exc:
        return Response.json(exc.code)
"""
    )
    write_plugin(tmp_path / "plugins", "closed", STORE.replace('"kv"', '"mine"'), provides=["mine"])
    write_app(tmp_path / "apps" / "other", {"app.py": source}, ttl=600, uses=["mine"])
    write_app(tmp_path / "apps" / "none", {"app.py": source}, ttl=600)
    with serving(tmp_path, source, uses=["kv", "gone"]) as runtime:
        runtime.wait_for_record("plugin.serving", plugin="closed")
        assert told(fetch(runtime, "/shop/kv")) == "app:shop"
        assert told(fetch(runtime, "/shop/gone")) == "unknown"
        assert told(fetch(runtime, "/shop/mine")) == "no grant"
        assert told(fetch(runtime, "/other/mine")) == "no grant"
        assert told(fetch(runtime, "/none/kv")) == "no grant"


def test_a_forked_child(tmp_path: Path) -> None:
    """A forked child has no channel of its own, and does not disturb its parent's."""
    source = (
        HEAD
        + """
import os
def fetch(request):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kv.who()
        except ServiceError as exc:
            os.write(writing, exc.code.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return Response.json([os.read(reading, 100).decode(), kv.who()])
"""
    )
    with serving(tmp_path, source) as runtime:
        assert told(fetch(runtime, "/shop/")) == ["forked", "app:shop"]


def test_too_many(tmp_path: Path) -> None:
    """64 calls of an app may be under way; the next gets `busy`, and later ones succeed."""
    source = (
        HEAD
        + """
async def fetch(request):
    waiting = [asyncio.ensure_future(akv.sleep(30)._result()) for _ in range(64)]
    await asyncio.sleep(0)
    try:
        await akv.who()
    except ServiceError as exc:
        code = exc.code
    [each.cancel() for each in waiting]
    while True:
        try:
            return Response.json([code, await akv.who()])
        except ServiceError:
            await asyncio.sleep(0.01)
"""
    )
    with serving(tmp_path, source) as runtime:
        assert told(fetch(runtime, "/shop/")) == ["busy", "app:shop"]


# Slow, dead, gone


def test_a_slow_plugin(tmp_path: Path) -> None:
    """The call ends at the caller's own deadline, and the plugin's method can see that."""
    source = (
        HEAD
        + """
def fetch(request):
    if request.path == "/told":
        return Response.json(kv.told())
    begun = time.monotonic()
    try:
        service("kv", timeout_s=0.3).sleep(30)
    except ServiceError as exc:
        return Response.json([exc.code, time.monotonic() - begun < 10])
"""
    )
    with serving(tmp_path, source) as runtime:
        assert told(fetch(runtime, "/shop/")) == ["late", True]
        wait_until(
            lambda: told(fetch(runtime, "/shop/told")) == ["begun", "cancelled"], 10, "it ends"
        )


def test_a_plugin_that_dies(tmp_path: Path) -> None:
    """Calls to a plugin that dies end with `away`, and the plugin is started again."""
    with serving(tmp_path) as runtime:
        assert call(runtime, "die")["code"] == "away"
        assert call(runtime, "who")["code"] == "away"  # no call waits for the back-off
        wait_until(lambda: call(runtime, "who") == {"value": "app:shop"}, 20, "it serves again")


def test_a_caller_that_dies(tmp_path: Path) -> None:
    """The calls of a worker that dies are cancelled; the plugin goes on."""
    with serving(tmp_path) as runtime:
        assert call(runtime, "told") == {"value": []}
        (worker,) = workers_of(runtime, "shop")

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                fetch(runtime, "/shop/sleep?[30]", method="POST")

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: call(runtime, "told") == {"value": ["begun"]}, 10, "it is called")
        os.kill(worker["pid"], signal.SIGKILL)
        thread.join()
        wait_until(lambda: "cancelled" in str(call(runtime, "told")), 10, "it was cancelled")


def test_no_plugin_at_all(tmp_path: Path) -> None:
    """A service that no plugin offers is unknown."""
    with serving(tmp_path, store=None) as runtime:
        assert call(runtime, "who")["code"] == "unknown"


def test_a_plugin_that_fails_to_start(tmp_path: Path) -> None:
    """The service is away, also for an app that calls it at import."""
    with serving(tmp_path, store="def on_init(): raise RuntimeError('no disk')") as runtime:
        runtime.wait_for_record("plugin.start_failed", plugin="store")
        assert call(runtime, "who")["code"] == "away"


def test_a_lazy_plugin(tmp_path: Path) -> None:
    """A lazy plugin starts at the first call, which waits for it."""
    write_plugin(tmp_path / "plugins", "store", STORE, provides={"kv": {"to": "all"}}, start="lazy")
    with serving(tmp_path, store=None) as runtime:
        assert not [each for each in runtime.records if each["event"] == "plugin.serving"]
        assert call(runtime, "who") == {"value": "app:shop"}


def test_a_lazy_plugin_starts_with_who_uses_it(tmp_path: Path) -> None:
    """A worker of an app that may call the plugin starts it, one that may not does not."""
    write_plugin(
        tmp_path / "plugins", "store", STORE, provides={"kv": {"to": ["app:user"]}}, start="lazy"
    )
    for name in ("closed", "user"):
        write_app(tmp_path / "apps" / name, {"app.py": APP}, ttl=600, uses=["kv"])
    with plugged(tmp_path) as runtime:
        assert fetch(runtime, "/closed/").status == 200
        assert plugins_of(runtime)["store"]["state"] == "asleep"
        assert fetch(runtime, "/user/").status == 200
        wait_for_state(runtime, "store", "serving")


def test_a_lazy_plugin_starts_with_a_plugin_that_uses_it(tmp_path: Path) -> None:
    write_plugin(tmp_path / "plugins", "store", STORE, provides={"kv": {"to": "all"}}, start="lazy")
    write_plugin(tmp_path / "plugins", "audit", "def on_init(): pass", uses=["kv"])
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "audit", "serving")
        wait_for_state(runtime, "store", "serving")


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
    descriptor = link().channel.descriptor
    message, payload = json.loads(unquote(request.target.partition("?")[2]))
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


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(tmp_path: Path, name: str) -> None:
    """A worker that writes garbage to its channel is killed; plugin and app go on."""
    with serving(tmp_path, HOSTILE) as runtime:
        assert told(fetch(runtime, "/shop/who")) == "app:shop"
        answer = fetch(runtime, f"/shop/write?{quote(json.dumps(GARBAGE[name]))}", method="POST")
        assert answer.status == 502
        runtime.wait_for_record("worker.protocol_broken")
        assert told(fetch(runtime, "/shop/who")) == "app:shop"


def test_a_caller_that_says_who_it_is(tmp_path: Path) -> None:
    """Only the runtime sets `caller`."""
    source = HOSTILE.replace(
        "    os.write(descriptor, encode(message) + payload.encode())\n    time.sleep(20)\n",
        "    link()._head_of = lambda call, wanted: message | {'id': call.id}\n"
        "    return Response.json(kv.who())\n",
    )
    claim = {"type": "CALL", "service": "kv", "method": "who", "caller": "plugin:store"}
    with serving(tmp_path, source) as runtime:
        target = quote(json.dumps([claim, ""]))
        assert told(fetch(runtime, f"/shop/write?{target}")) == "app:shop"


def test_a_lazy_plugin_that_dies(tmp_path: Path) -> None:
    """A lazy plugin starts again at a call, once the back-off after its death is over."""
    write_plugin(tmp_path / "plugins", "store", STORE, provides={"kv": {"to": "all"}}, start="lazy")
    with serving(tmp_path, store=None) as runtime:
        assert call(runtime, "die")["code"] == "away"
        assert call(runtime, "who")["code"] == "away"
        wait_until(lambda: call(runtime, "who") == {"value": "app:shop"}, 20, "it serves again")


def test_a_lazy_plugin_that_fails_to_start(tmp_path: Path) -> None:
    """A lazy plugin is tried again at a call, once the back-off after its failure is over."""
    source = (
        f"import os\nif not os.path.exists({str(tmp_path / 'disk')!r}): raise OSError('full')\n"
    )
    write_plugin(
        tmp_path / "plugins", "store", source + STORE, provides={"kv": {"to": "all"}}, start="lazy"
    )
    with serving(tmp_path, store=None) as runtime:
        assert call(runtime, "who")["code"] == "away"
        (tmp_path / "disk").write_text("")
        wait_until(lambda: call(runtime, "who") == {"value": "app:shop"}, 20, "it serves")
