"""`--json` of commands that ask no runtime: one value on stdout, with the same exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buntime.commands import progress
from tests.support.harness import write_app
from tests.support.pluginfolders import write_plugin
from tests.support.runs import run


def test_check(tmp_path: Path) -> None:
    """Each app with its fault and stack, or how it was loaded."""
    write_app(tmp_path / "apps/good", {"app.py": "def fetch(request): ..."})
    write_app(tmp_path / "apps/broken", {"app.py": "raise ValueError('no luck')"})
    write_app(tmp_path / "apps/site", {"index.html": "<p>hello"})
    done = run("check", "apps", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    apps = {each["app"]: each for each in told["apps"]}
    assert (done.returncode, told["faults"], len(apps)) == (1, 1, 3)
    assert (apps["good"]["ok"], apps["good"]["error"]) == (True, None)
    assert "no luck" in apps["broken"]["error"]
    assert "raise ValueError" in apps["broken"]["stack"]
    assert apps["broken"]["command"] == '"${EDITOR:-vi}" +1 apps/broken/app.py'
    assert apps["good"]["command"] is None
    assert (apps["site"]["files"], apps["site"]["python"]) == (1, None)


def test_doctor_and_plugins(tmp_path: Path) -> None:
    """The findings, and the plugins in the order of their start."""
    (tmp_path / "apps").mkdir()
    done = run("doctor", "apps", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == (1 if told["faults"] else 0)
    assert {"topic", "text", "mark", "command"} == set(told["findings"][0])
    write_plugin(tmp_path / "plugins", "audit", nonsense=1)
    done = run("plugins", "check", "plugins", "--json", cwd=tmp_path)
    [plugin] = json.loads(done.stdout)["plugins"]
    assert (done.returncode, plugin["plugin"], plugin["starts"]) == (1, "audit", False)
    assert "nonsense" in plugin["faults"][0]
    (tmp_path / "empty").mkdir()
    done = run("plugins", "list", "empty", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"plugins": [], "faults": 0})


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1kb"), (4_750_000, "4.53mb"),
     (1_047_527_424, "999mb"), (5 << 30, "5gb"), (1_000 << 20, "1000mb")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    """Sizes have three digits, or more if all of them are before the point."""
    assert progress.rounded(size) == text


def test_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal shows the progress, a pipe shows nothing."""
    quiet = progress.Bar("sending", 1000)
    quiet.update(1000)
    quiet.done()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    bar = progress.Bar("sending", 2048)
    for done in (1024, 1025, 2048):  # the second one follows too soon to be shown
        bar.update(done)
    bar.done()
    half, whole, gone = capsys.readouterr().err.split("\r")[1:]
    assert half == f"sending 1kb of 2kb [{'#' * 12}{' ' * 12}]  50%\x1b[K"
    assert whole == f"sending 2kb of 2kb [{'#' * 24}] 100%\x1b[K"
    assert gone == "\x1b[K"
