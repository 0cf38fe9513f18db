"""Plugins get notices of what happens in the runtime, and cannot hold it up."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.client import fetch
from tests.support.harness import Runtime, write_app
from tests.support.pluginfolders import APP, plugged, wait_for_state, write_plugin

TELLS = """
import json
on = []
{async_}def on_server_start(): print("started")
{async_}def on_worker_spawn(worker): print("spawn", json.dumps(worker))
{async_}def on_worker_terminate(worker): print("terminate", json.dumps(worker))
{async_}def on_apps_changed(apps): print("apps", json.dumps(apps))
{async_}def on_plugins_changed(plugins): print("plugins", json.dumps(plugins))
"""


def said_by(runtime: Runtime, plugin: str) -> list[str]:
    """What a plugin has printed, in order."""
    printed = [each for each in runtime.records if each["event"] == "plugin.output"]
    return [each["message"] for each in printed if each["plugin"] == plugin]


def told(runtime: Runtime, plugin: str, kind: str) -> list[Any]:
    """The data of the notices of a kind, in their order."""
    said = [each.partition(" ") for each in said_by(runtime, plugin)]
    return [json.loads(data) for name, _, data in said if name == kind]


def test_each_notice(tmp_path: Path) -> None:
    """Notices of workers, apps and plugins come from on_server_start on, without secrets, to sync
    and async plugins."""
    names = {"sync": "", "async": "async "}
    for name, async_ in names.items():
        source = TELLS.format(async_=async_)
        write_plugin(tmp_path / "plugins", name, source, env={"X": "s3cret"})
    write_plugin(tmp_path / "plugins", "other", "def on_init(): pass")
    write_app(tmp_path / "apps" / "once", {"app.py": APP}, ttl=0)
    with plugged(tmp_path, RUNTIME_SPARE_WORKERS="0") as runtime:
        for name in names:
            runtime.wait_for_plugin_line("started", plugin=name)
        wait_for_state(runtime, "other", "serving")
        assert fetch(runtime, "/once/").status == 200
        assert fetch(runtime, "/hello/").status == 200
        spawned = {}
        for name in names:
            wait_for(runtime, name, "spawn", lambda each: each["app"] == "hello")
            [spawned[name]] = [each for each in told(runtime, name, "spawn") if each["app"]]
        os.kill(spawned["sync"]["pid"], signal.SIGKILL)
        for name in names:
            wait_for(runtime, name, "terminate", lambda each: each["app"] == "hello")
            [ended] = [each for each in told(runtime, name, "terminate") if each["app"]]
            assert ended == {**spawned[name], "how": "killed by SIGKILL", "expected": False}
        write_app(tmp_path / "apps" / "new@2.0.0", {"app.py": APP})
        for name in names:
            wait_for(
                runtime, name, "apps", lambda each: {"name": "new", "version": "2.0.0"} in each
            )
            wait_for(runtime, name, "plugins", lambda each: {*names, "other"} <= serving(each))
            said = said_by(runtime, name)
            assert said[0] == "started"
            assert not any("s3cret" in line or str(tmp_path) in line for line in said)


def serving(plugins: Any) -> set[str]:
    return {each["name"] for each in plugins if each["state"] == "serving"}


def wait_for(runtime: Runtime, plugin: str, kind: str, fits: Any) -> None:
    """Wait until a notice of this kind has such data."""
    while not any(fits(data) for data in told(runtime, plugin, kind)):
        runtime.wait_for_new("plugin.output")


def test_one_that_hangs_in_a_notice(tmp_path: Path) -> None:
    """If a plugin hangs in a notice, its hooks go on, and so does everything else."""
    hangs = """
    import time
    def on_worker_spawn(worker):
        print("hangs")
        time.sleep(60)
    def on_request(request): pass
    """
    write_plugin(tmp_path / "plugins", "hangs", hangs)
    write_app(tmp_path / "apps" / "other", {"app.py": APP}, ttl=600)
    with plugged(tmp_path) as runtime:
        pid = wait_for_state(runtime, "hangs", "serving")["pid"]
        assert fetch(runtime, "/hello/").status == 200
        runtime.wait_for_plugin_line("hangs")
        assert fetch(runtime, "/other/").status == 200
        os.kill(pid, signal.SIGKILL)  # otherwise the stop would wait for its end


def test_one_that_raises_in_a_notice(tmp_path: Path) -> None:
    """The log has one entry for it, with plugin, hook, error and stack, and operators are told; so
    it is for on_server_start."""
    hooks = ("on_server_start", "on_apps_changed")
    for name, async_ in {"sync": "", "async": "async "}.items():
        raises = [f"{async_}def {hook}(*_): raise KeyError({hook!r})" for hook in hooks]
        write_plugin(tmp_path / "plugins", name, "\n".join(raises).replace("start(*_)", "start()"))
    with plugged(tmp_path) as runtime:
        for name in ("sync", "async"):
            for hook in hooks:
                entry = runtime.wait_for_record("plugin.hook_failed", plugin=name, hook=hook)
                assert entry["error"] == f"KeyError: {hook!r}"
                assert f"in {hook}" in entry["stack"]
            assert not said_by(runtime, name)
        items = fetch(runtime, "/api/attention").json()["items"]
        texts = "\n".join(each["text"] for each in items)
        for name in ("sync", "async"):
            assert f"on_apps_changed of the plugin {name} has failed 1 time" in texts


def test_one_that_does_not_run(tmp_path: Path) -> None:
    """A stopped plugin reads nothing; workers come and go all the same."""
    source = "def on_worker_spawn(worker): print('told')"
    write_plugin(tmp_path / "plugins", "stopped", source, match={"workers": "all"})
    write_app(tmp_path / "apps" / "once", {"app.py": APP}, ttl=0)
    with plugged(tmp_path) as runtime:
        told = wait_for_state(runtime, "stopped", "serving")
        os.kill(told["pid"], signal.SIGSTOP)
        for _ in range(5):
            assert fetch(runtime, "/once/").status == 200
        os.kill(told["pid"], signal.SIGCONT)
        runtime.wait_for_plugin_line("told")


def test_a_flood_of_notices(tmp_path: Path) -> None:
    """A plugin that sends `forget` without end is killed or handled; other requests are served."""
    floods = """
    import threading
    from buntime.plugin import plugin
    def flood():
        while True:
            plugin.forget("x" * 200)
    def on_server_start():
        threading.Thread(target=flood, daemon=True).start()
    """
    write_plugin(tmp_path / "plugins", "floods", floods)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "floods", "serving")
        for _ in range(10):
            assert fetch(runtime, "/hello/").body == b"hello"


FLOODS: dict[str, dict[str, object]] = {
    "up": {"type": "UP"},
    "credit": {"type": "WINDOW", "id": 1, "credit": 1},
    "verdict": {"type": "VERDICT", "id": 9, "action": "continue"},
    "notice": {"type": "NOTICE", "notice": "on_worker_spawn", "data": {}},
}


def test_floods_of_messages(tmp_path: Path) -> None:
    """Plugins that write meaningless messages without end are killed and started again; other
    requests are served."""
    for name, message in FLOODS.items():
        floods = f"""
        import os
        from buntime.sdk.services import link
        from buntime.wire import encode
        def on_request(request):
            os.set_blocking(link().channel.descriptor, True)
            while True:
                os.write(link().channel.descriptor, encode({message!r}) * 100)
        """
        match = {"paths": [f"/{name}"]}
        write_plugin(tmp_path / "plugins", name, floods, match=match, hookTimeout="20s")
    with plugged(tmp_path) as runtime:
        for name in FLOODS:
            wait_for_state(runtime, name, "serving")
        for name in FLOODS:
            assert fetch(runtime, f"/hello/{name}").status == 503
            assert fetch(runtime, "/hello/").body == b"hello"
            runtime.wait_for_record("worker.protocol_broken", app=f"plugin:{name}")
        for name in FLOODS:
            wait_for_state(runtime, name, "serving")
