"""`buntime keys`: keys are made, listed and revoked on the host, without a login."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buntime.commands.cli import main
from buntime.core.access.keytext import is_key
from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app

Ask = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "state"


@pytest.fixture(scope="module")
def runtime(state: Path) -> Iterator[Runtime]:
    """In production, without any key."""
    write_app(state.parent / "apps/shop", {"app.py": "def fetch(request): ..."}, ttl=60)
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": "",
        "RUNTIME_STATE_DIR": str(state),
    }
    with running(state.parent / "apps", env=env) as runtime:
        yield runtime


@pytest.fixture
def ask(
    state: Path,
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ask:
    """Runs `buntime keys`, and returns what it prints on stdout and stderr."""
    for name in [*os.environ]:
        if name.startswith(("RUNTIME_", "BUNTIME_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0, to: str = "") -> tuple[str, str]:
        where = ["--to", to] if to else ["--state-dir", str(state)]
        assert main(["keys", *words, *where], mode="checkout") == code
        out, err = capsys.readouterr()
        return out, err

    return run


def test_a_key_from_end_to_end(ask: Ask, runtime: Runtime) -> None:
    """A new key is printed alone, opens what its role says, is listed without text, and revoked."""
    out, err = ask("add", "forge", "--role", "viewer,data:read", "--apps", "shop*")
    key = out.strip()
    assert is_key(key)
    assert "the key forge is viewer, data:read at shop* for good" in err
    bears = {"X-API-Key": key}
    assert fetch(runtime, "/api/workers", headers=bears).status == 200
    [row] = [each for each in ask("list")[0].splitlines() if each.startswith("forge ")]
    assert row.split()[:5] == ["forge", key[:7], "viewer,data:read", "shop*", "active"]
    assert key not in ask("list", "--json")[0]
    assert ask("revoke", "forge")[0] == "the key forge is revoked\n"
    assert fetch(runtime, "/api/workers", headers=bears).status == 401


def test_with_a_key(ask: Ask, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that may make keys makes them from elsewhere, but none with more rights."""
    key = json.loads(ask("add", "boss", "--role", "keys:write", "--role", "keys:read", "--json")[0])
    monkeypatch.setenv("BUNTIME_KEY", key["key"])
    out, _ = ask("add", "other", "--role", "keys:read", "--expires", "1h", to=runtime.url)
    assert is_key(out.strip())
    _, err = ask("add", "third", "--role", "admin", to=runtime.url, code=4)
    assert "it would have the rights" in err
    names = [each["name"] for each in json.loads(ask("list", "--json", to=runtime.url)[0])["keys"]]
    assert {"boss", "other"} <= set(names)


def test_dry_run(ask: Ask) -> None:
    """A dry run checks the line, and makes no key."""
    out, err = ask("add", "later", "--role", "admin", "--dry-run")
    assert (out, err.startswith("the key later would be admin")) == ("", True)
    assert "there is no key later" in ask("revoke", "later", code=1)[1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "write add, list, make, revoke"),
        (("make", "x"), 2, "needs a --role"),
        (("make", "x", "--role", "root"), 2, "there is no"),
        (("make", "a b", "--role", "admin"), 2, "write letters, digits"),
        (("ad", "x"), 2, "did you mean add?"),
        (("add",), 2, "needs the NAME"),
        (("add", "x"), 2, "needs a --role"),
        (("list", "x"), 2, "needs nothing more"),
        (("revoke", "x", "--role", "admin"), 2, "--role is for keys add"),
        (("add", "x", "--role", "amdin"), 1, "'amdin' is not one of"),
        (("add", "x", "--role", "admin", "--expires", "soon"), 1, "'soon' is neither a moment"),
    ],
)
def test_mistakes(ask: Ask, words: tuple[str, ...], code: int, said: str) -> None:
    """Mistakes are reported with what to write instead."""
    assert said in ask(*words, code=code)[1]


def test_why_a_key_opens_an_app(ask: Ask, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`buntime access explain` shows each check, and exits with 1 if one denies access."""
    ask("add", "reader", "--role", "logs:read")

    def explain(*words: str) -> tuple[int, str]:
        code = main(["access", "explain", *words, "--state-dir", str(state)], mode="checkout")
        out, err = capsys.readouterr()
        return code, out + err

    code, told = explain("shop", "/admin")
    assert code == 0
    _, row, end = told.splitlines()
    assert row.split(maxsplit=2) == ["visibility", "yes", "the app is public: no key is needed"]
    assert end == "let in"
    code, told = explain("shop", "--key", "reader", "--right", "apps:deploy")
    assert (code, "lacks the right apps:deploy: 403" in told) == (1, True)
    assert "there is no key nobody" in explain("shop", "--key", "nobody")[1]
    assert "there is no app none" in explain("none")[1]
    assert "to ask about a right, name a key" in explain("shop", "--right", "apps:read")[1]
