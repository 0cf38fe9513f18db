"""Operators set options of running plugins: kept, refused, and passwords never shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin
from tests.support.pluginoperator import PluginOperator

PASSWORD = "a-password-that-is-seen-nowhere"
TELLS = """
import hashlib, json
from buntime import Response
from buntime.plugin import plugin

def on_init():
    if plugin.config["mode"] == "broken":
        raise ValueError("no such mode")

def fetch(request):
    told = dict(plugin.config)
    told["token"] = hashlib.sha256((told["token"] or "").encode()).hexdigest()
    return Response(json.dumps(told))
"""
CONFIG = {
    "mode": {"type": "enum", "options": ["fast", "safe", "broken"], "default": "safe"},
    "days": {"type": "number", "min": 1, "max": 90},
    "debug": {"type": "boolean", "default": False},
    "hosts": {"type": "array"},
    "token": {"type": "password"},
}
NEEDY = {"key": {"type": "string", "required": True}, "other": {"type": "string"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options")


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    for name, overlap in (("beside", True), ("alone", False)):
        write_plugin(
            folder / "plugins", name, TELLS, base=f"/{name}", visibility="public", config=CONFIG,
            overlap=overlap,
        )  # fmt: skip
    write_plugin(folder / "plugins", "needy", TELLS.replace('"mode"', '"key"'), config=NEEDY)
    write_plugin(folder / "plugins", "set", TELLS, base="/set", visibility="public", config=CONFIG)
    (folder / "config.yaml").write_text("plugins: {set: {options: {days: 7}}}")
    with plugged(folder, RUNTIME_CONFIG=str(folder / "config.yaml")) as runtime:
        for name in ("beside", "alone", "set"):
            wait_for_state(runtime, name, "serving")
        yield runtime


@pytest.fixture
def operator(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> PluginOperator:
    return PluginOperator(runtime, monkeypatch, capsys)


def has(runtime: Runtime, plugin: str) -> dict[str, object]:
    """The options that the plugin itself has."""
    told: dict[str, object] = fetch(runtime, f"/{plugin}/").json()
    return told


def kept(folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    told: dict[str, dict[str, dict[str, object]]] = json.loads(
        (folder / "s/plugin-options.json").read_bytes()
    )
    return told


def test_set_and_taken_back(operator: PluginOperator, folder: Path) -> None:
    """An operator wins over the config file until a reset; each value shows its origin."""
    assert has(operator.runtime, "set")["days"] == 7
    told = operator.run("options", "set", "days=30", "mode=fast", "hosts=a,b", "debug=yes")
    assert "days    30          an operator (" in told
    assert "debug   true" in told
    now = has(operator.runtime, "set")
    assert (now["days"], now["mode"], now["hosts"]) == (30, "fast", ["a", "b"])
    options = operator.ask("GET", "/api/config").json()["plugins"]["set"]["options"]
    assert options["days"]["value"] == 30
    assert options["days"]["origin"].startswith("an operator (")
    entry = operator.audited("plugins.options")[0]
    assert (entry["subject"], entry["result"]) == ("set", "done")
    assert entry["before"] == {"days": 7, "mode": "safe", "hosts": None, "debug": False}
    assert entry["after"] == {"days": 30, "mode": "fast", "hosts": ["a", "b"], "debug": True}
    told = operator.run("options", "set", *(
        f"--unset={each}" for each in ("days", "mode", "hosts", "debug")
    ))  # fmt: skip
    assert f"days    7      {folder}/config.yaml:1" in told
    assert has(operator.runtime, "set")["mode"] == "safe"
    assert "set" not in kept(folder)


@pytest.mark.parametrize("plugin", ["beside", "alone"])
def test_values_with_which_it_does_not_serve(
    operator: PluginOperator, folder: Path, plugin: str
) -> None:
    """Such values are refused with the reason; the former ones serve on, and are kept."""
    operator.run("options", plugin, "days=12")
    told = operator.run("options", plugin, "mode=broken", "days=13", code=1)
    assert f"{plugin} does not serve with these options, but does with the previous ones" in told
    assert "no such mode" in told
    wait_for_state(operator.runtime, plugin, "serving")
    now = has(operator.runtime, plugin)
    assert (now["mode"], now["days"]) == ("safe", 12)
    assert kept(folder)[plugin]["days"]["value"] == 12
    entry = operator.audited("plugins.options")[0]
    assert (entry["result"], entry["after"]) == ("plugin_failed", None)
    generation = operator.show(plugin)["generation"]
    operator.run("options", plugin, "days=12")  # the same again starts nothing
    assert operator.show(plugin)["generation"] == generation


def test_no_request_is_lost(operator: PluginOperator) -> None:
    """No request is lost while options change, nor while such a change fails."""
    runtime, answers, is_over = operator.runtime, [], threading.Event()

    def ask() -> None:
        while not is_over.wait(0.01):
            answers.append(fetch(runtime, "/beside/").status)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 3):
            operator.run("options", "beside", f"days={number}")
            operator.run("options", "beside", "mode=broken", code=1)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert len(answers) > 20
    assert set(answers) == {200}


def test_a_password(operator: PluginOperator, folder: Path) -> None:
    """A password reaches only the plugin: no answer, log line, audit entry or other file has it."""
    assert "every process on this machine can see" in operator.run(
        "options", "alone", f"token={PASSWORD}", code=2
    )
    told = operator.run("options", "alone", "token=-", stdin=f"{PASSWORD}\n")
    assert "token   ********" in told
    token = has(operator.runtime, "alone")["token"]
    assert token == sha256(PASSWORD.encode()).hexdigest()
    bad = operator.ask("PUT", "/api/plugins/alone/options", {"token": [PASSWORD]})
    assert (bad.status, bad.error["code"]) == (400, "bad_option")
    late = operator.ask("PUT", "/api/plugins/alone/options", {"token": PASSWORD, "mode": "broken"})
    assert late.error["code"] == "plugin_failed"
    answers = [
        operator.ask("GET", path).body.decode()
        for path in ("/api/plugins", "/api/plugins/alone", "/api/config", "/api/audit")
    ]
    seen = [told, bad.body.decode(), late.body.decode(), *answers, repr(operator.runtime.records)]
    assert not any(PASSWORD in each for each in seen)
    files = [path for path in (folder / "s").rglob("*") if path.is_file()]
    assert [path.name for path in files if PASSWORD.encode() in path.read_bytes()] == [
        "plugin-options.json"
    ]
    assert (folder / "s/plugin-options.json").stat().st_mode & 0o777 == 0o600


def test_what_is_refused_at_once(operator: PluginOperator) -> None:
    """Options outside the schema are refused, with every fault; nothing changes or reloads."""
    before = operator.show("beside")
    path = "/api/plugins/beside/options"
    bad = operator.ask("PUT", path, {"mod": 1, "days": 91, "hosts": "a"})
    assert (bad.status, bad.error["code"]) == (400, "bad_option")
    for said in ("unknown option 'mod'; did you mean mode?", "days: 91 is too large", "not a list"):
        assert said in bad.error["message"]
    for value in ([], "x", 1, None):
        assert operator.ask("PUT", path, value or []).status == 400
    assert operator.ask("PUT", "/api/plugins/none/options", {}).status == 404
    told = operator.ask("PUT", f"{path}?dryRun=1", {"days": 5}).json()
    assert [each["value"] for each in told["options"] if each["name"] == "days"] == [5]
    late = operator.ask("PUT", path, {"days": 5}, {"If-Match": '"another"'})
    assert late.status == 412
    after = operator.show("beside")
    assert (after["options"], after["generation"]) == (before["options"], before["generation"])
    assert "did you mean days?" in operator.run("options", "beside", "day=1", code=2)
    assert "91 is too large" in operator.run("options", "beside", "days=91", code=1)
    assert "is not a KEY=VALUE" in operator.run("options", "beside", "days", code=2)


def test_one_that_lacks_something(operator: PluginOperator, folder: Path) -> None:
    """A plugin gets the options it lacks and starts; they cannot be unset after that."""
    assert "key is required" in operator.show("needy")["why"]
    operator.run("options", "needy", "other=x")  # half of what it lacks
    operator.run("options", "needy", "key=k")
    wait_for_state(operator.runtime, "needy", "serving")
    told = operator.run("options", "needy", "--unset", "key", code=1)
    assert "plugins.needy.options.key is required" in told
    assert kept(folder)["needy"]["key"]["value"] == "k"


def test_a_disk_that_keeps_nothing(operator: PluginOperator, folder: Path) -> None:
    """A failed write to the state folder is reported, and the options stay as kept there."""
    operator.run("options", "beside", "days=20")
    path, aside = folder / "s/plugin-options.json", folder / "s/aside"
    path.rename(aside)
    path.mkdir()
    try:
        told = operator.run("options", "beside", "days=21", code=1)
        assert "cannot be saved in the state folder; nothing was changed" in told
    finally:
        path.rmdir()
        aside.rename(path)
    wait_for_state(operator.runtime, "beside", "serving")
    assert operator.audited("plugins.options")[0]["result"] == "state_not_kept"
    operator.run("reload", "beside")
    assert has(operator.runtime, "beside")["days"] == 20


def test_another_start(tmp_path: Path) -> None:
    """Options that were set still hold at the next start, though the config file differs."""
    write_plugin(
        tmp_path / "plugins", "beside", TELLS, base="/beside", visibility="public", config=CONFIG
    )
    state = tmp_path / "s"
    state.mkdir(0o711)
    told = {
        "days": {"value": 3, "by": "local", "at": ""},
        "token": {"value": "t", "isSecret": True},
    }
    (state / "plugin-options.json").write_text(json.dumps({"beside": told}))
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "beside", "serving")
        assert has(runtime, "beside")["days"] == 3
