"""Runs a command of the tested program in its own process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.harness import UNDER_TEST, command, is_read_late
from tests.support.launcher import complete

TIMEOUT_S = 40.0


def environ(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """A command's environment, with `env` added."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | dict(
        env or {}
    )


def run(
    *words: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """`run("check", "apps")`: its exit code, stdout and stderr, or both in one.

    It is forked from a process that has imported the program, unless `env` names variables that may
    be for Python.
    """
    line = [*map(str, words)]
    if UNDER_TEST is None and is_read_late(environ(env)):
        is_apart = stderr == subprocess.PIPE
        return complete(line, environ(env), str(cwd), TIMEOUT_S, is_apart=is_apart)
    return subprocess.run(
        [*command(), *line],
        cwd=cwd,
        env=environ(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
