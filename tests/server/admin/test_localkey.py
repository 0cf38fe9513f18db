"""The developer's key for this machine: in a file that others cannot read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, load_settings
from buntime.server.admin.localkey import NAME, LocalKey
from tests.support.fakes import FakeSink, make_log


def settings(root: Path, env: str = "development", **environ: str) -> Settings:
    environ = {
        "RUNTIME_WORKER_DIRS": str(root),
        "RUNTIME_STATE_DIR": str(root / "state"),
        "RUNTIME_ENV": env,
        **environ,
    }
    return load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)


def local_key(root: Path, **more: Any) -> tuple[LocalKey, FakeSink]:
    sink = FakeSink()
    return LocalKey(LiveSettings(settings(root, **more)), make_log(sink)), sink


def test_it_is_made(tmp_path: Path) -> None:
    """The key is long and random, in a file that only we can read; the log names the file and never
    the key."""
    key, sink = local_key(tmp_path)
    path = tmp_path / "state" / NAME
    assert key.value == path.read_text().strip()
    assert key.value is not None
    assert len(key.value) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (record,) = sink.records
    assert (record.event, record.fields) == ("operators.local_key", {"file": str(path)})
    assert key.value not in repr(key)
    assert os.listdir(tmp_path / "state") == [NAME]


def test_it_stays(tmp_path: Path) -> None:
    """The next run uses the same key, so that a shell can keep it."""
    assert local_key(tmp_path)[0].value == local_key(tmp_path)[0].value


@pytest.mark.parametrize("env", ["production", "staging", "test"])
def test_only_in_development(tmp_path: Path, env: str) -> None:
    """Outside development there is no local key and no file."""
    key, sink = local_key(tmp_path, env=env)
    assert key.value is None
    assert sink.records == []
    assert not (tmp_path / "state").exists()


def test_a_master_key(tmp_path: Path) -> None:
    """With a master key there is no local key, even if the master key is set later."""
    assert local_key(tmp_path, RUNTIME_MASTER_KEY="k")[0].value is None
    live = LiveSettings(settings(tmp_path))
    key = LocalKey(live, make_log(FakeSink()))
    before = key.value
    live.replace(settings(tmp_path, RUNTIME_MASTER_KEY="k"))
    assert key.value is None
    live.replace(settings(tmp_path))
    assert key.value == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_could_read(tmp_path: Path, mode: int) -> None:
    """A key that others could read is replaced by a new one."""
    before, _ = local_key(tmp_path)
    path = tmp_path / "state" / NAME
    path.chmod(mode)
    after, _ = local_key(tmp_path)
    assert after.value != before.value
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "short", "x" * 500, "\u00fc" * 20])
def test_a_file_with_another_text(tmp_path: Path, text: str) -> None:
    """Other text in the file is not taken as a key."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / NAME
    path.write_text(text)
    path.chmod(0o600)
    key, _ = local_key(tmp_path)
    assert key.value == path.read_text().strip()
    assert len(key.value) == 32


def test_a_link(tmp_path: Path) -> None:
    """A link put there by somebody else is not read; it is replaced, not followed."""
    (tmp_path / "state").mkdir()
    other = tmp_path / "other"
    other.write_text("k" * 32)
    other.chmod(0o600)
    (tmp_path / "state" / NAME).symlink_to(other)
    key, _ = local_key(tmp_path)
    assert key.value not in (None, "k" * 32)
    assert other.read_text() == "k" * 32


def test_no_safe_place(tmp_path: Path) -> None:
    """A folder that others can write to, or a path that is no folder: no key, and the log says what
    to do."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    key, sink = local_key(tmp_path)
    assert key.value is None
    assert sink.events() == ["operators.closed"]
    state.rmdir()
    state.write_text("")
    assert local_key(tmp_path)[0].value is None
