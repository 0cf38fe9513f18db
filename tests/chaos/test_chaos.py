"""Chaos of each kind, in short; `python3 build.py chaos --seconds 600` is the same for longer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.run import run


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("env", "seconds"), [("production", 6), ("development", 6)])
def test_no_request_is_lost(tmp_path: Path, env: str, seconds: float) -> None:
    """GETs are answered right, and POSTs run once, whatever happens to workers and code."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    verdict = run(tmp_path, seconds=seconds, seed=seed, env=env)
    print(verdict)
    assert verdict.failures == []


@pytest.mark.timeout(300)
def test_no_request_is_lost_beside_an_attacker(tmp_path: Path) -> None:
    """Pings, pipelined requests and tiny messages without end, by eight connections."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    verdict = run(tmp_path, seconds=5, seed=seed, env="production", attack="eight-at-once")
    print(verdict)
    assert verdict.failures == []
