"""`build.py kills [--seed N]`: kills what writes state.db a thousand times, and checks the file.

- `--steps`: kills at this many instructions of SQLite's machine, from the opening of a new file to
  the last of some deeds, at equal distances;
- `--writes`: kills in this many system calls by which SQLite changes a file, in the same life;
- `--moments`: kills after random times in lives that go on where the last one was cut;
- `--migrations`: kills at this many instructions and calls while a filled file of each earlier
  version of the tables is brought to the newest.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from buntime.server.state import statefile
from buntime.server.state.migrations import SCRIPTS
from tests.kills.dying import default_vfs
from tests.kills.life import Life, Wrong, check, check_chain, live, look, made_at, stages

DEEDS = 9
NEVER = 10**9  # no life has this many instructions
_MOMENT_MAX_S = 0.02
_LIFE = 40  # kills that one file lives through


def by_number(folder: Path, what: str, count: int, life: Life, base: Path | None = None) -> int:
    """Kill at this many instructions or calls (`at_step`, `at_write`) of a life; returns kills."""
    state, copy = folder / "state", folder / "copy"

    _begin(state, base)
    length = live(state, life._replace(**{what: NEVER})).counted
    expected = stages(None if base is None else base / statefile.NAME, life)
    killed = 0
    for number in _spread(length, count, life.first):
        _begin(state, base)
        lived = live(state, life._replace(**{what: number}))
        file, found = look(state, copy)
        check(found, expected, lived, life.deeds)
        killed += lived.was_killed
        if base is None:
            check_chain(file)
        if live(state, life._replace(deeds=0)).was_killed:  # what is left can be opened
            raise Wrong(f"killed by nobody after {what} {number}")
    return killed


def _begin(state: Path, base: Path | None) -> None:
    shutil.rmtree(state, ignore_errors=True)
    if base is not None:
        shutil.copytree(base, state)


def _spread(length: int, count: int, seed: int) -> Iterator[int]:
    """Up to `count` numbers from 1 to `length`, at equal distances; the seed sets the first."""
    every = max(1.0, length / max(1, count))
    number = 1.0 + seed % int(every)
    while number <= length and count:
        yield int(number)
        number += every


def by_moments(folder: Path, count: int, seed: int) -> int:
    """Kill at random moments of long lives; returns the kills."""
    chance = random.Random(seed)
    state, copy = folder / "state", folder / "copy"
    killed = begun = 0
    file = None
    while killed < count:
        if begun % _LIFE == 0:
            _begin(state, None)
            file = None
        begun += 1
        life = Life(seed + 100 * begun, DEEDS, after_s=chance.uniform(0.0, _MOMENT_MAX_S))
        expected = stages(file, life)
        lived = live(state, life)
        file, found = look(state, copy)
        check(found, expected, lived, life.deeds)
        check_chain(file)
        killed += lived.was_killed
    return killed


def by_migrations(folder: Path, count: int, seed: int) -> int:
    """Kill this often while a file of each earlier version is opened; returns the kills."""
    killed = 0
    for version in range(1, len(SCRIPTS)):
        base = folder / "base"
        made_at(base, version)
        for what in WAYS:
            killed += by_number(folder, what, count, Life(seed, 0), base)
    return killed


WAYS = ["at_step", *(["at_write"] if default_vfs() else [])]


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py kills", description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--writes", type=int, default=300)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--migrations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = parser.parse_args()
    begun = time.monotonic()
    print(f"seed {given.seed}", flush=True)
    # A kill loses nothing that the kernel has, so this may be memory, which waits for no disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        life = Life(given.seed, DEEDS)
        kills = {"steps": by_number(folder, "at_step", given.steps, life)}
        kills["writes"] = by_number(folder, "at_write", given.writes if WAYS[1:] else 0, life)
        kills["moments"] = by_moments(folder, given.moments, given.seed)
        kills["migrations"] = by_migrations(folder, given.migrations, given.seed)
    told = ", ".join(f"{name}: {count}" for name, count in kills.items())
    print(f"{told}; {sum(kills.values())} kills in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
