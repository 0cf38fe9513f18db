"""Runs a command of the tested program in its own process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.harness import UNDER_TEST, command
from tests.support.launcher import complete, is_read_late

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
    stdin: str | IO[str] = "",
) -> subprocess.CompletedProcess[str]:
    """`run("check", "apps")`: its exit code, stdout and stderr, or both in one.

    `stdin` is what the command reads, or a file. The command is forked from a process that has
    imported the program, unless `env` names variables that may be for Python.
    """
    if isinstance(stdin, str):
        with tempfile.TemporaryFile("w+") as file:
            file.write(stdin)
            file.seek(0)
            return run(*words, cwd=cwd, env=env, stderr=stderr, stdin=file)
    line = [*map(str, words)]
    if UNDER_TEST is None and is_read_late(environ(env)):
        is_apart = stderr == subprocess.PIPE
        return complete(
            line, environ(env), str(cwd), TIMEOUT_S, stdin=stdin.fileno(), is_apart=is_apart
        )
    return subprocess.run(
        [*command(), *line],
        cwd=cwd,
        env=environ(env),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
