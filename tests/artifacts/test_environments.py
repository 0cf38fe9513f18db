"""Environments of build.py's tasks are made with uv."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from artifacts import environments
from artifacts.environments import BuildError, make_environment, make_with_uv
from tests.support.wheels import make_wheel


def wheel_in(folder: Path) -> Path:
    """A wheel with the module `leaf`."""
    name, data = make_wheel("leaf", "1.0", {"leaf.py": "NAME = 'leaf'\n"})
    path = folder / name
    path.write_bytes(data)
    return path


def locked(wheel: Path, digest: str) -> Path:
    """A lock file that names the wheel with this digest."""
    file = wheel.with_name("leaf.txt")
    file.write_text(f"leaf @ {wheel.as_uri()} --hash=sha256:{digest}\n", "utf-8")
    return file


@pytest.mark.parametrize("is_compiled", [True, False])
def test_made(tmp_path: Path, is_compiled: bool) -> None:
    """The packages can be imported, and have bytecode where that is asked for."""
    wheel = wheel_in(tmp_path)
    folder = tmp_path / "made"
    (folder / "left").mkdir(parents=True)
    requirements = locked(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert make_with_uv(folder, requirements, is_compiled)
    assert not (folder / "left").exists(), "an interrupted set-up is not done again"
    code = "import leaf, os; print(leaf.NAME, os.path.exists(leaf.__cached__))"
    python = [folder / "bin/python", "-B", "-c", code]
    done = subprocess.run(python, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["leaf", str(is_compiled)]


def test_another_hash(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A package with another hash is not installed, and pip is asked next."""
    wheel = wheel_in(tmp_path)
    assert not make_with_uv(tmp_path / "made", locked(wheel, "0" * 64), False)
    said = capfd.readouterr().err
    assert "Hash mismatch" in said
    assert "now pip" in said


def test_made_without_pip(tmp_path: Path) -> None:
    """This Python's pip installs into an environment that has none itself."""
    wheel = wheel_in(tmp_path)
    requirements = locked(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest())
    make_environment(tmp_path / "made", requirements, has_pip=False)
    code = "import importlib.util, leaf; print(leaf.NAME, importlib.util.find_spec('pip'))"
    python = [tmp_path / "made/bin/python", "-c", code]
    done = subprocess.run(python, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["leaf", "None"]


def test_no_uv(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where uv itself cannot be installed, pip is asked at once."""

    def refuse(kind: str) -> Path:
        raise BuildError(f"pip could not install requirements/{kind}.txt")

    monkeypatch.setattr(environments, "environment", refuse)
    assert not make_with_uv(tmp_path / "made", locked(wheel_in(tmp_path), "0" * 64), False)
    assert "requirements/lock.txt" in capfd.readouterr().err
