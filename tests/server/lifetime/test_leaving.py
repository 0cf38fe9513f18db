"""A thread that waits for ever delays neither the process's end nor its last tasks."""

from __future__ import annotations

import subprocess
import sys

from tests.support.harness import ROOT

CODE = f"""
import atexit, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from buntime.server.lifetime.leaving import leave, wait_for_threads
atexit.register(print, "at exit")
threading.Thread(target=time.sleep, args=(0.05,), name="soon").start()
threading.Thread(target=time.sleep, args=(600,), name="a daemon", daemon=True).start()
print(wait_for_threads(5))
threading.Thread(target=time.sleep, args=(600,), name="never").start()
print(wait_for_threads(0.05))
leave(7)
"""


def test_leaving() -> None:
    """Threads that end are awaited; those that do not are named, and abandoned."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, timeout=20, check=False
    )
    assert done.stdout == "[]\n['never']\nat exit\n"
    assert done.returncode == 7
