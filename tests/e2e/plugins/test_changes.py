"""Plugins change while the runtime runs: reloaded, switched, added and removed."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, wait_until, write_app
from tests.support.pluginfolders import (
    lines,
    plugged,
    plugins_of,
    post,
    rewrite,
    wait_for_state,
    write_plugin,
)

SAYS = """
import os
from buntime import Response
from buntime.plugin import plugin
def on_init(): print("{word} init")
def on_shutdown(): print("{word} down")
def fetch(request): return Response("{word} " + str(os.getpid()))
"""


def says(word: str) -> str:
    return SAYS.replace("{word}", word)


def word(runtime: Runtime) -> str:
    return fetch(runtime, "/audit/").body.decode().partition(" ")[0]


def audit(tmp_path: Path, **manifest: object) -> Path:
    return write_plugin(
        tmp_path / "plugins", "audit", says("old"), base="/audit", visibility="public", **manifest
    )


def test_new_code_takes_over_beside(tmp_path: Path) -> None:
    """On SIGHUP changed code loads beside the old, which ends when the new one serves."""
    folder = audit(tmp_path)
    with plugged(tmp_path) as runtime:
        first = wait_for_state(runtime, "audit", "serving")
        assert word(runtime) == "old"
        rewrite(folder, says("new"))
        runtime.process.send_signal(signal.SIGHUP)
        runtime.wait_for_plugin_line("old down")
        runtime.wait_for_plugin_line("new init")
        second = wait_for_state(runtime, "audit", "serving")
        assert word(runtime) == "new"
        said = lines(runtime)
    assert second["generation"] > first["generation"]
    assert said.index("new init") < said.index("old down")


def test_development_sees_changes(tmp_path: Path) -> None:
    """In development a change is noticed without SIGHUP; a deleted file is a change like others."""
    folder = audit(tmp_path)
    part = folder / "part.py"
    part.write_text("", "utf-8")
    with plugged(tmp_path, RUNTIME_ENV="development") as runtime:
        wait_for_state(runtime, "audit", "serving")
        rewrite(folder, says("new"))
        wait_until(lambda: word(runtime) == "new", 20)
        before = plugins_of(runtime)["audit"]["generation"]
        part.unlink()
        wait_until(lambda: plugins_of(runtime)["audit"]["generation"] > before, 20)


def test_new_code_that_fails_leaves_the_old(tmp_path: Path) -> None:
    """New code that fails to load changes nothing for requests, and operators see why."""
    folder = audit(tmp_path)
    with plugged(tmp_path) as runtime:
        before = wait_for_state(runtime, "audit", "serving")
        for how in ("def on_init(): 1/0", "import os; os.abort()", "x = ("):
            rewrite(folder, how)
            assert post(runtime, "/api/plugins/audit/reload").status == 202
            runtime.wait_for_new("plugin.reload_failed")
            assert word(runtime) == "old", how
            after = plugins_of(runtime)["audit"]
            assert (after["state"], after["pid"]) == ("serving", before["pid"]), how
            assert after["why"].startswith("failed to load"), how
            wait_until(lambda: len(workers_of(runtime, "plugin:audit")) == 1, what=how)


def test_services_in_use_must_stay(tmp_path: Path) -> None:
    """New code without a service that a running plugin uses is refused."""
    source = """
        from buntime.plugin import exposed
        class Kv:
            @exposed
            def get(self): pass
        services = {"kv": Kv()}
    """
    folder = write_plugin(tmp_path / "plugins", "kv", source, provides=["kv"])
    write_plugin(tmp_path / "plugins", "user", "", uses=["kv"])
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "user", "serving")
        before = wait_for_state(runtime, "kv", "serving")
        rewrite(folder, "")
        post(runtime, "/api/plugins/kv/reload")
        runtime.wait_for_record("plugin.reload_failed", plugin="kv")
        assert plugins_of(runtime)["kv"]["pid"] == before["pid"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """With `overlap: false` the old process is gone before the new one loads, also if it is
    recycled; requests wait."""
    folder = audit(tmp_path, overlap=False)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "audit", "serving")
        for number in range(2):
            rewrite(folder, says(f"new{number}"))
            assert post(runtime, "/api/plugins/audit/reload").status == 202
            wait_until(lambda number=number: word(runtime) == f"new{number}", 20)  # type: ignore[misc]  # mypy does not see the type of a default
        runtime.wait_for_plugin_line("new1 init")
        before = plugins_of(runtime)["audit"]
        assert post(runtime, f"/api/workers/{before['worker']}/recycle").status == 202
        wait_until(lambda: plugins_of(runtime)["audit"]["pid"] not in (None, before["pid"]), 20)
        wait_until(lambda: lines(runtime).count("new1 init") == 2, 20, "its next start")
        said = [each for each in lines(runtime) if each.endswith(("init", "down"))]
    words = [each for word in ("old", "new0", "new1") for each in (f"{word} init", f"{word} down")]
    assert said[:7] == [*words, "new1 init"]


def test_one_writer_goes_back(tmp_path: Path) -> None:
    """If the new code of a plugin with `overlap: false` fails, the old code starts again."""
    folder = audit(tmp_path, overlap=False)
    new = write_plugin(tmp_path / "new", "audit", "def on_init(): 1/0", base="/audit",
                       visibility="public", overlap=False)  # fmt: skip
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "audit", "serving")
        folder.rename(tmp_path / "old")
        folder.symlink_to(new)
        link = tmp_path / "old"
        runtime.process.send_signal(signal.SIGHUP)
        runtime.wait_for_record("plugin.start_failed", plugin="audit")
        runtime.wait_for_record("plugin.going_back", plugin="audit")
        assert link.is_dir()


def test_switches_outlive_a_restart(tmp_path: Path) -> None:
    """A plugin that an operator has disabled ends, and stays disabled until it is enabled."""
    audit(tmp_path)
    write_plugin(tmp_path / "plugins", "user", "", dependencies=["audit"])
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "user", "serving")
        assert post(runtime, "/api/plugins/audit/disable").status == 202
        assert runtime.wait_for_record("plugin.switched", plugin="audit")["by"] == "127.0.0.1"
        runtime.wait_for_plugin_line("old down")
        assert (
            wait_for_state(runtime, "user", "left out")["why"] == "needs audit, which is disabled"
        )
        assert fetch(runtime, "/audit/").status == 404
    with plugged(tmp_path) as runtime:
        told = wait_for_state(runtime, "audit", "disabled")
        assert told["switched"]["by"] == "127.0.0.1"
        assert post(runtime, "/api/plugins/audit/enable").status == 202
        wait_for_state(runtime, "user", "serving")
        assert word(runtime) == "old"


def test_plugins_come_and_go(tmp_path: Path) -> None:
    """A reload by an operator runs what the folder has now, including the manifest. On SIGHUP a
    plugin in a new folder starts, and one whose folder is gone ends."""
    folder = audit(tmp_path)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "audit", "serving")
        rewrite(folder, says("new"), base="/moved", visibility="public", version="2.0.0")
        assert post(runtime, "/api/plugins/audit/reload").status == 202
        wait_until(lambda: plugins_of(runtime)["audit"]["version"] == "2.0.0", 20)
        assert fetch(runtime, "/audit/").status == 404
        assert fetch(runtime, "/moved/").body.startswith(b"new ")
        write_plugin(tmp_path / "plugins", "late", "")
        shutil.rmtree(folder)
        runtime.process.send_signal(signal.SIGHUP)
        wait_for_state(runtime, "late", "serving")
        wait_until(lambda: "audit" not in plugins_of(runtime))
        assert fetch(runtime, "/moved/").status == 404


def test_an_unreadable_manifest(tmp_path: Path) -> None:
    """The last good manifest counts; if there is none, only reserved paths are open."""
    folder = audit(tmp_path)
    manifest = folder / "buntime.yaml"
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "audit", "serving")
        manifest.write_text("name: [", "utf-8")
        runtime.process.send_signal(signal.SIGHUP)
        runtime.wait_for_record("plugin.invalid", plugin="audit")
        assert word(runtime) == "old"
        assert "buntime.yaml" in plugins_of(runtime)["audit"]["why"]
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "audit", "unreadable")
        assert fetch(runtime, "/hello/").status == 503
        assert fetch(runtime, "/api/health").status == 200
        assert post(runtime, "/api/plugins/audit/disable").status == 202
        assert fetch(runtime, "/hello/").status == 200


def test_a_guard_that_cannot_start_closes(tmp_path: Path) -> None:
    """What a guard covers is closed while the guard does not serve, also if it is unreadable."""
    source = "def on_init(): 1/0\ndef on_request(request): pass"
    folder = write_plugin(tmp_path / "plugins", "guard", source, stage="access")
    with plugged(tmp_path) as runtime:
        assert fetch(runtime, "/hello/").status == 503
        wait_for_state(runtime, "guard", "failed")
        refused = fetch(runtime, "/hello/")
        assert (refused.status, refused.error["code"]) == (503, "plugin_unavailable")
        assert fetch(runtime, "/health").status == 200
        rewrite(folder, "def on_request(request): pass")
        runtime.process.send_signal(signal.SIGHUP)
        wait_for_state(runtime, "guard", "serving")
        assert fetch(runtime, "/hello/").status == 200
        (folder / "plugin.py").unlink()
        runtime.process.send_signal(signal.SIGHUP)
        runtime.wait_for_record("plugin.invalid", plugin="guard")
        assert fetch(runtime, "/hello/").status == 200


def test_apps_cannot_read_plugins(tmp_path: Path) -> None:
    """The folder of a plugin is closed to a sandboxed app, like that of another app."""
    folder = audit(tmp_path)
    reads = f"""
from buntime import Response
def fetch(request):
    try:
        return Response(open({str(folder / "plugin.py")!r}).read())
    except OSError as exc:
        return Response(type(exc).__name__, status=403)
"""
    write_app(tmp_path / "apps" / "spy", {"app.py": reads}, ttl=600)
    with plugged(tmp_path) as runtime:
        if not fetch(runtime, "/api/workers").json()["sandbox"]["acts"]:
            pytest.skip("there is no sandbox here")
        answer = fetch(runtime, "/spy/")
        assert (answer.status, b"old" in answer.body) == (403, False)
