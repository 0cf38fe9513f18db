"""Chaos of each kind, briefly; `python3 build.py chaos --seconds 600` is the same for longer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.extent import BRIEF, OF_CODE, Extent
from tests.chaos.run import run
from tests.support.launcher import stem_of_workers


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("env", "attack", "extent"),
    [("production", "eight-at-once", BRIEF), ("development", "", OF_CODE)],
    ids=["production", "development"],
)
def test_no_request_is_lost(tmp_path: Path, env: str, attack: str, extent: Extent) -> None:
    """GETs are answered right, and POSTs run once, whatever happens to workers and code; also while
    eight connections send pings, pipelined requests and tiny messages without end.
    """
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    stem = stem_of_workers() if env == "production" else None  # where many workers are killed
    verdict = run(
        tmp_path, seconds=1.5, seed=seed, env=env, attack=attack, extent=extent, stem=stem
    )
    print(verdict)
    assert verdict.failures == []
