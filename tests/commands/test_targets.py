"""Which runtime a command is for, with which key; and what login keeps of both."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from buntime.commands.arguments import Command
from buntime.commands.logins import Login, Logins, logins_path, read_logins, write_logins
from buntime.commands.targets import Target, find_target, remote, split_url
from buntime.core.errors import CommandError, UsageError

PROD = Login("https://apps.example.com", "bt_prod")
LAB = Login("http://10.0.0.5:8000/hosting", "bt_lab", is_insecure=True)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with two logins, of which `prod` is the default."""
    made = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    write_logins(Logins({"lab": LAB, "prod": PROD}, "prod"), made)
    return made


def found(environ: dict[str, str], **args: object) -> Target:
    return find_target(Command("list", args), "checkout", environ)


def test_the_rule(environ: dict[str, str], tmp_path: Path) -> None:
    """--to wins over --state-dir, then come the variable, the default login, and this machine."""
    folder = tmp_path / "state/buntime"
    folder.mkdir(parents=True)
    (folder / "control.sock").touch()
    assert found(environ).name == "prod (https://apps.example.com)"
    assert found(environ, to="lab").name == "lab (http://10.0.0.5:8000/hosting)"
    assert found(environ, to="https://apps.example.com/").key == "bt_prod"
    assert found(environ, to="apps.example.com").key == "bt_prod"
    assert found(environ, to="local").socket == str(folder / "control.sock")
    assert found(environ, state_dir=str(folder)).socket == str(folder / "control.sock")
    assert found(environ | {"BUNTIME_TO": "lab"}).key == "bt_lab"
    assert found(environ | {"BUNTIME_TO": "local"}).socket == str(folder / "control.sock")
    assert found(environ | {"BUNTIME_TO": "lab"}, to="prod").key == "bt_prod"
    assert found(environ | {"BUNTIME_KEY": "bt_ci"}, to="prod").key == "bt_ci"
    other = found(environ | {"BUNTIME_KEY": "bt_ci"}, to="https://other.example.com:8443")
    assert (other.host, other.port, other.is_tls, other.key) == (
        "other.example.com", 8443, True, "bt_ci",
    )  # fmt: skip
    assert found(environ, to="https://other.example.com").key == ""  # never another host's key
    lab = found(environ, to="lab")
    assert (lab.host, lab.port, lab.is_tls, lab.path) == ("10.0.0.5", 8000, False, "/hosting")
    write_logins(Logins(), environ)
    assert found(environ).socket == str(folder / "control.sock")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"to": "pord"}, "there is no login 'pord'; did you mean prod?"),
        ({"to": "prod", "state_dir": "/x"}, "give one"),
        ({"to": "http://other.example.com"}, "unencrypted"),
        ({"to": "ftp://x"}, "is not the address of a runtime"),
        ({"to": "https://u:p@x"}, "leave the user and the password out"),
        ({"to": "https://x/?q"}, "has a ? or #"),
        ({"to": "https://x:99999"}, "is not the address"),
        ({"to": "https://x y"}, "is not the address"),
        ({"to": "https://"}, "is not the address"),
    ],
)
def test_faulty_places(environ: dict[str, str], args: dict[str, str], says: str) -> None:
    """An invalid address is an error that says why."""
    with pytest.raises(UsageError) as caught:
        found(environ | {"BUNTIME_KEY": "bt_x"}, **args)
    assert says in str(caught.value)


def test_keys_in_plain(environ: dict[str, str]) -> None:
    """Over http a key goes only to this machine, unless the user allows more."""
    for url in ("http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"):
        assert remote(Login(url, "bt_x")).key == "bt_x"
    with pytest.raises(UsageError):
        remote(Login("http://localhost.example.com", "bt_x"))
    keyed = environ | {"BUNTIME_KEY": "bt_x"}
    assert found(keyed, to="http://other.example.com", insecure=True).key == "bt_x"
    assert found(environ, to="http://other.example.com").key == ""
    write_logins(Logins({"x": Login("http://other.example.com", "bt_x")}), environ)
    with pytest.raises(UsageError, match="unencrypted"):
        found(environ, to="x")


@pytest.mark.parametrize("key", ["a b", "a\nb", "ключ", "a\x1b"])
def test_faulty_keys(environ: dict[str, str], key: str) -> None:
    """A key that no header field could hold is refused, and not shown."""
    with pytest.raises(UsageError) as caught:
        found(environ | {"BUNTIME_KEY": key})
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("apps.example.com", "https://apps.example.com"),
        ("apps.example.com:8443/x/", "https://apps.example.com:8443/x"),
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost.example.com", "https://localhost.example.com"),
    ],
)
def test_urls_without_a_scheme(text: str, url: str) -> None:
    """A URL without a scheme is http for this machine, and otherwise https."""
    assert split_url(text).geturl().rstrip("/") == url


def test_nothing_here(tmp_path: Path) -> None:
    """Without a login or a runtime the error says how to get either."""
    with pytest.raises(CommandError) as caught:
        found({"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)})
    assert (caught.value.code, caught.value.exit_code) == ("unreachable", 3)
    assert "buntime login URL" in caught.value.message


def test_a_folder_that_the_user_may_not_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to start a runtime because the one that is there belongs to another user."""
    real = os.stat

    def stat(path: str, **more: object) -> object:
        if str(path).endswith("control.sock"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(CommandError, match="may not enter the state folder") as caught:
        found({"HOME": str(tmp_path)}, state_dir=str(tmp_path))
    assert (caught.value.code, caught.value.exit_code) == ("unreachable", 3)
    assert "as root" in caught.value.message
    assert "start one" not in caught.value.message


def test_a_key_that_a_runtime_has_left(tmp_path: Path) -> None:
    """Where no runtime has its socket, the key of its file is sent to nobody."""
    (tmp_path / "local.key").write_text("k" * 32 + "\n")
    with pytest.raises(CommandError, match="no runtime on this machine"):
        found({"HOME": str(tmp_path), "PORT": "1234"}, state_dir=str(tmp_path))


def test_logins(tmp_path: Path) -> None:
    """Logins are kept unchanged in a file that is closed to others."""
    environ = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert read_logins(environ) == Logins()
    logins = Logins().with_login("lab", LAB).with_login("prod", PROD)
    before = os.umask(0)
    try:
        path = write_logins(logins, environ)
    finally:
        os.umask(before)
    assert path == str(tmp_path / "config/buntime/hosts.json")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert os.listdir(os.path.dirname(path)) == ["hosts.json"]
    assert read_logins(environ) == logins
    assert logins.without("lab").default == "prod"
    assert logins.without("prod") == Logins({"lab": LAB}, "")
    assert "bt_" not in repr(logins)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "is not what buntime login writes"),
        (b"[]", "is not what buntime login writes"),
        (b'{"hosts": {"a": {"url": 1, "key": "x"}}}', "is not what"),
        (b"[" * 100_000, "is not what"),
        (None, "chmod 600"),
    ],
)
def test_faulty_files(environ: dict[str, str], text: bytes | None, says: str) -> None:
    """A file that is not ours, or that others can read, is refused."""
    path = Path(logins_path(environ))
    if text is None:
        path.chmod(0o644)
    else:
        path.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        read_logins(environ)
    assert says in str(caught.value)


def test_a_full_disk(environ: dict[str, str]) -> None:
    """If logins cannot be written, the existing ones stay."""
    folder = Path(logins_path(environ)).parent
    (folder / f"hosts.json.{os.getpid()}").mkdir()
    with contextlib.closing(open(os.devnull)), pytest.raises(UsageError, match="cannot be written"):
        write_logins(Logins(), environ)
    assert read_logins(environ).default == "prod"


def test_a_read_only_disk(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime may run that could make no socket for commands."""
    with pytest.raises(CommandError) as caught:
        found(environ, state_dir="/")
    assert str(caught.value).endswith("or log in to a host (buntime login URL)")
    flags = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda _: flags)
    with pytest.raises(CommandError) as caught:
        found(environ, state_dir="/")
    assert str(caught.value).endswith("has no state, nor a socket for commands")
