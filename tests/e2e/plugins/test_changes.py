"""Plugins change while the runtime runs: reloaded, switched, added and removed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
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


def word(runtime: Runtime, name: str = "audit") -> str:
    return fetch(runtime, f"/{name}/").body.decode().partition(" ")[0]


def write(folder: Path, name: str, **manifest: object) -> Path:
    """A plugin whose words are its name, and `old`."""
    return write_plugin(
        folder / "plugins",
        name,
        says(f"{name}-old"),
        **{"base": f"/{name}", "visibility": "public", **manifest},
    )


def audit(tmp_path: Path, **manifest: object) -> Path:
    return write_plugin(
        tmp_path / "plugins", "audit", says("old"), base="/audit", visibility="public", **manifest
    )


KV = """
from buntime.plugin import exposed
class Kv:
    @exposed
    def get(self): pass
services = {"kv": Kv()}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changes")


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    """A runtime in production with a plugin, or two, for each test that changes only these."""
    for name in ("beside", "fails", "moves"):
        write(folder, name)
    for name in ("writer", "back"):
        write(folder, name, overlap=False)
    write_plugin(folder / "plugins", "kv", KV, provides=["kv"])
    write_plugin(folder / "plugins", "user", "", uses=["kv"])
    reads = f"""
from buntime import Response
def fetch(request):
    try:
        return Response(open({str(folder / "plugins/kv/plugin.py")!r}).read())
    except OSError as exc:
        return Response(type(exc).__name__, status=403)
"""
    write_app(folder / "apps" / "spy", {"app.py": reads}, ttl=600)
    with plugged(folder) as started:
        for path in (folder / "plugins").iterdir():
            wait_for_state(started, path.name, "serving")
        yield started


def said_by(runtime: Runtime, name: str) -> list[str]:
    """What a plugin has printed without its name, in order."""
    return [each.partition("-")[2] for each in lines(runtime) if each.startswith(f"{name}-")]


def test_new_code_takes_over_beside(runtime: Runtime, folder: Path) -> None:
    """On SIGHUP changed code loads beside the old, which ends when the new one serves."""
    first = plugins_of(runtime)["beside"]
    assert word(runtime, "beside") == "beside-old"
    rewrite(folder / "plugins/beside", says("beside-new"))
    runtime.process.send_signal(signal.SIGHUP)
    runtime.wait_for_plugin_line("beside-old down")
    runtime.wait_for_plugin_line("beside-new init")
    second = wait_for_state(runtime, "beside", "serving")
    assert word(runtime, "beside") == "beside-new"
    assert second["generation"] > first["generation"]
    assert said_by(runtime, "beside") == ["old init", "new init", "old down"]


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


def test_new_code_that_fails_leaves_the_old(runtime: Runtime, folder: Path) -> None:
    """New code that fails to load changes nothing for requests, and operators see why."""
    before = plugins_of(runtime)["fails"]
    for how in ("def on_init(): 1/0", "import os; os.abort()", "x = ("):
        rewrite(folder / "plugins/fails", how)
        assert post(runtime, "/api/plugins/fails/reload").status == 202
        runtime.wait_for_new("plugin.reload_failed", plugin="fails")
        assert word(runtime, "fails") == "fails-old", how
        after = plugins_of(runtime)["fails"]
        assert (after["state"], after["pid"]) == ("serving", before["pid"]), how
        assert after["why"].startswith("failed to load"), how
        wait_until(lambda: len(workers_of(runtime, "plugin:fails")) == 1, what=how)


def test_services_in_use_must_stay(runtime: Runtime, folder: Path) -> None:
    """New code without a service that a running plugin uses is refused."""
    before = plugins_of(runtime)["kv"]
    rewrite(folder / "plugins/kv", "")
    post(runtime, "/api/plugins/kv/reload")
    runtime.wait_for_record("plugin.reload_failed", plugin="kv")
    assert plugins_of(runtime)["kv"]["pid"] == before["pid"]


def test_one_writer_at_a_time(runtime: Runtime, folder: Path) -> None:
    """With `overlap: false` the old process is gone before the new one loads, also if it is
    recycled; requests wait."""
    for new in ("new0", "new1"):
        rewrite(folder / "plugins/writer", says(f"writer-{new}"))
        assert post(runtime, "/api/plugins/writer/reload").status == 202
        wait_until(lambda new=new: word(runtime, "writer") == f"writer-{new}", 20)  # type: ignore[misc]  # mypy does not see the type of a default
    runtime.wait_for_plugin_line("writer-new1 init")
    before = plugins_of(runtime)["writer"]
    assert post(runtime, f"/api/workers/{before['worker']}/recycle").status == 202
    wait_until(lambda: plugins_of(runtime)["writer"]["pid"] not in (None, before["pid"]), 20)
    wait_until(lambda: said_by(runtime, "writer").count("new1 init") == 2, 20, "its next start")
    words = [each for new in ("old", "new0", "new1") for each in (f"{new} init", f"{new} down")]
    assert said_by(runtime, "writer") == [*words, "new1 init"]


def test_one_writer_goes_back(runtime: Runtime, folder: Path) -> None:
    """If the new code of a plugin with `overlap: false` fails, the old code starts again."""
    new = write_plugin(folder / "new", "back", "def on_init(): 1/0", base="/back",
                       visibility="public", overlap=False)  # fmt: skip
    place = folder / "plugins/back"
    place.rename(folder / "old")
    place.symlink_to(new)
    runtime.process.send_signal(signal.SIGHUP)
    runtime.wait_for_record("plugin.start_failed", plugin="back")
    runtime.wait_for_record("plugin.going_back", plugin="back")
    assert (folder / "old").is_dir()


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


def test_plugins_come_and_go(runtime: Runtime, folder: Path) -> None:
    """A reload by an operator runs what the folder has now, including the manifest. On SIGHUP a
    plugin in a new folder starts, and one whose folder is gone ends."""
    rewrite(
        folder / "plugins/moves", says("new"), base="/moved", visibility="public", version="2.0.0"
    )
    assert post(runtime, "/api/plugins/moves/reload").status == 202
    wait_until(lambda: plugins_of(runtime)["moves"]["version"] == "2.0.0", 20)
    assert fetch(runtime, "/moves/").status == 404
    assert fetch(runtime, "/moved/").body.startswith(b"new ")
    write_plugin(folder / "plugins", "late", "")
    shutil.rmtree(folder / "plugins/moves")
    runtime.process.send_signal(signal.SIGHUP)
    wait_for_state(runtime, "late", "serving")
    wait_until(lambda: "moves" not in plugins_of(runtime))
    assert fetch(runtime, "/moved/").status == 404


def test_a_page_alone(tmp_path: Path) -> None:
    """A plugin that is a page alone can be reloaded: its manifest is read again, with what is wrong
    with it. One that is switched off cannot."""
    page = {"base": "/old", "entrypoint": "index.html", "visibility": "public"}
    folder = write_plugin(tmp_path / "plugins", "page", None, **page)
    (folder / "index.html").write_text("<p>hello", "utf-8")
    with plugged(tmp_path) as runtime:
        assert b"<p>hello" in fetch(runtime, "/old/").body
        write_plugin(tmp_path / "plugins", "page", None, **{**page, "base": "/new"})
        told = post(runtime, "/api/plugins/page/reload")
        assert (told.status, told.json()["state"]) == (202, "serving")
        assert b"<p>hello" in fetch(runtime, "/new/").body
        write_plugin(tmp_path / "plugins", "page", None, **page, bass="/")
        told = post(runtime, "/api/plugins/page/reload")
        assert (told.status, "bass" in told.json()["why"]) == (202, True)
        post(runtime, "/api/plugins/page/disable")
        assert post(runtime, "/api/plugins/page/reload").status == 409


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


def test_apps_cannot_read_plugins(runtime: Runtime) -> None:
    """The folder of a plugin is closed to a sandboxed app, like that of another app."""
    if not fetch(runtime, "/api/workers").json()["sandbox"]["acts"]:
        pytest.skip("there is no sandbox here")
    assert fetch(runtime, "/spy/").status == 403
