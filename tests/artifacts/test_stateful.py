"""The script of the chart's init container is read from its template and runs in any shell."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from artifacts.stateful import folders_command
from tests.support.harness import ROOT

TEMPLATE = ROOT / "deploy/helm/buntime/templates/_volumes.tpl"


def test_folders(tmp_path: Path) -> None:
    """On a volume open to all it makes folders that others cannot write, and mends old ones."""
    tmp_path.chmod(0o2777)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o2777)
    [shell, flags, script] = folders_command(TEMPLATE.read_text("utf-8"))
    assert "{{" not in script
    command = [shell, flags, script.replace("/data", str(tmp_path))]
    subprocess.run(command, check=True, umask=0)
    subprocess.run(command, check=True, umask=0)
    assert sorted(os.listdir(tmp_path)) == ["apps", "plugins", "state"]
    for folder in tmp_path.iterdir():
        mode = folder.stat().st_mode
        assert mode & stat.S_IRWXU == stat.S_IRWXU
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH)
