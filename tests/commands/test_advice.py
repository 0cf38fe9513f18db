"""What `check` and `doctor` advise is a command line for a shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

from buntime.commands.advice import of_fault
from buntime.core.apps.app import Fault


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
