"""Plugins are installed from archives, and removed, while the runtime serves: all or nothing."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import Answer, fetch
from tests.support.deploying import AS_ROOT, package, packed
from tests.support.disks import fill, small_disk
from tests.support.harness import Runtime, wait_until
from tests.support.hostilearchives import tar
from tests.support.pluginfolders import plugged, plugins_of, wait_for_state, write_plugin
from tests.support.pluginoperator import PluginOperator

SAYS = """
from buntime import Response
def fetch(request): return Response("{word}")
def on_response(request, response): response.headers["x-plugin"] = "{word}"
"""
GUARD = "from buntime import Response\ndef on_request(request): return Response('closed', 403)\n"


def source(word: str) -> str:
    return SAYS.replace("{word}", word)


def plugin(name: str, code: str, **manifest: object) -> bytes:
    return packed({"plugin.py": code}, name=name, **manifest)


def audit(word: str, **manifest: object) -> bytes:
    return plugin("audit", source(word), base="/audit", visibility="public", **manifest)


SAME = audit("same")  # made once, as a later archive would have another time in it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("installing")


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    write_plugin(folder / "plugins", "byhand", "")
    with plugged(folder, **AS_ROOT) as runtime:
        wait_for_state(runtime, "byhand", "serving")
        yield runtime


@pytest.fixture
def operator(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> PluginOperator:
    return PluginOperator(runtime, monkeypatch, capsys)


def put(runtime: Runtime, name: str, archive: bytes, query: str = "") -> Answer:
    fields = {"X-API-Key": runtime.operators_key or "", "Content-Type": "application/gzip"}
    path = f"/api/plugins/{name}{query}"
    return fetch(runtime, path, method="PUT", headers=fields, body=archive)


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error["code"]


def seen(folder: Path) -> set[str]:
    """The files in the plugins folder, except for bytecode and turns."""
    return {
        f"{path.relative_to(folder)}{' -> ' + os.readlink(path) if path.is_symlink() else ''}"
        for path in (folder / "plugins").rglob("*")
        if "__pycache__" not in path.parts and path.name not in ("turn", "filler")
    } - {"plugins/.releases"}


def bare(folder: Path) -> set[str]:
    """The same without the folders that would hold releases."""
    return {each for each in seen(folder) if each.count("/") != 2 or ".releases" not in each}


def settled(runtime: Runtime, folder: Path) -> set[str]:
    """The same, once nothing is left of plugins that were removed."""

    def is_settled() -> bool:
        below = [each.split("/") for each in bare(folder) if each.startswith("plugins/.releases/")]
        return {each[2] for each in below} <= plugins_of(runtime).keys()

    wait_until(is_settled, 20, "the removal of files")
    return bare(folder)


@contextmanager
def traffic(runtime: Runtime, path: str) -> Iterator[list[bytes]]:
    """Send requests all the time; each answer must be 200."""
    done, answers, failed = threading.Event(), list[bytes](), list[Answer]()

    def ask() -> None:
        while not done.wait(0.02):
            answer = fetch(runtime, path)
            answers.append(answer.body)
            if answer.status != 200:
                failed.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: answers)
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []


def test_installed_replaced_removed(operator: PluginOperator, folder: Path) -> None:
    """A command installs a plugin from a folder, replaces it and removes it; no request is lost
    meanwhile, nor by an installation that fails."""
    runtime, mine = operator.runtime, folder / "mine"
    manifest = {"base": "/swapped", "visibility": "public"}
    write_plugin(mine, "swapped", source("one"), version="1.0.0", **manifest)
    before = settled(runtime, folder)
    with traffic(runtime, "/hello"):
        told = operator.run("install", str(mine / "swapped"))
        assert told.splitlines()[-1].endswith("active")
        assert fetch(runtime, "/swapped/").body == b"one"
        with traffic(runtime, "/swapped/") as answers:
            write_plugin(mine, "swapped", source("two"), version="1.1.0", **manifest)
            operator.run("install", str(mine / "swapped"))
            wait_until(lambda: answers[-1] == b"two")
            write_plugin(mine, "swapped", "1 / 0", version="1.2.0", **manifest)
            told = operator.run("install", str(mine / "swapped"), code=1)
            assert "swapped failed at booted: swapped does not serve: failed to load" in told
            assert "division by zero" in told
            assert set(answers) == {b"one", b"two"}
            assert answers[-1] == b"two"
        shown = operator.show("swapped")
        assert (shown["version"], shown["isInstalled"], shown["state"]) == (
            "1.1.0", True, "serving",
        )  # fmt: skip
        assert shown["generation"] is not None
        entries = operator.audited("plugins.install")
        entries = [each for each in entries if each["subject"] == "swapped"]
        assert [each["result"] for each in entries] == ["failed: plugin_failed", "done", "done"]
        assert [each["after"]["version"] for each in entries] == ["1.1.0", "1.1.0", "1.0.0"]
        told = operator.run("install", str(folder / "missing"), code=2)
        assert f"{folder}/missing cannot be read: there is no such" in told
        told = operator.run("install", str(mine / "swapped"), "--dry-run")
        assert told.splitlines()[-1].endswith("tried")
        operator.run("options", "swapped")
        assert operator.run("remove", "swapped", "--dry-run") == "swapped: would be removed"
        assert operator.run("remove", "swapped") == "swapped: removed"
    assert "swapped" not in plugins_of(runtime)
    assert fetch(runtime, "/swapped/").status == 404
    wait_until(lambda: bare(folder) == before, 20)
    assert operator.audited("plugins.remove")[0]["before"]["version"] == "1.1.0"


def test_the_same_again(runtime: Runtime) -> None:
    """Installing the same again changes nothing, also if the digest shows it before the upload."""
    archive, other = (
        plugin("again", source(word), base="/again", visibility="public")
        for word in ("same", "other")
    )
    first = put(runtime, "again", archive)
    assert (first.status, first.json()["step"]) == (201, "active")
    again = put(runtime, "again", archive)
    assert (again.status, again.json()["step"]) == (200, "unchanged")
    assert again.headers["ETag"] == first.headers["ETag"]
    fields = {"X-API-Key": runtime.operators_key or "", "If-Match": '"another"'}
    late = fetch(runtime, "/api/plugins/again", method="PUT", headers=fields, body=other)
    assert refused(late) == (412, "precondition_failed")
    assert fetch(runtime, "/again/").body == b"same"


@pytest.mark.parametrize(
    ("name", "archive", "query", "said"),
    [
        ("audit", audit("x", stag="access"), "", (422, "manifest_invalid")),
        ("other", audit("x"), "", (422, "manifest_invalid")),
        ("audit", packed({"plugin.py": ""}), "", (422, "manifest_invalid")),
        ("audit", packed({"other.py": ""}, name="audit"), "", (422, "manifest_invalid")),
        ("new", plugin("new", "", dependencies=["none"]), "", (422, "plugin_refused")),
        ("new", plugin("new", "", base="/keyval"), "", (422, "plugin_refused")),
        ("new", plugin("new", "", config={"key": {"type": "string", "required": True}}), "",
         (422, "plugin_refused")),
        ("new", plugin("new", "1 / 0"), "", (422, "plugin_failed")),
        ("new", plugin("new", "x", entrypoint="app.py"), "", (422, "manifest_invalid")),
        ("new", tar(("../evil", {}, b"x")), "", (422, "member_outside")),
        ("new", tar(("a", {"type": b"2", "linkname": "/etc/passwd"})), "", (422, "link_outside")),
        ("new", b"nonsense", "", (415, "archive_unknown")),
        ("new", plugin("new", "")[:-20], "", (422, "archive_damaged")),
        ("keyval", plugin("keyval", ""), "", (409, "plugin_bundled")),
        ("byhand", plugin("byhand", ""), "", (409, "plugin_in_the_way")),
        ("..", plugin("new", ""), "", (404, "not_found")),
    ],
)  # fmt: skip
def test_what_is_refused(
    runtime: Runtime, folder: Path, name: str, archive: bytes, query: str, said: tuple[int, str]
) -> None:
    """A refused installation leaves nothing behind, does not stop what serves, and says why."""
    put(runtime, "audit", SAME)
    generation, before = plugins_of(runtime)["audit"]["generation"], settled(runtime, folder)
    answer = put(runtime, name, archive, query)
    assert refused(answer)[0] == said[0], answer.error
    if said[1] not in ("member_outside", "link_outside", "not_found"):
        assert refused(answer) == said
    assert bare(folder) == before
    assert fetch(runtime, "/audit/").body == b"same"
    assert plugins_of(runtime)["audit"]["generation"] == generation
    assert "new" not in plugins_of(runtime)


def test_a_guard(operator: PluginOperator) -> None:
    """A guard that does not serve is not installed, as it would close the paths it covers; removing
    one that serves needs a second confirmation."""
    runtime = operator.runtime
    manifest = {"stage": "access", "match": {"apps": ["hello"]}}
    broken = put(runtime, "gate", plugin("gate", "1 / 0", **manifest))
    assert refused(broken) == (422, "plugin_failed")
    wait_until(lambda: "gate" not in plugins_of(runtime))
    assert fetch(runtime, "/hello").status == 200
    assert put(runtime, "gate", plugin("gate", GUARD, **manifest)).status == 201
    assert fetch(runtime, "/hello").status == 403
    worse = put(runtime, "gate", plugin("gate", "1 / 0", **manifest))
    assert refused(worse) == (422, "plugin_failed")
    assert fetch(runtime, "/hello").status == 403
    unasked = operator.ask("DELETE", "/api/plugins/gate")
    assert refused(unasked) == (409, "not_confirmed")
    assert "what gate guards will be open" in operator.run("remove", "gate", code=1)
    assert fetch(runtime, "/hello").status == 403
    assert operator.run("remove", "gate", "--yes") == "gate: removed"
    assert fetch(runtime, "/hello").status == 200


def test_what_cannot_be_removed(operator: PluginOperator) -> None:
    """Plugins built in, put there by hand, or needed by others cannot be removed."""
    assert "comes with Buntime" in operator.run("remove", "keyval", code=1)
    assert "was not put there by an install" in operator.run("remove", "byhand", code=1)
    runtime = operator.runtime
    put(runtime, "base", plugin("base", ""))
    put(runtime, "top", plugin("top", "", dependencies=["base"]))
    assert "top needs base" in operator.run("remove", "base", code=1)
    worse = put(runtime, "base", plugin("base", "", enabled=False))
    assert refused(worse) == (422, "plugin_refused")
    assert operator.run("remove", "top", "base").splitlines() == ["top: removed", "base: removed"]


def test_options_first(operator: PluginOperator, folder: Path) -> None:
    """A plugin that needs options is installed disabled; its options are removed with it."""
    config = {"token": {"type": "password", "required": True}}
    archive = folder / "needy-1.0.0.tar.gz"
    archive.write_bytes(plugin("needy", "", config=config))
    assert "--disabled" in operator.run("install", str(archive), code=1)
    operator.run("install", str(archive), "--disabled")
    assert operator.show("needy")["state"] == "disabled"
    operator.run("options", "needy", "token=-", stdin="hunter2")
    assert operator.run("enable", "needy") == "needy: serving"
    operator.run("remove", "needy")
    assert "needy" not in (folder / "s/plugin-options.json").read_text()
    assert "needy" not in (folder / "s/plugins.json").read_text()


def test_not_without_a_sandbox(runtime: Runtime) -> None:
    """Its manifest cannot switch the sandbox off, like that of an app that came by the API."""
    assert put(runtime, "bold", plugin("bold", "", sandbox="off")).status == 201
    workers = fetch(runtime, "/api/workers").json()["workers"]
    assert [each["sandbox"] for each in workers if each["app"] == "plugin:bold"] == ["standard"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone runs plugins as others")
def test_not_as_root(tmp_path: Path) -> None:
    """A plugin that came by the API never runs as root unless an operator says so."""
    (tmp_path / "plugins").mkdir()
    with plugged(tmp_path) as runtime:
        for manifest in ({}, {"user": "root"}, {"user": "0:0"}):
            answer = put(runtime, "audit", audit("one", **manifest))
            assert refused(answer) == (422, "plugin_failed")
            assert "deployed by the API does not run as root" in answer.error["message"]
        assert "audit" not in plugins_of(runtime)


def test_nowhere_to_go(tmp_path: Path) -> None:
    """Without a writable folder, the answer says which setting names one."""
    with plugged(tmp_path) as runtime:
        answer = put(runtime, "audit", audit("one"))
        assert refused(answer) == (403, "plugins_off")
        assert f"{tmp_path}/plugins does not exist" in answer.error["message"]
        assert "RUNTIME_PLUGIN_DIRS" in answer.error["message"]


def test_killed(tmp_path: Path) -> None:
    """A runtime killed while the new code loads starts with the old; nothing is left behind."""
    (tmp_path / "plugins").mkdir()
    with plugged(tmp_path, **AS_ROOT) as runtime:
        assert put(runtime, "audit", audit("old")).status == 201
        before = seen(tmp_path)
        slow = "import time\nprint('loading', flush=True)\ntime.sleep(60)\n" + source("new")
        archive = plugin("audit", slow, base="/audit", visibility="public")

        def install() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                put(runtime, "audit", archive)

        thread = threading.Thread(target=install)
        thread.start()
        runtime.wait_for_plugin_line("loading")
        assert fetch(runtime, "/audit/").body == b"old"
        assert seen(tmp_path) != before
        os.kill(runtime.pid, signal.SIGKILL)
        runtime.process.wait(20)
        thread.join()
    with plugged(tmp_path, **AS_ROOT) as runtime:
        runtime.wait_for_record("plugin.install_undone")
        wait_for_state(runtime, "audit", "serving")
        assert fetch(runtime, "/audit/").body == b"old"
        assert seen(tmp_path) == before


def test_a_full_disk(tmp_path: Path) -> None:
    """The old plugin serves on, nothing is left behind, and what is there can be removed."""
    with (
        small_disk(tmp_path / "plugins", size="60m", inodes=1000),
        plugged(tmp_path, **AS_ROOT) as runtime,
    ):
        assert put(runtime, "audit", audit("old")).status == 201
        before = seen(tmp_path)
        fill(tmp_path / "plugins")
        answer = put(runtime, "audit", audit("new"))
        assert refused(answer) == (507, "disk_full")
        assert seen(tmp_path) == before
        assert fetch(runtime, "/audit/").body == b"old"
        fields = {"X-API-Key": runtime.operators_key or ""}
        path = "/api/plugins/audit"
        assert fetch(runtime, path, method="DELETE", headers=fields).status == 200
        assert fetch(runtime, "/audit/").status == 404


def test_packages(runtime: Runtime) -> None:
    """A plugin's packages are installed with it; if they cannot be, nothing changes."""
    files: dict[str, str | bytes] = {"plugin.py": "import tiny\n" + source("one")}
    files |= package("tiny")
    manifest = {"name": "packed", "base": "/packed", "visibility": "public", "autoInstall": True}
    answer = put(runtime, "packed", packed(files, **manifest))
    assert answer.status == 201, answer.error
    assert "installing" in [each["step"] for each in answer.json()["steps"]]
    assert fetch(runtime, "/packed/").body == b"one"
    files["requirements.lock"] = f"{files['requirements.lock']!s}nothing==1.0\n"
    worse = put(runtime, "packed", packed(files, **manifest))
    assert (worse.status, worse.json()["failed"]) == (422, "installing")
    assert "nothing==1.0" in worse.error["message"]
    assert fetch(runtime, "/packed/").body == b"one"
