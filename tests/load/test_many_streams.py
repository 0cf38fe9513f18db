"""A small form of the load of many_streams.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.many_streams import measure


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_many_streams(tmp_path: Path) -> None:
    """100 WebSockets and 100 event streams get a message a second each: none is lost or late, and
    no connection takes more than 100 kB of the runtime."""
    for report in measure(tmp_path, sockets=100, events=100, seconds=3):
        assert report.is_good, str(report)
        assert report.runtime_kb < 100, str(report)
