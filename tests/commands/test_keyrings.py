"""Login keys in the system's keyring: the real library, with backends in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError

from buntime.commands.cli import main
from tests.support.harness import OPERATORS_KEY, Runtime, running

KEY = OPERATORS_KEY


class Desktop(KeyringBackend):
    """A keyring as a desktop has one."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    @property
    def name(self) -> str:
        return "Desktop Keyring"

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("no such password")

    def _check(self) -> None:
        if self.is_locked:
            raise KeyringLocked("the keyring is locked")


class Plain(Desktop):
    """A keyring that keeps keys in a plain file, as keyrings.alt has it."""

    priority = 0.5  # type: ignore[assignment]  # which the library has for those


class Forgetful(Desktop):
    """A keyring that takes a key and does not return it."""

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with running(tmp_path_factory.mktemp("apps"), env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


class User:
    """Somebody who logs in, with a home and a keyring of their own."""

    def __init__(
        self,
        home: Path,
        url: str,
        patch: pytest.MonkeyPatch,
        capture: pytest.CaptureFixture[str],
    ) -> None:
        self.url = url
        self.file = home / ".config/buntime/hosts.json"
        self._patch = patch
        self._capture = capture

    def run(self, *words: str, code: int = 0, key: str = "") -> str:
        if key:
            self._patch.setenv("BUNTIME_KEY", key)
        else:
            self._patch.delenv("BUNTIME_KEY", raising=False)
        ended = main([*words], mode="checkout")
        out, err = self._capture.readouterr()
        assert ended == code, (out, err)
        assert KEY not in out + err
        return out + err


@pytest.fixture
def user(
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[User]:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "BUNTIME_TO"):
        monkeypatch.delenv(name, raising=False)
    before = keyring.get_keyring()
    yield User(tmp_path, runtime.url, monkeypatch, capsys)
    keyring.set_keyring(before)


def test_in_the_keyring(user: User) -> None:
    """The keyring keeps the key and the file does not; logging out removes both entries."""
    desktop = Desktop()
    keyring.set_keyring(desktop)
    told = user.run("login", user.url, "--name", "prod", key=KEY)
    assert "kept in Desktop Keyring, the host in" in told
    assert desktop.kept == {(f"buntime {user.url}", "prod"): KEY}
    assert KEY not in user.file.read_text()
    assert json.loads(user.file.read_text())["hosts"] == {
        "prod": {"url": user.url, "keyring": True}
    }
    assert user.file.stat().st_mode & 0o777 == 0o600
    user.run("list")
    user.run("list", "--to", user.url)
    user.run("logout")
    assert desktop.kept == {}
    assert json.loads(user.file.read_text())["hosts"] == {}


@pytest.mark.parametrize("backend", [NoKeyring, Plain, Forgetful])
def test_one_that_will_not_do(user: User, backend: type[KeyringBackend]) -> None:
    """With no keyring, a plain one, or one that loses keys, the key goes into the file, 0600."""
    keyring.set_keyring(backend())
    told = user.run("login", user.url, "--json", key=KEY)
    assert json.loads(told)["keyring"] is None
    assert KEY in user.file.read_text()
    user.run("list")
    user.run("logout")


def test_locked(user: User) -> None:
    """If locked at login, the file takes the key; later it is an error that says what to do."""
    desktop = Desktop()
    desktop.is_locked = True
    keyring.set_keyring(desktop)
    user.run("login", user.url, "--name", "prod", key=KEY)
    assert KEY in user.file.read_text()
    desktop.is_locked = False
    user.run("login", user.url, "--name", "prod", key=KEY)
    assert KEY not in user.file.read_text()
    desktop.is_locked = True
    for words in (("list",), ("logout",)):
        told = user.run(*words, code=1)
        assert "the keyring is locked" in told
        assert "--no-keyring" in told
    assert user.run("list", key=KEY)
    keyring.set_keyring(NoKeyring())  # as in a session without a desktop
    assert "cannot be read now" in user.run("list", code=1)
    assert json.loads(user.file.read_text())["default"] == "prod"


def test_the_key_before_goes(user: User) -> None:
    """The old key leaves the keyring when the login moves into the file."""
    desktop = Desktop()
    keyring.set_keyring(desktop)
    user.run("login", user.url, "--name", "prod", key=KEY)
    user.run("login", user.url, "--name", "prod", "--no-keyring", key=KEY)
    assert desktop.kept == {}
    assert KEY in user.file.read_text()
    user.run("list")


def test_it_is_imported_when_it_is_needed() -> None:
    """The library is slow to import: commands load it only for a key that is in a keyring."""
    code = (
        "import sys, buntime.commands.login, buntime.commands.logout, buntime.commands.targets\n"
        "sys.exit('keyring' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
