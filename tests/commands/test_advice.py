"""What `check` and `doctor` advise is a command line for a shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from buntime.commands.advice import nearest_existing, of_fault, to_own, why_not_writable
from buntime.core.apps.app import Fault


def test_a_read_only_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No owner makes a folder on a read-only file system writable, so that one is shown."""
    there = Path("/proc/self")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert why_not_writable(there) == f"{there} cannot be written to"
    assert to_own(str(there)).startswith("sudo install -d")
    flags = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda _: flags)
    text = f"{there} cannot be written to: its file system is read-only"
    assert why_not_writable(there / "new") == text
    assert to_own(str(there / "new")) == f"findmnt -T {there}"


def test_a_deployed_app(tmp_path: Path) -> None:
    """What was deployed lacks a user, which no change of its manifest gives it."""
    error = f"{tmp_path}/buntime.yaml: an app deployed by the API does not run as root; name a user"
    line = of_fault(Fault("shop", None, tmp_path, error), error, ())
    assert line == "export RUNTIME_APP_USERS='*=nobody'"


def test_a_closed_folder(tmp_path: Path) -> None:
    """The advised line makes a closed folder the user's own and readable, whatever its name."""
    folder = tmp_path / "a $(touch x) shop"
    folder.mkdir()
    folder.chmod(0)
    error = f"{folder}: cannot be read: Permission denied; let the runtime's user read it"
    line = of_fault(Fault("shop", None, folder, error), error, ())
    assert line.startswith('sudo chown -R "$(id -un)" ')
    line = line.replace("sudo ", "")  # the folder is ours here
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    assert folder.stat().st_mode & 0o500 == 0o500
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name]


def test_a_folder_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """A name that is too long stands for a folder of others, which root has none of: the system
    refuses to look at either."""
    folder = tmp_path / ("x" * 300) / "state"
    with pytest.raises(OSError, match="too long"):
        folder.stat()
    assert nearest_existing(folder) == tmp_path
    assert why_not_writable(folder) == ""
