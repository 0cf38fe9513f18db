"""`buntime open`: a sign-in link that only the person who asked for it gets."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from buntime.commands import open as command
from buntime.commands.cli import main
from tests.support.harness import running, write_app
from tests.support.operators import ADMIN, Operator


def test_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The link is printed and signs in; the browser's command line does not contain it."""
    state = tmp_path / "state"
    write_app(tmp_path / "apps/shop", {"app.py": "def fetch(request): ..."})
    opened: list[str] = []
    for name in [*os.environ]:
        if name.startswith(("RUNTIME_", "BUNTIME_", "SSH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(command.webbrowser, "open", lambda url: opened.append(url) or True)
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(state), **ADMIN}
    with running(tmp_path / "apps", env=env):
        assert main(["open", "--state-dir", str(state)], mode="checkout") == 0
        out = capsys.readouterr().out
        [url] = [line.strip() for line in out.splitlines() if "://" in line]
        assert "?token=" in url
        page = Path(opened[0].removeprefix("file://"))
        assert url in page.read_text()
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        base, _, rest = url.partition("/.well")
        operator = Operator(base)
        assert operator.ask("GET", f"/.well{rest}").status == 200
        assert operator.look()["caller"]["source"] == "link"
        assert main(["open", "--json", "--state-dir", str(state)], mode="checkout") == 0
        assert json.loads(capsys.readouterr().out).keys() == {"url", "expiresAt"}
        assert len(opened) == 1
        assert main(["open", "--sign-out", "--state-dir", str(state)], mode="checkout") == 0
        assert operator.ask("GET", "/api/session").status == 401
        capsys.readouterr()
        monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
        assert main(["open", "--state-dir", str(state)], mode="checkout") == 0
        assert "ssh -L " in capsys.readouterr().out
        assert len(opened) == 1


def test_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link can only be made on the host itself."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["open", "--to", "https://apps.example.com"], mode="checkout") == 1
    told = capsys.readouterr().err
    assert "on the host of https://apps.example.com itself: run buntime open --to local" in told


@pytest.mark.parametrize(
    ("environ", "platform", "has"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_displays(environ: dict[str, str], platform: str, has: bool) -> None:
    """A browser is started only if somebody could see it."""
    assert command.has_display(environ, platform) is has
