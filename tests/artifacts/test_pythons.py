"""Which Pythons the wheel is tried with, and where."""

from __future__ import annotations

import ast
import sys
import tomllib

from artifacts import installed, pythons
from tests.support.harness import ROOT


def test_all_that_are_promised() -> None:
    """The wheel is tried with exactly the Pythons that the package names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    named = [line[len(prefix) - 2 :] for line in project["classifiers"] if line.startswith(prefix)]
    assert tuple(named) == installed.VERSIONS


def test_it_runs_anywhere() -> None:
    """What is copied into a Debian imports only the standard library."""
    tree = ast.parse((ROOT / "artifacts/installed.py").read_text("utf-8"))
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert names <= {*sys.stdlib_module_names}


def test_releases() -> None:
    """Each Python that has a Debian release is one of those."""
    assert set(pythons.RELEASES) <= set(installed.VERSIONS)
