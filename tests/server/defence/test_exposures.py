"""The runtime finds places where its apps could read the master key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from buntime.core.settings.load import Settings, load_settings
from buntime.server.defence.exposures import exposures
from tests.support.harness import ROOT

ROOT_UID = 0
IN_A_FILE = "apps can read the file with the master key"
OF_A_PARENT = "apps can read the master key of the process that started this"


def settings_with(env: Mapping[str, str], **args: str) -> Settings:
    return load_settings(
        args={"worker_dirs": "/apps", **args}, environ=env, dotenv={}, mode="pyz", cores=1, cwd="/"
    )


def found(settings: Settings, uid: int) -> list[tuple[str, dict[str, object]]]:
    return [
        (message.partition(";")[0], fields)
        for message, fields in exposures(settings, uid)
        if "memory" not in message  # the tests' own process is readable
    ]


@pytest.mark.parametrize(
    "text",
    ["RUNTIME_MASTER_KEY=sesame\n", "PORT=1\nexport RUNTIME_MASTER_KEY='sesame' # x\n", "sesame\n"],
)
def test_files(tmp_path: Path, text: str) -> None:
    """A file that sets the key, or contains nothing else, is found, whatever its mode."""
    file = tmp_path / "file"
    file.write_text(text)
    file.chmod(0o600)
    settings = settings_with({"RUNTIME_MASTER_KEY": "sesame"}, env_file=str(file))
    assert found(settings, uid=1000) == [(IN_A_FILE, {"file": str(file)})]
    assert found(settings, uid=ROOT_UID) == []
    file.chmod(0o604)
    assert found(settings, uid=ROOT_UID) == [(IN_A_FILE, {"file": str(file)})]


@pytest.mark.parametrize("text", ["RUNTIME_MASTER_KEY=other\n", "PORT=1\n", "no settings at all"])
def test_other_files(tmp_path: Path, text: str) -> None:
    """A file without the key causes no warning."""
    (tmp_path / "file").write_text(text)
    settings = settings_with({"RUNTIME_MASTER_KEY": "k"}, env_file=str(tmp_path / "file"))
    assert found(settings, uid=1000) == []


def test_no_key(tmp_path: Path) -> None:
    """Without a key there is nothing to find."""
    assert found(settings_with({}), uid=1000) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")
def test_whoever_started_the_runtime() -> None:
    """A parent process of the runtime that was started with the key is found, with its pid and
    name."""
    code = f"""
import subprocess, sys
child = \"\"\"
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.server.defence.test_exposures import found, settings_with
print(found(settings_with({{'RUNTIME_MASTER_KEY': 'sesame'}}), uid=1000))
\"\"\"
subprocess.run([sys.executable, "-c", child], env={{}}, check=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"RUNTIME_MASTER_KEY": "sesame"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        told, _ = process.communicate()
    name = os.path.basename(sys.executable)
    assert told == f"{[(OF_A_PARENT, {'pid': process.pid, 'name': name})]}\n"
