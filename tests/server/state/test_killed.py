"""A runtime that is killed at any moment leaves a state.db that is whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import ROOT
from tests.support.statekills import TRANSACTIONS, Wrong, after, check

# Of some 2,300 in all: `python -m tests.support.statekills` makes them.
SOME = ["--steps", "20000", "--every", "11", "--moments", "100"]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process by its descriptor")
def test_kills(tmp_path: Path) -> None:
    """What was told to be done is there after the kill, and nothing is there in part."""
    seed = random.randrange(10_000)
    command = [sys.executable, "-m", "tests.support.statekills", str(tmp_path), *SOME]
    done = subprocess.run(
        [*command, "--seed", str(seed)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("Wrong")) == (0, 0), (seed, done.stderr)
    _, steps, *_, moments, _, _, _ = done.stdout.split()
    assert int(steps) >= 50
    assert int(moments) == 100


def test_what_is_wrong() -> None:
    """The check finds what is lost, what is there in part, and what nobody has asked for."""
    one, two, three = after({}, 7), after(after({}, 7), 8), after(after(after({}, 7), 8), 9)
    check({}, 7, 1, one)
    check({}, 7, 1, two)
    for told, found in ((2, one), (1, three), (1, {**two, 0: "half"}), (1, {})):
        with pytest.raises(Wrong):
            check({}, 7, told, found)
    with pytest.raises(Wrong):
        check({}, 7, TRANSACTIONS, {})
