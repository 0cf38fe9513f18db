"""Runs a command of the tested program in its own process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.harness import command


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
    """`run("check", "apps")`: its exit code, stdout and stderr, or both in one."""
    return subprocess.run(
        [*command(), *map(str, words)],
        cwd=cwd,
        env=environ(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=40,
        check=False,
    )
