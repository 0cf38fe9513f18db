"""Describes the machine, without which a figure means little."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.contestants import PEERS

BUSY_LOAD = 1.0


def describe() -> dict[str, str | int | float]:
    """CPU, cores, kernel, Python, load average, and the versions of the contestants."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo")),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
        "commit": first_line(["git", "describe", "--always", "--dirty", "--abbrev=12"]),
        "versions": versions(),
    }


def cpu_model(cpuinfo: Path) -> str:
    """`"AMD EPYC 7B13"`; the architecture if the system does not name the CPU."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> str:
    """`"wrk 4.1.0, nginx 1.22.1, h11 0.16.0, gunicorn ..."`, as far as installed."""
    found = [first_line(["wrk", "--version"]).partition(" [")[0], first_line(["nginx", "-v"])]
    names = ["granian", "gunicorn", "uvicorn"]
    found.append(f"h11 {version('h11')}")
    if PEERS:
        code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
        told = first_line([PEERS, "-c", code, *names]).split()
        found += [f"{name} {number}" for name, number in zip(names, told, strict=True)]
    return ", ".join(filter(None, found))


def first_line(command: list[str]) -> str:
    """The first line that a command prints, on either output; empty if there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()
