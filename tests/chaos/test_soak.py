"""A short soak; `python3 build.py soak` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.soak import soak
from tests.support.launcher import stem_of_workers


@pytest.mark.timeout(180)
def test_recycling_leaves_nothing_behind(tmp_path: Path) -> None:
    """After ten replacements the runtime holds what it held before."""
    # The allocator needs 100,000 requests to find its level, but a leak of 2 KiB a request is seen.
    soaked = soak(
        tmp_path, requests=1500, worker_requests=100, memory_tolerance=0.1, stem=stem_of_workers()
    )
    print(soaked)
    assert soaked.failures == []
