"""The release workflow: its commands exist, and its shell scripts do what they should."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from buntime import __version__
from tests.support.harness import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
SCRIPTS = [
    step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step
]


def test_tasks() -> None:
    """Each task of build.py that it runs exists."""
    named = {task for script in SCRIPTS for task in re.findall(r"build\.py (\w+)", script)}
    tasks = (ROOT / "build.py").read_text().partition("TASKS = {")[2].partition("}")[0]
    assert named == {"pyz", "wheel", "binary", "test", "installed", "kills"}
    assert named <= set(re.findall(r'"(\w+)":', tasks))


def test_scripts() -> None:
    """bash can parse each script."""
    for script in SCRIPTS:
        plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
        done = subprocess.run(
            ["bash", "-n"], input=plain, text=True, capture_output=True, check=True
        )
        assert done.stderr == ""


def test_version() -> None:
    """A tag that differs from the version stops the release."""
    [script] = [each for each in SCRIPTS if "GITHUB_REF_NAME" in each and "__version__" in each]
    script = "git() { :; }\n" + script
    for tag, expected in ((f"v{__version__}", 0), ("v99.0.0", 1)):
        env = {"PATH": "/usr/bin:/bin", "GITHUB_REF_NAME": tag}
        done = subprocess.run(["bash", "-e", "-c", script], env=env, cwd=ROOT, check=False)
        assert done.returncode == expected


# Stands in for Python: writes the files that it should build, and notes its arguments.
_PYTHON = """#!/bin/sh
echo "$*" >> asked
mkdir -p dist
case "$2" in
  pyz) echo pyz > dist/buntime.pyz ;;
  wheel) echo wheel > dist/buntime-0.2.0-py3-none-any.whl; echo sdist > dist/buntime-0.2.0.tar.gz ;;
  binary) echo binary > dist/buntime ;;
esac
"""


def test_files(tmp_path: Path) -> None:
    """All four files are built, tested, hashed and attached; those built twice are compared."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python3"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    steps = WORKFLOW["jobs"]["build"]["steps"]
    titles = ("Build", "Test each", "Hash")
    named = [each for each in steps if str(each.get("name")).startswith(titles)]
    assert len(named) == 4
    for step in named:
        script = step["run"].replace("/tmp/first", f"{tmp_path}/first")
        env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
        subprocess.run(["bash", "-e", "-c", script], env=env, cwd=tmp_path, check=True)
    machine = os.uname().machine
    binary = f"buntime-linux-{machine}"
    files = {"buntime.pyz", "buntime-0.2.0-py3-none-any.whl", "buntime-0.2.0.tar.gz", binary}
    assert {path.name for path in (tmp_path / "dist").iterdir()} == {*files, "SHA256SUMS"}
    hashed = (tmp_path / "dist/SHA256SUMS").read_text().splitlines()
    assert {line.split()[1] for line in hashed} == files
    asked = (tmp_path / "asked").read_text().splitlines()
    tested = {line.split()[3] for line in asked if "--artifact" in line}
    assert tested == {"dist/buntime.pyz", f"dist/{binary}"}
    assert "build.py installed" in asked
    attach = next(script for script in SCRIPTS if "gh release create" in script)
    assert "dist/* " in attach
    assert WORKFLOW["jobs"]["build"]["steps"][-1]["with"]["path"] == "dist/"
