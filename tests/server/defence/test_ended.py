"""Has a child process ended?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from buntime.server.defence import ended, libcended
from tests.support.harness import wait_until

WAYS = [ended.has_ended, libcended.has_ended]


@pytest.mark.parametrize("has_ended", WAYS, ids=["python", "libc"])
def test_a_child_that_ends(has_ended: Callable[[int], bool]) -> None:
    """It is seen as long as nobody reaps it, and its exit code stays for who does."""
    words = [sys.executable, "-I", "-c", "import sys; input(); sys.exit(3)"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        assert not has_ended(child.pid)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        wait_until(lambda: has_ended(child.pid), what="the end of a child")
        assert has_ended(child.pid)
        assert child.wait() == 3
        with pytest.raises(ChildProcessError):
            has_ended(child.pid)
