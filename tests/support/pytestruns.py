"""Runs pytest by forking a process that has imported it, which takes longer than most runs.

`complete("pytest", args, cwd)` is like a `subprocess.run` of `python -m pytest ARGS`. Plugins of
installed packages are not loaded. This module is also the program of the process that forks, see
tests/support/forking.py. That imports pytest's own plugins and no other modules that pytest would
rewrite.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.forking import ROOT, Forked, Forks, fork_for_each

TIMEOUT_S = 50.0


def complete(module: str, args: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGS` in this folder to its end, with our root folder on its path."""
    asked = {"module": module, "args": args, "cwd": str(cwd), "env": dict(os.environ)}
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        files = (nothing, output, errors)
        process = Forked(_forks().start(asked, [each.fileno() for each in files]))
        try:
            code = process.wait(TIMEOUT_S)
        finally:
            process.kill()
        texts = []
        for each in (output, errors):
            each.seek(0)
            texts.append(each.read())
    return subprocess.CompletedProcess([module, *args], code, *texts)


@functools.cache
def _forks() -> Forks:
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ROOT}
    return Forks([sys.executable, "-m", "tests.support.pytestruns"], env)


# The process that forks


def main() -> int:
    """Import pytest, then fork for each line that comes."""
    for name in importlib.import_module("_pytest.config").default_plugins:
        importlib.import_module(f"_pytest.{name}")
    importlib.import_module("pytest")
    gc.collect()
    gc.freeze()
    return fork_for_each(int(sys.argv[1]), _become)


def _become(asked: dict[str, Any], streams: list[int]) -> Callable[[], int]:
    for its, ours in enumerate(streams):
        os.dup2(ours, its)
    for ours in streams:
        os.close(ours)
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    os.environ.update(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTHONPATH=ROOT)
    sys.path[0] = asked["cwd"]
    sys.argv[1:] = asked["args"]
    module = asked["module"]

    def run() -> int:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return 0

    return run


if __name__ == "__main__":
    raise SystemExit(main())
