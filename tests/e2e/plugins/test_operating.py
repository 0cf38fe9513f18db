"""Operators look at plugins and switch them, by the API and by `buntime plugins`."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import UNDER_TEST, Runtime, wait_until
from tests.support.pluginfolders import (
    plugged,
    plugins_of,
    post,
    rewrite,
    wait_for_state,
    write_plugin,
)
from tests.support.pluginoperator import PluginOperator

AUDIT = """
from buntime import Response
from buntime.plugin import plugin
def on_response(request, response): pass
def fetch(request): return Response("audit")
"""
GUARD = "def on_request(request): return None\n"
CONFIG = {
    "mode": {"type": "enum", "options": ["fast", "safe"], "default": "safe"},
    "token": {"type": "password"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operating")


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    menus = [{"title": "Trail", "path": "/trail"}]
    write_plugin(
        folder / "plugins", "audit", AUDIT, version="1.2.0", base="/audit", menus=menus,
        config=CONFIG, visibility="public",
    )  # fmt: skip
    write_plugin(folder / "plugins", "gate", GUARD, stage="access", match={"paths": ["/closed/**"]})
    with plugged(folder) as runtime:
        wait_for_state(runtime, "audit", "serving")
        wait_for_state(runtime, "gate", "serving")
        yield runtime


@pytest.fixture
def operator(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> PluginOperator:
    return PluginOperator(runtime, monkeypatch, capsys)


def test_one_plugin(operator: PluginOperator, folder: Path) -> None:
    """The API shows a plugin's state, hooks with counts and times, menus and options."""
    fetch(operator.runtime, "/hello")
    wait_until(lambda: operator.show("audit")["hookCounts"])
    told = operator.show("audit")
    assert (told["state"], told["version"], told["base"]) == ("serving", "1.2.0", "/audit")
    counted = told["hookCounts"]["on_response"]
    assert counted["asked"] >= 1
    assert counted["seconds"] > 0
    assert counted["verdicts"]["done"] + counted["verdicts"]["continue"] >= 1
    assert [menu["path"] for menu in told["menus"]] == ["/trail"]
    mode, token = told["options"]
    assert mode["schema"] == {"type": "enum", "options": ["fast", "safe"], "default": "safe"}
    assert (mode["value"], mode["origin"], mode["isSecret"]) == ("safe", "default", False)
    assert (token["value"], token["origin"], token["isSecret"]) == (None, "not set", True)
    assert told["folder"] == str(folder / "plugins/audit")
    assert operator.show("gate")["guards"]
    assert operator.ask("GET", "/api/plugins/none").error["code"] == "plugin_not_found"


def test_commands(operator: PluginOperator) -> None:
    """The commands print text for people and JSON for programs."""
    told = operator.run("list", "--to", operator.runtime.url)
    assert told.splitlines()[1].split() == ["audit", "1.2.0", "serving", "/audit"]
    told = operator.run("show", "audit")
    assert "state:      serving" in told
    assert "mode    safe   default" in told
    assert operator.json("show", "audit")["version"] == "1.2.0"
    assert "there is no plugin none" in operator.run("show", "none", code=1)
    assert "did you mean show?" in operator.run("shows", "audit", code=2)
    assert "say which" in operator.run("enable", code=2)
    wrong = "audit: unknown option 'mod'; did you mean mode? (allowed are mode, token)"
    assert wrong in operator.run("options", "audit", "mod=fast", code=2)
    assert "takes no folders" in operator.run("list", "x", "--to", "local", code=2)
    assert "leave out --to" in operator.run("check", "--to", "local", code=2)


def test_switching(operator: PluginOperator) -> None:
    """A plugin is disabled, enabled and reset; a dry run says what would change."""
    assert operator.run("disable", "audit", "--dry-run") == "audit: would be changed; it is serving"
    assert operator.show("audit")["enabled"]
    assert operator.run("disable", "audit") == "audit: disabled"
    assert fetch(operator.runtime, "/audit").status == 404
    assert operator.json("enable", "audit") == {"name": "audit", "state": "serving", "why": None}
    assert fetch(operator.runtime, "/audit").status == 200
    assert operator.run("reset", "audit", "gate").splitlines() == [
        "audit: taken back",
        "gate: not switched by an operator",
    ]
    assert operator.show("audit")["switched"] is None


def test_a_guard_is_disabled_after_a_question(operator: PluginOperator) -> None:
    """Disabling a guard opens what it covers; where nobody can be asked, it needs --yes."""
    told = operator.run("disable", "gate", code=1)
    assert "what gate guards will be open to all; add --yes" in told
    assert operator.show("gate")["enabled"]
    assert operator.run("disable", "gate", "--yes") == "gate: disabled"
    assert operator.run("enable", "gate") == "gate: serving"
    assert operator.audited("plugins.disable")[0]["subject"] == "gate"
    assert operator.run("reset", "gate") == "gate: taken back"


def test_reload(operator: PluginOperator, folder: Path) -> None:
    """The exit code of a reload says whether the new code serves."""
    generation = operator.show("audit")["generation"]
    assert operator.run("reload", "audit") == "audit: serving"
    assert operator.show("audit")["generation"] > generation
    rewrite(folder / "plugins/audit", "1 / 0")
    told = operator.run("reload", "audit", code=1)
    assert told.startswith("audit: serving as before: failed to load: ")
    assert "division by zero" in told
    assert fetch(operator.runtime, "/audit").body == b"audit"
    rewrite(folder / "plugins/audit", AUDIT)
    assert operator.run("reload", "audit") == "audit: serving"


def test_reload_of_a_manifest_with_a_fault(operator: PluginOperator, folder: Path) -> None:
    """What serves on is not what was to be loaded: the exit code and the reason say so."""
    file = folder / "plugins/audit/buntime.yaml"
    good = file.read_text()
    file.write_text(good.replace("{", '{"nonsense": 1, ', 1))
    told = operator.run("reload", "audit", code=1)
    assert told.startswith("audit: serving as before: ")
    assert "unknown key 'nonsense'" in told
    file.write_text(good)
    assert operator.run("reload", "audit") == "audit: serving"


def test_what_a_reload_answers(operator: PluginOperator, folder: Path) -> None:
    """The API's answer is of the manifest as it is now: whoever waits for what comes of a reload is
    not told what came of the one before."""
    file = folder / "plugins/audit/buntime.yaml"
    good = file.read_text()
    for text, fault in ((good.replace("{", '{"nonsense": 1, ', 1), True), (good, False)):
        file.write_text(text)
        told = post(operator.runtime, "/api/plugins/audit/reload").json()
        assert ("unknown key" in (told["why"] or "")) == fault, told
    wait_for_state(operator.runtime, "audit", "serving")


@pytest.mark.skipif(UNDER_TEST is not None, reason="changes a part of the runtime")
def test_reload_during_an_earlier_look(tmp_path: Path) -> None:
    """A reload is answered by its own look at the folders: one that was under way may have read
    what has been corrected since."""
    file = write_plugin(tmp_path / "plugins", "audit", AUDIT) / "buntime.yaml"
    good, gate, path = file.read_text(), tmp_path / "gate", "/api/plugins/audit"
    with plugged(tmp_path, first="tests.support.heldlook") as runtime, ThreadPoolExecutor() as pool:
        before = wait_for_state(runtime, "audit", "serving")
        file.write_text(good.replace("{", '{"nonsense": 1, ', 1))
        os.mkfifo(gate)
        os.kill(runtime.pid, signal.SIGHUP)
        with gate.open("wb"):  # once the look has read the fault
            gate.unlink()
            file.write_text(good)
            asked = pool.submit(post, runtime, f"{path}/reload")
            runtime.wait_for_record("plugin.reloading")
        answer, now = asked.result(), fetch(runtime, path).json()
        assert (answer.status, answer.json()["why"], now["why"]) == (202, None, None)
        assert now["isStarting"] or now["generation"] > before["generation"]
        runtime.wait_for_record("plugin.invalid")


def test_reload_of_a_plugin_that_was_left_out(operator: PluginOperator, folder: Path) -> None:
    """Its folder is looked at first: what kept it from running may have been corrected."""
    file = folder / "plugins/audit/buntime.yaml"
    good = file.read_text()
    file.write_text(good.replace("{", '{"dependencies": ["nope"], ', 1))
    assert "left out: needs nope" in operator.run("reload", "audit", code=1)
    assert "left out, needs nope" in operator.run("reload", "audit", code=1)
    file.write_text(good)
    assert operator.run("reload", "audit") == "audit: serving"
    assert fetch(operator.runtime, "/audit").body == b"audit"


def test_reload_of_a_plugin_that_is_new(operator: PluginOperator, folder: Path) -> None:
    """A folder that was copied since the runtime last looked is found by a reload, without SIGHUP;
    one that is not there is not."""
    write_plugin(folder / "plugins", "late", AUDIT.replace("audit", "late"), base="/late")
    assert operator.run("reload", "late") == "late: serving"
    operator.run("reload", "nobody", code=1)
    assert plugins_of(operator.runtime)["late"]["state"] == "serving"


def test_plugins_that_others_need(operator: PluginOperator, folder: Path) -> None:
    """The command names those that a change leaves out."""
    leans = write_plugin(folder / "plugins", "leans", dependencies={"audit": "^1.0"})
    assert operator.run("reload", "audit") == "audit: serving"
    wait_for_state(operator.runtime, "leans", "serving")
    assert operator.run("disable", "audit").splitlines() == [
        "audit: disabled",
        "leans: left out: needs audit ^1.0, which is disabled",
    ]
    assert operator.run("enable", "audit") == "audit: serving"
    wait_for_state(operator.runtime, "leans", "serving")
    file = folder / "plugins/audit/buntime.yaml"
    good = file.read_text()
    file.write_text(good.replace("1.2.0", "2.0.0"))
    assert operator.run("reload", "audit").splitlines() == [
        "audit: serving",
        "leans: left out: needs audit ^1.0, which is 2.0.0",
    ]
    file.write_text(good)
    shutil.rmtree(leans)
    assert operator.run("reload", "audit") == "audit: serving"
    assert operator.run("reset", "audit") == "audit: taken back"


def test_reload_of_a_plugin_that_has_died(operator: PluginOperator) -> None:
    """A reload ends when the new process serves; that an earlier one died is no result of it."""
    os.kill(operator.show("audit")["pid"], signal.SIGKILL)
    wait_for_state(operator.runtime, "audit", "away")
    assert operator.run("reload", "audit") == "audit: serving"


def test_two_operators(operator: PluginOperator) -> None:
    """With If-Match and the ETag that both saw, the second operator is refused."""
    tag = operator.ask("GET", "/api/plugins/audit").headers["ETag"]
    seen = {"If-Match": tag}
    done = operator.ask("POST", "/api/plugins/audit/disable", headers=seen)
    assert done.status == 202
    assert done.headers["ETag"] == operator.ask("GET", "/api/plugins/audit").headers["ETag"] != tag
    late = operator.ask("POST", "/api/plugins/audit/enable", headers=seen)
    assert (late.status, late.error["code"]) == (412, "precondition_failed")
    assert operator.run("reset", "audit") == "audit: taken back"
    wait_for_state(operator.runtime, "audit", "serving")


def test_hooks_that_fail(tmp_path: Path) -> None:
    """Operators are told of each plugin whose hook fails, is late or is skipped, with the last
    reason, and which of them refuse requests."""
    raises = "def on_request(request): raise KeyError('colour')\n"
    late = "import time\ndef on_request(request): time.sleep(2)\n"
    write_plugin(tmp_path / "plugins", "raises", raises, match={"paths": ["/raises"]})
    write_plugin(
        tmp_path / "plugins", "late", late, match={"paths": ["/late"]}, onError="ignore",
        hookTimeout="50ms",
    )  # fmt: skip
    with plugged(tmp_path) as runtime:
        for name in ("raises", "late"):
            wait_for_state(runtime, name, "serving")
        assert items_of(runtime) == {}
        assert [fetch(runtime, "/hello/raises").status for _ in range(3)] == [502] * 3
        assert fetch(runtime, "/hello/late").status == 200
        found = items_of(runtime)
        assert {name: each["level"] for name, each in found.items()} == {
            "raises": "error",
            "late": "warning",
        }
        assert found["raises"]["text"].startswith(
            "on_request of the plugin raises has failed 3 times, each time that it was needed, in "
        )
        assert found["raises"]["text"].endswith(": KeyError: 'colour'")
        assert found["late"]["text"].endswith(": it did not answer in 0.05 s")
        assert "went on without it" in found["late"]["hint"]
        for name, each in found.items():
            assert each["command"] == f"buntime logs plugin:{name} --level warn"


def items_of(runtime: Runtime) -> dict[str, dict[str, str]]:
    """What operators are told of hooks, by the plugin's name."""
    items = fetch(runtime, "/api/attention").json()["items"]
    return {
        each["href"].rpartition("/")[2]: each
        for each in items
        if each["code"] == "plugin_hook_fails"
    }
