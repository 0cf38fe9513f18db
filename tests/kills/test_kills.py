"""A runtime that is killed at any moment leaves a whole state.db."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from buntime.server.state.migrations import SCRIPTS
from tests.kills.__main__ import WAYS
from tests.kills.deeds import DEEDS
from tests.kills.life import Life, Lived, Wrong, check, stages
from tests.support.harness import ROOT

# Of more than a thousand, which `build.py kills` does, as CI does.
SOME = ["--steps", "12", "--writes", "12", "--moments", "6", "--migrations", "1"]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process by its descriptor")
def test_kills() -> None:
    """What was reported as done is there after the kill, and nothing is there in part."""
    seed = random.randrange(10_000)
    command = [sys.executable, "-m", "tests.kills", *SOME, "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = dict(each.split(": ") for each in done.stdout.splitlines()[-1].split(";")[0].split(", "))
    counts = {name: int(count) for name, count in told.items()}
    ways, versions = len(WAYS), len(SCRIPTS) - 1
    fewest = {"steps": 12, "writes": 12 * (ways - 1), "moments": 6, "migrations": versions * ways}
    assert {name: min(count, fewest[name]) for name, count in counts.items()} == fewest


def test_what_is_wrong() -> None:
    """The check finds lost deeds, partial ones, and ones that nobody asked for."""
    life = Life(0, len(DEEDS))
    expected = stages(None, life)
    opened = len(SCRIPTS)
    check(expected[opened + 1], expected, Lived(1, True, True), life.deeds)
    check(expected[opened + 2], expected, Lived(1, True, True), life.deeds)
    check(expected[3], expected, Lived(0, False, True), life.deeds)
    lost, ahead, torn = expected[opened], expected[opened + 3], dict(expected[opened + 1])
    torn["table audit"] = []
    for found in (lost, ahead, torn, expected[3]):
        with pytest.raises(Wrong):
            check(found, expected, Lived(1, True, True), life.deeds)


def test_each_table_is_written() -> None:
    """The lives that are cut write to each table."""
    found = stages(None, Life(0, 120))[-1]
    assert [name for name, rows in found.items() if name.startswith("table ") and not rows] == []


TORN = """
import sys
from buntime.server.state import statefile
from tests.kills.__main__ import main

def migrate(connection):  # the number comes in a transaction of its own
    done = statefile._number(connection, "user_version")
    for number, script in enumerate(statefile.SCRIPTS[done:], done + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; COMMIT;")
        connection.executescript(
            f"PRAGMA application_id={statefile._APPLICATION_ID}; PRAGMA user_version={number};"
        )

statefile._migrate = migrate
main()
"""


def test_a_migration_in_two_parts() -> None:
    """A migration step that commits midway is found."""
    command = [sys.executable, "-c", TORN, "--writes", "0", "--moments", "0", "--steps", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Wrong" in done.stderr, done.stdout
