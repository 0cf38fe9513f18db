"""What the runtime removes from its environment is nowhere in its process any more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.confined import without_sight
from tests.support.harness import ROOT

# Prints what it had, and waits while another process inspects it.
WITHDRAWS = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from buntime.server.defence.protection import close_process, is_closed, withdraw
environ = withdraw(["A_KEY", "NOT_SET"])
print(environ["A_KEY"], environ["OTHER"], "NOT_SET" in environ)
print(repr(os.environ["A_KEY"]), os.environ["OTHER"], "NOT_SET" in os.environ)
print(b"secret" in open("/proc/self/environ", "rb").read())
if "--close" in sys.argv:
    close_process()
print(is_closed(), flush=True)
sys.stdin.read()
"""
# Executes the program with a variable twice in its environment, which no shell allows.
TWICE = f"""
import ctypes, sys
strings = lambda *some: (ctypes.c_char_p * (len(some) + 1))(*some, None)
ctypes.CDLL(None).execve(sys.executable.encode(),
    strings(sys.executable.encode(), b"-c", {WITHDRAWS.encode()!r}),
    strings(b"A_KEY=secret", b"OTHER=public", b"A_KEY=secret too"))
"""
LOOK = """
import sys
try:
    print(b"OTHER=public" in open(f"/proc/{sys.argv[1]}/environ", "rb").read())
except PermissionError:
    print("closed")
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")


def started(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        without_sight([sys.executable, "-c", code, *words]),
        env={"A_KEY": "secret", "OTHER": "public"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("code", [WITHDRAWS, TWICE], ids=["once", "twice"])
def test_a_secret_is_wiped(code: str) -> None:
    """A secret is returned once; after that it is neither in `os.environ` nor visible in /proc."""
    with started(code) as process:
        told, _ = process.communicate()
    assert told.splitlines() == ["secret public False", "'' public False", "False", "False"]


@pytest.mark.parametrize(("words", "seen"), [((), "True\n"), (("--close",), "closed\n")])
def test_a_closed_process(words: tuple[str, ...], seen: str) -> None:
    """A process that has closed itself hides everything from other processes of the same user."""
    look = without_sight([sys.executable, "-c", LOOK])
    with started(WITHDRAWS, *words) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        done = subprocess.run(
            [*look, str(process.pid)], stdout=subprocess.PIPE, text=True, check=True
        )
        process.communicate()
    assert lines[-1] == f"{bool(words)}\n"
    assert done.stdout == seen


def test_a_program_that_it_starts_is_open() -> None:
    """Programs that a closed process starts are not closed: workers can be debugged as before."""
    code = f"""
import subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from buntime.server.defence.protection import close_process
close_process()
code = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
subprocess.run([sys.executable, "-c", code], check=True)
"""
    with started(code) as process:
        told, _ = process.communicate()
    assert told == "1\n"
