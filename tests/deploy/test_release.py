"""The release workflow: its commands exist, and its shell scripts do what they are for."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml

from buntime import __version__
from tests.support.harness import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
SCRIPTS = [
    step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step
]


def test_tasks() -> None:
    """Each task of build.py that is run is one."""
    named = {task for script in SCRIPTS for task in re.findall(r"build\.py (\w+)", script)}
    tasks = (ROOT / "build.py").read_text().partition("TASKS = {")[2].partition("}")[0]
    assert named == {"pyz", "binary", "test", "kills"}
    assert named <= set(re.findall(r'"(\w+)":', tasks))


def test_scripts() -> None:
    """bash can read each script."""
    for script in SCRIPTS:
        plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
        done = subprocess.run(
            ["bash", "-n"], input=plain, text=True, capture_output=True, check=True
        )
        assert done.stderr == ""


def test_version() -> None:
    """A tag that is not the version stops the release."""
    [script] = [each for each in SCRIPTS if "GITHUB_REF_NAME" in each and "__version__" in each]
    script = "git() { :; }\n" + script
    for tag, expected in ((f"v{__version__}", 0), ("v99.0.0", 1)):
        env = {"PATH": "/usr/bin:/bin", "GITHUB_REF_NAME": tag}
        done = subprocess.run(["bash", "-e", "-c", script], env=env, cwd=ROOT, check=False)
        assert done.returncode == expected
