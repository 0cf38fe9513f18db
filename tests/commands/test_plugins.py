"""`buntime plugins`: what is listed, and which faults are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.commands.cli import main
from buntime.server.plugins.switches import Switches
from buntime.server.state.statefolder import StateFolder
from tests.support.harness import write_app
from tests.support.pluginfolders import write_plugin


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("RUNTIME_WORKER_DIRS", raising=False)


def test_list_is_in_the_order_of_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each plugin that starts has its place, and each that does not says why."""
    folder = tmp_path / "plugins"
    write_plugin(folder, "a", dependencies=["b"], version="1.2.0")
    write_plugin(folder, "b", base="/b")
    write_plugin(folder, "c", dependencies=["d"])
    write_plugin(folder, "d", enabled=False)
    assert main(["plugins", "list", str(folder)], mode="checkout") == 0
    assert capsys.readouterr().out.splitlines() == [
        "1. b 0.0.0 (base /b)",
        "2. a 1.2.0",
        "-  c 0.0.0: needs d, which is disabled",
        "-  d 0.0.0: disabled",
    ]


def test_check_tells_all_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every plugin is checked, whatever is wrong with others, and the exit code is 1."""
    folder = tmp_path / "plugins"
    write_plugin(folder, "good")
    write_plugin(folder, "typo", stag="access")
    write_plugin(folder, "empty", None)
    write_plugin(folder, "other", name="another")
    write_plugin(folder, "wants", config={"path": {"type": "string", "required": True}})
    write_plugin(folder, "x", dependencies=["y"])
    write_plugin(folder, "y", dependencies=["x"])
    write_plugin(folder, "hides", base="/shop")
    write_app(tmp_path / "apps" / "shop", {"app.py": ""})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_WORKER_DIRS", str(tmp_path / "apps"))
        assert main(["plugins", "check", str(folder)], mode="checkout") == 1
    out = capsys.readouterr().out
    told = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
    assert told["good 0.0.0"] == "ok"
    assert "did you mean stage" in told["typo"]
    assert "there is no plugin.py" in told["empty"]
    assert "name another: its folder is other" in told["other"]
    assert "path is required" in told["wants"]
    assert "x -> y -> x" in told["x"]
    assert "x -> y -> x" in told["y"]
    assert "hides the app" in told["hides"]
    assert out.endswith("8 plugins, 7 at fault\n")


def test_check_of_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without faults the exit code is 0; a disabled plugin is no fault."""
    write_plugin(tmp_path / "plugins", "audit", enabled=False)
    assert main(["plugins", "check", str(tmp_path / "plugins")], mode="checkout") == 0
    assert capsys.readouterr().out == "audit 0.0.0: ok, disabled\n1 plugin, none at fault\n"


def test_what_is_no_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown action, none at all, or a missing folder is a usage error."""
    for line in (["plugins"], ["plugins", "hide"], ["plugins", "check", str(tmp_path / "no")]):
        assert main(line, mode="checkout") == 2
    assert main(["plugins", "check", str(tmp_path)], mode="checkout") == 1
    assert "no plugins in" in capsys.readouterr().out


def test_reset_takes_a_switch_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`reset` undoes what operators switched, but only while no runtime holds the state folder."""
    folder = str(tmp_path / "state")
    held = StateFolder(folder)
    held.take()
    Switches(held, lambda *_, **__: None).set("a", enabled=False, by="here")
    assert main(["plugins", "reset", "a"], mode="checkout") == 1
    assert "another runtime, process" in capsys.readouterr().err
    held.let_go()
    assert main(["plugins", "reset", "a", "b"], mode="checkout") == 0
    told = capsys.readouterr().out.splitlines()
    assert told == ["a: taken back", "b: not switched by an operator"]
    assert Switches(StateFolder(folder), lambda *_, **__: None).of("a") is None
    assert main(["plugins", "reset"], mode="checkout") == 2
