"""How many cores the process may use."""

import os
from pathlib import Path

import pytest

from buntime.server.pool.cores import cores


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


class Groups:
    """The kernel's files about this process's control groups."""

    def __init__(self, folder: Path, own: str) -> None:
        self.root = folder / "cgroups"
        self.own = folder / "own"
        self.own.write_text(own)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def cores(self) -> int:
        return cores(cgroups=str(self.root), own=str(self.own))


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    """The quota is `max`, or there is no file at all."""
    groups = Groups(tmp_path, "0::/app\n")
    assert groups.cores() == 8
    groups.write("app/cpu.max", "max 100000\n")
    assert groups.cores() == 8


@pytest.mark.parametrize(("limit", "wanted"), [("200000", 2), ("150000", 2), ("10000", 1)])
def test_a_quota_is_rounded_up(tmp_path: Path, limit: str, wanted: int) -> None:
    """With one and a half cores two processes compute at a time."""
    groups = Groups(tmp_path, "0::/app\n")
    groups.write("app/cpu.max", f"{limit} 100000\n")
    assert groups.cores() == wanted


def test_a_quota_of_a_group_around_it_counts(tmp_path: Path) -> None:
    """The lowest quota of all enclosing groups counts."""
    groups = Groups(tmp_path, "0::/slice/app\n")
    groups.write("slice/cpu.max", "300000 100000\n")
    groups.write("slice/app/cpu.max", "500000 100000\n")
    assert groups.cores() == 3


def test_the_quota_of_the_first_version(tmp_path: Path) -> None:
    """Control groups of version 1 have two files, and -1 for no quota."""
    groups = Groups(tmp_path, "5:memory:/app\n4:cpu,cpuacct:/app\n")
    groups.write("cpu,cpuacct/app/cpu.cfs_quota_us", "-1\n")
    groups.write("cpu,cpuacct/app/cpu.cfs_period_us", "100000\n")
    assert groups.cores() == 8
    groups.write("cpu,cpuacct/app/cpu.cfs_quota_us", "400000\n")
    assert groups.cores() == 4


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    """The files are at the root, whatever path the process is shown."""
    groups = Groups(tmp_path, "0::/docker/abc\n")
    groups.write("cpu.max", "200000 100000\n")
    assert groups.cores() == 2
