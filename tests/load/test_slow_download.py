"""A small form of the download of slow_download.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.slow_download import MB, measure


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_slow_download(tmp_path: Path) -> None:
    """A client reads a little of 2 GB for 2 s, and leaves: no memory grows, the app knows within a
    second, has made hardly more than was read, and its worker is used again."""
    for report in measure(tmp_path, size=2048 * MB, seconds=2):
        assert report.is_good, str(report)
        assert report.made_bytes < report.read_bytes + 12 * MB, str(report)
