"""Limits for an app's workers that a control group enforces (cgroup v2): what to write to which
file.

Each worker of an app with such a limit gets a group of its own, with everything that it starts.
`memoryMax` counts memory in use, including files in memory that nothing could free; it is not
swapped out.
"""

from collections.abc import Collection, Mapping

from buntime.core.values.tuples import NamedTuple

CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD_US = 100_000  # the kernel's default; a worker above its share waits for the next period
_QUOTA_LEAST_US = 1000  # the kernel refuses less


class Limit(NamedTuple):
    """A manifest key with its value, and what to write to the group's files."""

    key: str
    text: str
    controller: str
    files: tuple[tuple[str, str], ...]


class Held(NamedTuple):
    """The limits that can be enforced, and the keys of those that cannot."""

    limits: tuple[Limit, ...]
    without_effect: tuple[str, ...]


def limits(config: Mapping[str, object]) -> tuple[Limit, ...]:
    """The limits in a manifest in JSON's types: bytes, processors, processes."""
    found = []
    files: tuple[tuple[str, str], ...]
    if isinstance(size_bytes := config.get("memoryMax"), int):
        files = (("memory.max", f"{size_bytes}"), ("memory.swap.max", "0"))
        found.append(Limit("memoryMax", f"{size_bytes}", "memory", files))
    if isinstance(processors := config.get("cpuMax"), int | float):
        quota = max(_QUOTA_LEAST_US, round(processors * _PERIOD_US))
        files = (("cpu.max", f"{quota} {_PERIOD_US}"),)
        found.append(Limit("cpuMax", f"{processors:g}", "cpu", files))
    if isinstance(count := config.get("pidsMax"), int):
        found.append(Limit("pidsMax", f"{count}", "pids", (("pids.max", f"{count}"),)))
    return tuple(found)


def held(wanted: Collection[Limit], controllers: Collection[str]) -> Held:
    """The limits that these controllers can enforce."""
    return Held(
        tuple(limit for limit in wanted if limit.controller in controllers),
        tuple(limit.key for limit in wanted if limit.controller not in controllers),
    )


def own_group(text: str) -> str | None:
    """`"0::/system.slice/buntime.service\\n"` -> the path; None where there is no cgroup v2."""
    lines = text.splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::/")), None)


def oom_kills(events: str) -> int:
    """How many processes of a group were killed for its memory, from `memory.events`."""
    words = (line.split() for line in events.splitlines())
    counts = {each[0]: each[1] for each in words if len(each) == 2}
    count = counts.get("oom_kill", "0")
    return int(count) if count.isdecimal() else 0
