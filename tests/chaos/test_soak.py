"""A short soak; `python3 build.py soak` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.soak import soak


@pytest.mark.timeout(180)
def test_recycling_leaves_nothing_behind(tmp_path: Path) -> None:
    """After ten replacements the runtime holds what it held before."""
    soaked = soak(tmp_path, requests=5000)
    print(soaked)
    assert soaked.failures == []
