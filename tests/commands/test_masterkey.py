"""A master key in a file: read whole, checked, and never guessed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from buntime.commands.masterkey import with_master_key
from buntime.core.errors import UsageError
from buntime.core.settings.load import Settings, load_settings
from tests.support.client import fetch
from tests.support.harness import running, write_app


def settings_with(env: Mapping[str, str]) -> Settings:
    return load_settings(
        args={"worker_dirs": "/apps"}, environ=env, dotenv={}, mode="pyz", cores=1, cwd="/"
    )


def key_in(path: Path) -> str | None:
    return with_master_key(settings_with({"RUNTIME_MASTER_KEY_FILE": str(path)})).master_key


@pytest.mark.parametrize("data", [b"sesame", b"sesame\n", b"sesame\r\n"])
def test_key(tmp_path: Path, data: bytes) -> None:
    """The key is the file's content without a final newline."""
    (tmp_path / "key").write_bytes(data)
    assert key_in(tmp_path / "key") == "sesame"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\n\n", "begins or ends with a space"),
        (b" a", "begins or ends with a space"),
        (b"a\nb\n", "control characters"),
        (b"\xff", "is not UTF-8"),
        (b"a" * 4097, "is longer than 4096 bytes"),
    ],
)
def test_no_key(tmp_path: Path, data: bytes, reason: str) -> None:
    """An invalid key stops the start, and is not shown."""
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match=reason) as caught:
        key_in(tmp_path / "key")
    assert str(caught.value).startswith(f"RUNTIME_MASTER_KEY_FILE: {tmp_path / 'key'}: ")


def test_no_file(tmp_path: Path) -> None:
    """A missing file and a FIFO are errors at once, without waiting."""
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "fifo"):
        with pytest.raises(UsageError, match="cannot be read: "):
            key_in(tmp_path / name)


def test_both() -> None:
    """Two keys are an error."""
    with pytest.raises(UsageError, match="are both set; keep one"):
        with_master_key(
            settings_with({"RUNTIME_MASTER_KEY": "k", "RUNTIME_MASTER_KEY_FILE": "/key"})
        )


def test_a_credential_of_systemd(tmp_path: Path) -> None:
    """A systemd credential with this name is the key, unless another one is set."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert with_master_key(settings_with({}), environ).master_key is None
    (tmp_path / "RUNTIME_MASTER_KEY").write_bytes(b"sesame\n")
    told = with_master_key(settings_with({}), environ)
    assert (told.master_key, told.master_key_file) == ("sesame", f"{tmp_path}/RUNTIME_MASTER_KEY")
    for name in ("RUNTIME_MASTER_KEY", "RUNTIME_MASTER_KEY_FILE"):
        (tmp_path / "other").write_bytes(b"k")
        value = "k" if name == "RUNTIME_MASTER_KEY" else str(tmp_path / "other")
        assert with_master_key(settings_with({name: value}), environ).master_key == "k"
    (tmp_path / "RUNTIME_MASTER_KEY").write_bytes(b"")
    with pytest.raises(UsageError, match="is empty"):
        with_master_key(settings_with({}), environ)


def test_another_key(tmp_path: Path) -> None:
    """SIGHUP reads the file again; if that fails, the old key stays valid."""
    write_app(tmp_path / "apps/locked", {"index.html": "hello"}, visibility="protected")
    key = tmp_path / "key"
    key.write_text("old")

    def status(offered: str) -> int:
        return fetch(runtime, "/locked/", headers={"X-API-Key": offered}).status

    with running(tmp_path / "apps", "--master-key-file", key) as runtime:
        assert [status("old"), status("new")] == [200, 401]
        key.write_text("new")
        runtime.process.send_signal(1)
        assert runtime.wait_for_record("settings.changed")["names"] == ["RUNTIME_MASTER_KEY"]
        assert [status("old"), status("new")] == [401, 200]
        key.write_text("")
        runtime.process.send_signal(1)
        runtime.wait_for_record("settings.rejected")
        assert status("new") == 200
