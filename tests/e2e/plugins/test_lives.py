"""Plugins are found, started in order, and ended in reverse order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, is_alive, wait_until, write_app
from tests.support.launcher import workers_afresh
from tests.support.pluginfolders import (
    APP,
    lines,
    plugged,
    plugins_of,
    wait_for_state,
    write_plugin,
)

TELLS = """
from buntime.plugin import plugin
def on_init(): print(plugin.name, "init")
def on_server_start(): print(plugin.name, "started")
def on_shutdown(): print(plugin.name, "down")
"""


def test_each_starts_behind_what_it_needs(tmp_path: Path) -> None:
    """A plugin starts once its dependencies serve, gets on_server_start, and ends before them."""
    write_plugin(tmp_path / "plugins", "a", TELLS, dependencies=["c"])
    write_plugin(tmp_path / "plugins", "b", TELLS, dependencies=["a"])
    write_plugin(tmp_path / "plugins", "c", TELLS)
    with plugged(tmp_path) as runtime:
        runtime.wait_for_plugin_line("b started")
        assert runtime.stop() == 0
        said = lines(runtime)
    assert [each for each in said if each.endswith("init")] == ["c init", "a init", "b init"]
    for name in ("a", "b", "c"):
        assert said.index(f"{name} started") > said.index(f"{name} init")
    assert said[-3:] == ["b down", "a down", "c down"]


def test_who_cannot_start_is_told_of(tmp_path: Path) -> None:
    """A dependency that is missing, disabled, failed or circular is named by those that need it."""
    write_plugin(tmp_path / "plugins", "off", enabled=False)
    write_plugin(tmp_path / "plugins", "raises", "def on_init(): raise RuntimeError('no disk')")
    for name, need in {
        "a": "nobody",
        "b": "off",
        "c": "raises",
        "d": "c",
        "round": "trip",
        "trip": "round",
    }.items():
        write_plugin(tmp_path / "plugins", name, dependencies=[need])
    with plugged(tmp_path) as runtime:
        runtime.wait_for_record("plugin.start_failed", plugin="raises")

        def why(name: str) -> str:
            error: str = runtime.wait_for_record("plugin.left_out", plugin=name)["error"]
            return error

        assert why("a") == "a needs nobody, which is not installed; see buntime plugins list"
        assert why("b") == "b needs off, which is disabled"
        assert why("c").startswith("c needs raises, which failed to load: plugin.py: RuntimeError")
        assert "left out because raises failed to load" in why("d")
        assert "round -> trip -> round" in why("round")
        assert "round -> trip -> round" in why("trip")


# Plugins that need none of the others

KV = """
from buntime.plugin import exposed
class Kv:
    @exposed
    def get(self, key): return key
services = {"kv": Kv()}
def on_request(request): pass
"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("quiet")

    def plugin(name: str, source: str | None, **manifest: object) -> Path:
        return write_plugin(folder / "plugins", name, source, **manifest)

    plugin("@acme/kv", KV, version="1.2.3", provides=["kv"], base="/kv")
    plugin("promises", "", provides=["promised"])
    for name in ("one", "two"):
        source = f"from buntime import Response\ndef fetch(request): return Response('{name}')"
        plugin(name, source, base="/x", visibility="public")
    page: dict[str, object] = {"entrypoint": "index.html", "visibility": "public"}
    hints = plugin("hints", None, base="/hints", **page)
    (hints / "index.html").write_text("<h1>hints</h1>", "utf-8")
    (hints / "tool.py").write_text("secret = 1", "utf-8")
    source = "from buntime import Response\ndef fetch(request): return Response('awake')"
    plugin("nap", source, base="/nap", start="lazy", visibility="public")
    with plugged(folder) as runtime:
        yield runtime


def test_it_is_told_who_it_is(quiet: Runtime) -> None:
    """Operators see the hooks and services of READY, the process and the generation."""
    told = wait_for_state(quiet, "@acme/kv", "serving")
    assert is_alive(told["pid"])
    assert (told["version"], told["base"], told["why"]) == ("1.2.3", "/kv", None)
    assert (told["hooks"], told["services"]) == (["on_request"], {"kv": ["get"]})
    assert told["generation"] >= 1


def test_what_it_promises_it_must_have(quiet: Runtime) -> None:
    """A plugin whose code lacks a service of its manifest does not serve."""
    told = wait_for_state(quiet, "promises", "failed")
    assert "provides promised, which is not among the services of its code" in told["why"]


def test_two_of_one_base(quiet: Runtime) -> None:
    """Of two plugins with one base the first by name serves, and the other says why it does not."""
    wait_for_state(quiet, "one", "serving")
    assert wait_for_state(quiet, "two", "left out")["why"] == (
        "has the base /x, which one has already"
    )
    assert fetch(quiet, "/x/").body == b"one"


def test_a_page_alone_has_no_process(quiet: Runtime) -> None:
    """A plugin that is only a page is served without a process; its manifest is not served."""
    told = wait_for_state(quiet, "hints", "serving")
    assert (told["pid"], told["generation"]) == (None, None)
    assert b"<h1>hints</h1>" in fetch(quiet, "/hints/").body
    for name in ("tool.py", "buntime.yaml"):
        assert b"secret" not in fetch(quiet, f"/hints/{name}").body


def test_lazy_ones_wait_for_a_request(quiet: Runtime) -> None:
    """A plugin with `start: lazy` has no process until the first request at its base."""
    wait_for_state(quiet, "nap", "asleep")
    assert workers_of(quiet, "plugin:nap") == []
    assert fetch(quiet, "/nap/").body == b"awake"
    wait_for_state(quiet, "nap", "serving")


# Plugins that fail


@pytest.mark.parametrize("source", ["", "import time\ndef on_init(): time.sleep(60)"])
def test_it_is_started_again(tmp_path: Path, source: str) -> None:
    """A plugin whose process is killed, loaded or loading, is started again; operators are told."""
    write_plugin(tmp_path / "plugins", "audit", source)

    def process() -> int:
        workers = workers_of(runtime, "plugin:audit")
        return workers[0]["pid"] if workers else 0

    with plugged(tmp_path, RUNTIME_BOOT_TIMEOUT="3s" if source else "30s") as runtime:
        wait_until(process, what="a process")
        if not source:
            wait_for_state(runtime, "audit", "serving")
        first = process()
        os.kill(first, signal.SIGKILL)
        if not source:
            died = runtime.wait_for_record("plugin.died", plugin="audit")
            assert (died["deaths"], died["retry_s"]) == (1, 1)
        wait_until(lambda: process() not in (0, first), 20, "another process")
        wait_for_state(runtime, "audit", "failed" if source else "serving")
        items = fetch(runtime, "/api/attention").json()["items"]
        codes = [each["code"] for each in items if each["code"].startswith("plugin_")]
        assert codes == ["plugin_down" if source else "plugin_dies"]


SENDS = """
import os, time
from buntime.sdk.services import link
from buntime.wire import encode
os.write(link().channel.descriptor, {what})
time.sleep(60)
"""
READY = {"type": "READY", "kind": "plugin", "concurrency": 1, "is_async": False, "boot_ms": 1}
NEVER_LOAD = {
    "sleeps": "import time; time.sleep(60)",
    "talks": SENDS.format(what=rb"b'\x00garbage\n'"),
    "promises": SENDS.format(what=f"encode({ {**READY, 'hooks': 7, 'services': []} })"),
    "dies": "import os; os.abort()",
    "leaves": "raise SystemExit",
}


def test_who_never_loads(tmp_path: Path) -> None:
    """Whatever a plugin does instead of loading, it fails, its guard closes, and others serve."""
    for name, source in NEVER_LOAD.items():
        match = {"paths": [f"/{name}"]}
        write_plugin(tmp_path / "plugins", name, source, stage="access", match=match)
    write_plugin(tmp_path / "plugins", "well", "def on_request(request): return None")
    with plugged(tmp_path, RUNTIME_BOOT_TIMEOUT="1s") as runtime:
        for name in NEVER_LOAD:
            assert wait_for_state(runtime, name, "failed")["why"]
            assert fetch(runtime, f"/hello/{name}").status == 503
        wait_for_state(runtime, "well", "serving")
        assert fetch(runtime, "/hello/").status == 200
        assert not [each for each in runtime.records if each["event"] == "runtime.internal_error"]


def test_the_back_off_grows(tmp_path: Path) -> None:
    """Each death in a row delays the next start for longer."""
    source = "import os\ndef on_server_start(): os.abort()"
    write_plugin(tmp_path / "plugins", "audit", source)
    with plugged(tmp_path) as runtime:
        for deaths in (1, 2, 3):
            died = runtime.wait_for_record("plugin.died", deaths=deaths)
            assert died["retry_s"] == 2 ** (deaths - 1)


def test_many_in_a_full_pool(tmp_path: Path) -> None:
    """Many small plugins serve beside a pool of one, started in their order; apps take turns in
    the pool, and no plugin ends for an app."""
    for number in range(12):
        needs = {"dependencies": [f"p{number - 1}"]} if number % 3 else {}
        write_plugin(tmp_path / "plugins", f"p{number}", "", **needs)
    write_app(tmp_path / "apps" / "other", {"app.py": APP}, ttl=600)
    with workers_afresh(), plugged(tmp_path, RUNTIME_POOL_SIZE="1") as runtime:
        for number in range(12):
            runtime.wait_for_record("plugin.serving", plugin=f"p{number}")
        pids = pids_of(runtime)
        for app in ("hello", "other", "hello"):
            assert fetch(runtime, f"/{app}/").body == b"hello"
        assert pids_of(runtime) == pids
        assert len(pids & set(runtime.children())) == 12
        assert max(map(private_bytes, pids)) < 16 << 20
    serving = [each["plugin"] for each in runtime.records if each["event"] == "plugin.serving"]
    for number in range(12):
        if number % 3:
            assert serving.index(f"p{number - 1}") < serving.index(f"p{number}")


def pids_of(runtime: Runtime) -> set[int]:
    """The processes of all plugins; a lazy one, such as keyval, has none."""
    return {each["pid"] for each in plugins_of(runtime).values() if each["pid"] is not None}


def private_bytes(pid: int) -> int:
    """The memory of a process that it shares with no other."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) << 10 for row in rows if row.startswith("Private_"))
