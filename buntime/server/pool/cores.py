"""How many cores this process may use: by its affinity, and by the quota of its cgroups."""

import os
import posixpath
from collections.abc import Iterator
from math import ceil

_CGROUPS = "/sys/fs/cgroup"
_OWN = "/proc/self/cgroup"


def cores(*, cgroups: str = _CGROUPS, own: str = _OWN) -> int:
    """At least 1; half a core counts as one. The paths are the kernel's."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *(ceil(quota) for quota in _quotas(cgroups, own))]))


def _quotas(cgroups: str, own: str) -> Iterator[float]:
    """The cores of each limit, in the process's cgroup and those above it."""
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        for folder in _upwards(path):
            if not controllers:  # version 2: "max 100000" or "150000 100000"
                limit, _, period = _read(f"{cgroups}{folder}/cpu.max").partition(" ")
            elif "cpu" in controllers.split(","):
                base = f"{cgroups}/{controllers}{folder}/cpu.cfs"
                limit, period = _read(f"{base}_quota_us"), _read(f"{base}_period_us")
            else:
                break
            if limit.strip().isdigit() and int(period):  # else "max", "-1", or no file
                yield int(limit) / int(period)


def _upwards(path: str) -> Iterator[str]:
    """`"/a/b"` -> `"/a/b"`, `"/a"`, `""`."""
    path = path.rstrip("/")
    while path:
        yield path
        path = posixpath.dirname(path).rstrip("/")
    yield ""


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall().decode("ascii")
    except OSError:
        return ""
