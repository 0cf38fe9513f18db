"""Runs one attack beside whatever else is done."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from tests.support.harness import ROOT


@contextlib.contextmanager
def attacker(name: str, port: int) -> Iterator[None]:
    """The attack of this name, in its own process, which must not end before this block does.

    It also ends with this process, even if this process is killed.
    """
    command = [sys.executable, "-m", "tests.siege.attacks", name, str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ}, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the attacker {name} has ended with {process.returncode}")
    finally:
        process.kill()
        process.communicate()
