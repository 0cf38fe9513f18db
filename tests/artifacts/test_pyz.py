"""The .pyz that the build makes: small, the same at each build, without compiled parts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h11
import pytest

from artifacts.pyz import SIZE_MAX_BYTES, build
from tests.harness import ROOT

SITE_PACKAGES = Path(h11.__file__).parents[1]  # here they are pinned by requirements/dev.txt
SOURCES = ("LICENSE", "requirements/runtime.txt", "buntime", "apps", "artifacts")


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist") / "buntime.pyz"
    build(SITE_PACKAGES, target)
    return target


def test_size(pyz: Path) -> None:
    """It is small, and can be started as it is."""
    assert pyz.stat().st_size < SIZE_MAX_BYTES
    assert pyz.stat().st_mode & 0o777 == 0o755
    assert pyz.read_bytes().startswith(b"#!/usr/bin/env python3\n")


def test_the_same_elsewhere(pyz: Path, tmp_path: Path) -> None:
    """A build in another folder, of files of another age, in another order, is the same."""
    for name in SOURCES:
        source, copy = ROOT / name, tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, copy_function=shutil.copy)
        else:
            shutil.copy(source, copy)
    for path in sorted((tmp_path / "buntime/core").iterdir(), reverse=True):
        path.rename(tmp_path / path.name)  # folders list their entries in the order they came
        (tmp_path / path.name).rename(path)
    code = "import sys, pathlib; from artifacts.pyz import build; "
    code += f"build(pathlib.Path({str(SITE_PACKAGES)!r}), pathlib.Path('dist/other.pyz'))"
    environ = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environ)
    assert (tmp_path / "dist/other.pyz").read_bytes() == pyz.read_bytes()


def test_what_is_in_it(pyz: Path) -> None:
    """It has all packages as source with their licences, the example apps, and no more."""
    names = zipfile.ZipFile(pyz).namelist()
    assert {Path(name).suffix for name in names} <= {
        ".py", ".typed", ".txt", ".yaml", ".html", ".css", ".js", ".svg", ".toml", "",
    }  # fmt: skip
    inside = {name.removeprefix("content/").partition("/")[0] for name in names}
    assert {"h11", "yaml", "wsproto", "buntime", "apps", "LICENSE"} <= inside
    assert not {"pip", "setuptools", "_yaml", "flask", "tests"} & inside
    licensed = {name.split("/")[2] for name in names if name.startswith("content/licenses/")}
    assert {"h11", "PyYAML", "wsproto"} <= licensed
    assert not [name for name in names if "__pycache__" in name]
