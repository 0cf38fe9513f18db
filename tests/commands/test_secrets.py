"""`buntime secrets`: values come from stdin or a prompt, and go into files without a runtime."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from buntime.commands.cli import main
from buntime.server.state.secretfiles import SecretFiles
from buntime.server.state.statefolder import StateFolder
from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, running, wait_until, write_app
from tests.support.runs import run

VALUE = "a-value-that-is-seen-nowhere"


class Shell:
    """Runs commands for one state folder that no runtime holds."""

    def __init__(
        self, state: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.state = state
        self.files = SecretFiles(str(state))
        self._patch = patch
        self._capture = capture

    def run(self, *words: str, stdin: bytes = b"", code: int = 0) -> str:
        """What the command prints, on stdout or stderr; its exit code must be `code`."""
        stream = SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: False)
        self._patch.setattr(sys, "stdin", stream)
        assert main(["secrets", *words], mode="checkout") == code
        out, err = self._capture.readouterr()
        assert VALUE not in out + err
        return (out + err).rstrip("\n")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    state = tmp_path / "state"
    for name in [*os.environ]:
        if name.startswith(("RUNTIME_", "BUNTIME_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RUNTIME_STATE_DIR", str(state))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return Shell(state, monkeypatch, capsys)


def test_without_a_runtime(shell: Shell) -> None:
    """The state folder's files are written as a runtime would, and the folder let go of."""
    told = shell.run("set", "@acme/shop", "KEY", stdin=f"{VALUE}\n".encode())
    assert told == "KEY of @acme/shop is set"
    file = shell.state / "secrets/@acme+shop/KEY"
    assert file.read_text() == VALUE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = shell.run("set", "@acme/shop", "KEY", stdin=f"{VALUE}2".encode())
    assert told == "KEY of @acme/shop is set, in place of the previous value"
    head, row = shell.run("list", "@acme/shop").splitlines()
    assert head.split() == ["NAME", "FROM", "SET"]
    assert row.split()[:2] == ["KEY", "state"]
    assert shell.run("remove", "@acme/shop", "KEY") == "KEY of @acme/shop is removed"
    assert "has no secret KEY" in shell.run("remove", "@acme/shop", "KEY", code=1)
    assert shell.run("list", "@acme/shop") == "@acme/shop has no secrets"


def test_json(shell: Shell) -> None:
    """The same as the API's answers."""
    told = json.loads(shell.run("set", "shop", "KEY", "--json", stdin=VALUE.encode()))
    assert told == {"holder": "shop", "name": "KEY", "replaced": False}
    [secret] = json.loads(shell.run("list", "shop", "--json"))["secrets"]
    assert (secret["name"], secret["origin"]) == ("KEY", "state")


def test_a_state_folder_that_is_held(shell: Shell) -> None:
    """If a runtime that cannot be asked holds the folder, nothing is written behind its back."""
    folder = StateFolder(str(shell.state))
    folder.take()
    try:
        told = shell.run("set", "shop", "KEY", stdin=VALUE.encode(), code=1)
    finally:
        folder.let_go()
    assert "another runtime, process" in told
    assert shell.files.read(None) == {}


@pytest.mark.parametrize(
    "words",
    [("shop", "KEY", VALUE), ("shop", f"KEY={VALUE}"), ("shop", "KEY", "=", VALUE)],
)
def test_a_value_on_the_line(shell: Shell, words: tuple[str, ...]) -> None:
    """A value on the line is refused, with the reason, and a warning that others may know it."""
    told = shell.run("set", *words, code=2)
    assert "every process on this machine can see" in told
    assert "change it where it comes from" in told
    assert not shell.state.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "an action is missing (write set, list, remove; see buntime secrets --help)"),
        (("sett", "shop", "KEY"), "did you mean set?"),
        (("set", "shop"), "needs an APP and the NAME of a secret"),
        (("list",), "needs an APP"),
        (("list", "shop", "KEY"), "needs an APP"),
        (("remove", "../x", "KEY"), "is neither an app nor a plugin"),
        (("set", "shop", "key"), "is not the name of a secret"),
        (("set", "shop", "PYTHONPATH"), "cannot be a secret"),
    ],
)
def test_other_mistakes(shell: Shell, words: tuple[str, ...], said: str) -> None:
    """Mistakes are reported with what to write instead."""
    assert said in shell.run(*words, stdin=VALUE.encode(), code=2)


@pytest.mark.parametrize("stdin", [b"", b"\n", VALUE.encode() + b"\xff", b"x" * 70_000])
def test_no_value(shell: Shell, stdin: bytes) -> None:
    """An invalid value is reported without showing any of it."""
    assert "stdin: the value" in shell.run("set", "shop", "KEY", stdin=stdin, code=2)


def test_check_and_doctor(shell: Shell, tmp_path: Path) -> None:
    """Both name the missing secret and the command to set it; with the secret the app is fine."""
    app = "from buntime import secret\nVALUE = secret('KEY')\ndef fetch(request): ...\n"
    write_app(tmp_path / "apps/shop", {"app.py": app}, secrets=["KEY"])
    words = "the secret KEY is not set; set it with: buntime secrets set shop KEY"
    env = {"RUNTIME_STATE_DIR": str(shell.state)}
    checked = run("check", "apps", cwd=tmp_path, env=env)
    assert checked.returncode == 1
    assert f"buntime.yaml: secrets: {words}" in checked.stdout
    assert f"WARNING: shop: {words}" in run("doctor", "apps", cwd=tmp_path, env=env).stdout
    shell.run("set", "shop", "KEY", stdin=VALUE.encode())
    checked = run("check", "apps", cwd=tmp_path, env=env)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert words not in run("doctor", "apps", cwd=tmp_path, env=env).stdout


def test_the_runtime_of_this_machine(shell: Shell, tmp_path: Path) -> None:
    """The runtime is asked by its socket, without a key; it uses the value at once and keeps it."""
    app = "from buntime import Response, secret\nKEY = secret('KEY')\n"
    app += "def fetch(request): return Response(str(len(KEY)))\n"
    write_app(tmp_path / "apps/shop", {"app.py": app}, secrets=["KEY"])
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(shell.state)}
    with running(tmp_path / "apps", env=env) as runtime:
        assert fetch(runtime, "/shop/").status == 500
        assert shell.run("set", "shop", "KEY", stdin=VALUE.encode()) == "KEY of shop is set"
        wait_until(lambda: fetch(runtime, "/shop/").body == str(len(VALUE)).encode())
        told = shell.run("set", "shop", "KEY", stdin=VALUE.encode())
        assert told == "KEY of shop is set, in place of the previous value"
        told = shell.run("remove", "shop", "NONE", code=1)
        assert "has no secret NONE" in told
    assert shell.run("list", "shop").splitlines()[1].split()[0] == "KEY"


def test_a_runtime_is_asked(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime adds what it knows about the app."""
    app = "from buntime import Response\ndef fetch(_): return Response('')\n"
    write_app(tmp_path / "apps/shop", {"app.py": app}, secrets=["KEY", "MORE"])
    with running(tmp_path / "apps", env={"RUNTIME_MASTER_KEY": OPERATORS_KEY}) as runtime:
        monkeypatch.setenv("BUNTIME_KEY", OPERATORS_KEY)
        to = ("--to", runtime.url)
        assert shell.run("set", "shop", "KEY", *to, stdin=VALUE.encode()) == "KEY of shop is set"
        told = shell.run("set", "blog", "KEY", *to, stdin=VALUE.encode())
        assert told.splitlines()[1].startswith("there is no blog yet")
        told = shell.run("set", "shop", "OTHER", *to, stdin=VALUE.encode())
        assert "write `secrets: [OTHER]`" in told
        assert "MORE is missing: buntime secrets set shop MORE" in shell.run("list", "shop", *to)
        told = shell.run("remove", "shop", "KEY", *to)
        assert "new ones do not load" in told
        told = shell.run("set", "shop@preview", "KEY", *to, stdin=VALUE.encode())
        assert told.startswith("KEY of shop@preview is set")
    assert not (shell.state / "secrets").exists()
