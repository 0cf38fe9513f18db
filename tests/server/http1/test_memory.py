"""Memory that is kept for buffers."""

import subprocess
import sys

import pytest

FAULTS = """
from resource import RUSAGE_SELF, getrusage
from buntime.server.http1.memory import keep_freed_memory
before = getrusage(RUSAGE_SELF).ru_minflt
keep_freed_memory()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_it_touches_no_memory() -> None:
    """A start does not wait for the kernel to clear 256 pages that nobody uses."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True)
    assert int(done.stdout) < 64
