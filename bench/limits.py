"""A limit: bare interpreters, started as fast as the machine can."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench.errors import BenchError
from bench.figures import Sample, percentile

SPAWN = [sys.executable, "-I", "-S", "-c", "pass"]


def spawn_rate(at_once: int, seconds: float) -> Sample:
    """How many start and end per second, and how long one takes, with `at_once` side by side."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(at_once) as threads:
        rows = threads.map(lambda _: _spawn_for(seconds), range(at_once))
        times_ms = [time_ms for row in rows for time_ms in row]
    rate = len(times_ms) / (time.perf_counter() - begun)
    middle = percentile(times_ms, 0.5)
    return {"rate": rate, "p50_ms": middle, "start_ms": middle}


def _spawn_for(seconds: float) -> list[float]:
    """The milliseconds of each, one after another; at least one."""
    times_ms: list[float] = []
    end = time.perf_counter() + seconds
    while not times_ms or time.perf_counter() < end:
        begun = time.perf_counter()
        pid = os.posix_spawn(SPAWN[0], SPAWN, os.environ)
        status = os.waitpid(pid, 0)[1]
        if status:
            raise BenchError(f"{' '.join(SPAWN)} ended with {os.waitstatus_to_exitcode(status)}")
        times_ms.append((time.perf_counter() - begun) * 1e3)
    return times_ms
