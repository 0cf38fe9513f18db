"""The .pyz that the build makes: small, the same at each build, without compiled parts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h11
import httpx
import pytest

from artifacts.installed import find_python
from artifacts.pyz import SIZE_MAX_BYTES, build
from tests.support.harness import ROOT, running, write_app
from tests.test_testing_docs import PAGE as TESTING_PAGE

SITE_PACKAGES = Path(h11.__file__).parents[1]  # here they are pinned by requirements/dev.txt
SOURCES = ("LICENSE", "requirements/runtime.txt", "buntime", "apps", "plugins", "artifacts")


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist") / "buntime.pyz"
    build(SITE_PACKAGES, target)
    return target


def test_size(pyz: Path) -> None:
    """It is small, and can be started directly."""
    assert pyz.stat().st_size < SIZE_MAX_BYTES
    assert pyz.stat().st_mode & 0o777 == 0o755
    assert pyz.read_bytes().startswith(b"#!/usr/bin/env python3\n")


def test_the_same_elsewhere(pyz: Path, tmp_path: Path) -> None:
    """A build in another folder, from files with other times and in another order, is identical."""
    for name in SOURCES:
        source, copy = ROOT / name, tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, copy_function=shutil.copy)
        else:
            shutil.copy(source, copy)
    for path in sorted((tmp_path / "buntime/core").iterdir(), reverse=True):
        path.rename(tmp_path / "aside")  # folders list their entries in the order of creation
        (tmp_path / "aside").rename(path)
    code = "import sys, pathlib; from artifacts.pyz import build; "
    code += f"build(pathlib.Path({str(SITE_PACKAGES)!r}), pathlib.Path('dist/other.pyz'))"
    environ = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environ)
    assert (tmp_path / "dist/other.pyz").read_bytes() == pyz.read_bytes()


# tests/artifacts/test_bundled.py has this one serve.
THIS = ".".join(map(str, sys.version_info[:2]))


@pytest.mark.parametrize("version", sorted({"3.11", "3.12", "3.13", "3.14"} - {THIS}))
def test_pythons(pyz: Path, tmp_path: Path, version: str) -> None:
    """Each other CPython from 3.11 on serves with it, without any packages."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    write_app(tmp_path / "apps/site", {"index.html": "<h1>site</h1>"})
    app = "from buntime import Response\ndef fetch(request):\n    return Response('hello')\n"
    write_app(tmp_path / "apps/once", {"app.py": app})
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with running(tmp_path / "apps", env=env, start=[python, "-I", "-S", str(pyz)]) as runtime:
        assert runtime.wait_for_record("runtime.listening")["python"].startswith(f"{version}.")
        for path, text in (("/once/", "hello"), ("/site/", "<h1>site</h1>")):
            assert (
                text
                in httpx.get(runtime.url + path, trust_env=False, timeout=20, verify=False).text
            )


def test_tests_of_apps(pyz: Path, tmp_path: Path) -> None:
    """The tests of a first app pass with the printed command, which sets the path as
    docs/testing.md says; nothing is installed."""
    env = {"HOME": str(tmp_path), "PATH": str(Path(sys.executable).parent)}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of our tests
    new = [sys.executable, str(pyz), "new", "my apps/shop"]
    told = subprocess.run(new, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert re.search(r"^Serve it: .* --env development$", told.stdout, re.M)
    line = re.findall(r"^Test it:    (.*)     in an environment with pytest$", told.stdout, re.M)[0]
    assert f"PYTHONPATH={pyz}/content pytest " in line
    assert "`PYTHONPATH=./buntime.pyz/content pytest`" in TESTING_PAGE.read_text("utf-8")
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, env=env, check=False, capture_output=True, text=True
    )
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_what_is_in_it(pyz: Path) -> None:
    """It contains only all packages as source with their licences, and the example apps."""
    names = zipfile.ZipFile(pyz).namelist()
    assert {Path(name).suffix for name in names} <= {
        ".py", ".typed", ".txt", ".yaml", ".html", ".css", ".js", ".ts", ".svg", ".toml", ".lock",
        "",
    }  # fmt: skip
    inside = {name.removeprefix("content/").partition("/")[0] for name in names}
    assert {"h11", "yaml", "wsproto", "shtab", "buntime", "apps", "LICENSE"} <= inside
    assert {"cronsim", "pathspec", "prometheus_client"} <= inside
    plugins = {path.name for path in (ROOT / "plugins").glob("*/")}
    carried = [name.split("/") for name in names if name.startswith("content/plugins/")]
    assert {parts[2] for parts in carried} == plugins
    assert not {"pip", "setuptools", "_yaml", "flask", "tests"} & inside
    licensed = {name.split("/")[2] for name in names if name.startswith("content/licenses/")}
    assert {"h11", "PyYAML", "wsproto", "shtab"} <= licensed
    assert {"cronsim", "pathspec", "prometheus_client"} <= licensed
    assert not [name for name in names if "__pycache__" in name]


def test_it_is_the_checkout(pyz: Path) -> None:
    """All files of the runtime, plugins and examples are in it, byte for byte, except for a mark
    that only type checkers read."""
    made = {"__pycache__", "data", "py.typed"}
    with zipfile.ZipFile(pyz) as archive:
        for folder in (ROOT / "buntime", ROOT / "apps", *(ROOT / "plugins").glob("*/")):
            for path in folder.rglob("*"):
                name = path.relative_to(ROOT)
                is_made = made & {*name.parts} or any(p.startswith(".venv") for p in name.parts)
                if path.is_file() and not is_made:
                    assert archive.read(f"content/{name}") == path.read_bytes(), name
