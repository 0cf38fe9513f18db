"""What is written into a control group for an app's limits, and what is read there."""

from __future__ import annotations

import pytest

from buntime.core.apps.manifest import parse_manifest, to_config
from buntime.core.sandbox.groups import CONTROLLERS, held, limits, oom_kills, own_group


def of(text: str) -> list[tuple[str, str]]:
    manifest, _ = parse_manifest(text.encode(), path="buntime.yaml", body_default=1, body_max=1)
    return [pair for limit in limits(to_config(manifest)) for pair in limit.files]


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("", []),
        ("maxMemory: 64mb", []),
        ("memoryMax: 64mb", [("memory.max", "67108864"), ("memory.swap.max", "0")]),
        ("cpuMax: 2", [("cpu.max", "200000 100000")]),
        ("cpuMax: 0.5", [("cpu.max", "50000 100000")]),
        ("cpuMax: 150%", [("cpu.max", "150000 100000")]),
        ("cpuMax: 0.01", [("cpu.max", "1000 100000")]),
        ("pidsMax: 64", [("pids.max", "64")]),
    ],
)
def test_files(text: str, files: list[tuple[str, str]]) -> None:
    """Each key has its files, in the kernel's units; without a key nothing is written."""
    assert of(text) == files


def test_what_is_held() -> None:
    """A key whose controller is missing has no effect, the others do."""
    wanted = limits({"memoryMax": 1 << 30, "cpuMax": 1.0, "pidsMax": 64})
    assert held(wanted, CONTROLLERS) == (wanted, ())
    some = held(wanted, ("pids",))
    assert [limit.key for limit in some.limits] == ["pidsMax"]
    assert some.without_effect == ("memoryMax", "cpuMax")
    assert held(wanted, ()).without_effect == ("memoryMax", "cpuMax", "pidsMax")


def test_own_group() -> None:
    """The path for cgroup v2 follows two colons; version 1 has names between them."""
    assert own_group("0::/system.slice/buntime.service\n") == "/system.slice/buntime.service"
    assert own_group("9:pids:/a\n1:name=systemd:/b\n0::/\n") == "/"
    assert own_group("9:pids:/a\n") is None
    assert own_group("") is None


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill 0\n", 0),
        ("", 0),
        ("oom_kill\noom_kill x\n", 0),
    ],
)
def test_oom_kills(events: str, count: int) -> None:
    """`oom_kill` counts killed processes; `oom` only counts shortages of memory."""
    assert oom_kills(events) == count
