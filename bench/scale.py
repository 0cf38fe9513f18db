"""How many pods a number of requests a day needs: a simulation of pods and of HPA's algorithm.

    arrivals ──> pods that are ready ──> CPU that they use ──> HPA, each 15 s ──> pods wanted
                        ^── a new one is ready after some time ──────────────────────┘

The page says what is made up: the shape of a day, and what a request costs an app. What a request
costs the runtime, its memory and its start come from results.json. A pod serves what its CPU allows
and the rest waits, without a limit: so `late` counts requests that would be refused, or whose
clients would leave.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.results import Results

BEGIN = "<!-- scale: written by `python3 build.py bench --scale` -->"
END = "<!-- end of scale -->"
PAGE = Path(__file__).resolve().parents[1] / "docs/scale.md"

DAY_S, TICK_S = 86_400, 5
PEAK_HOUR = 20.0
BURST_EVERY_S, BURST_S = 6 * 3600, 300
LATE_S = 1.0  # a request that waits longer is late


class Hpa(NamedTuple):
    """The controller's defaults (Kubernetes, autoscaling/v2), and the chart's target and least."""

    aim: float = 0.7  # target: the used share of a pod's CPU
    least: int = 2
    most: int = 1000
    period_s: int = 15
    tolerance: float = 0.1
    metrics_late_s: int = 30  # how old the shares are that it sees
    calm_s: int = 300  # it scales down only to the most that it wanted in this time
    ready_s: int = 25  # of a new pod: scheduling, image, start, probe, endpoint


class Day(NamedTuple):
    """How the requests of a day are spread over it."""

    swing: float = 0.65  # a wave from 35% of the mean in the morning to 165% at PEAK_HOUR
    burst: float = 1.5  # a newsletter, a link: half as many again


class Load(NamedTuple):
    """The requests, and what they cost."""

    per_day: float
    request_s: float  # of CPU, with the runtime's part
    cores: float = 1.0  # of a pod


class Outcome(NamedTuple):
    """The result of one day."""

    least: int
    mean: float
    most: int
    late: float  # share of requests that have waited longer than LATE_S


def arrivals(per_day: float, day: Day = Day()) -> Iterator[float]:  # noqa: B008  # a value
    """Requests in each tick of a day, from midnight on."""
    mean = per_day / DAY_S * TICK_S
    return (mean * share for share in _shares(day))


@functools.cache
def _shares(day: Day) -> tuple[float, ...]:
    """The requests in each tick, relative to the mean without bursts."""
    shares = []
    for at_s in range(0, DAY_S, TICK_S):
        wave = 1 + day.swing * math.cos(2 * math.pi * (at_s / 3600 - PEAK_HOUR) / 24)
        # Bursts come at 02:00, 08:00, 14:00 and 20:00, the last one on the peak.
        is_burst = (at_s - 2 * 3600) % BURST_EVERY_S < BURST_S
        shares.append(wave * (day.burst if is_burst else 1.0))
    return tuple(shares)


def wanted(hpa: Hpa, ready: int, pods: int, used: float) -> int:
    """How many pods the controller wants; `used` is the sum of the shares of the ready ones.

    When more pods are wanted, pods that are not ready count as idle, as in HPA's algorithm.
    """
    ratio = used / max(1, ready) / hpa.aim
    if abs(ratio - 1) <= hpa.tolerance:
        return pods
    if ratio < 1:
        return max(1, math.ceil(ready * ratio))
    ratio = used / pods / hpa.aim
    return pods if ratio <= 1 + hpa.tolerance else math.ceil(pods * ratio)


@functools.cache
def simulated(load: Load, hpa: Hpa = Hpa(), day: Day = Day()) -> Outcome:  # noqa: B008  # values
    """The second of two equal days; the first one brings the number of pods to its level."""
    rate = load.cores / load.request_s  # requests per second of a pod
    pods, starting = hpa.least, deque[int]()  # when each of the new ones is ready
    kept = hpa.metrics_late_s // TICK_S + 1
    seen = deque([(0.0, pods)] * kept, kept)  # the used share, and the number of ready pods
    # When, and how many were wanted; without those that more were wanted after. So each has more
    # than the next.
    lately = deque[tuple[int, int]]()
    waiting = late = total = 0.0
    room_of_one, patience = rate * TICK_S, rate * LATE_S
    counts: list[int] = []
    now = 0
    for is_measured in (False, True):
        for came in arrivals(load.per_day, day):
            now += TICK_S
            while starting and starting[0] <= now:
                starting.popleft()
            ready = max(1, pods - len(starting))
            room = ready * room_of_one
            waiting += came
            served = min(waiting, room)
            waiting -= served
            seen.append((served / room, ready))
            if is_measured:
                counts.append(pods)
                total += came
                late += came if waiting > ready * patience else 0.0
            if now % hpa.period_s:
                continue
            share, by = seen[0][0], min(seen[0][1], pods)  # newer pods have reported nothing yet
            aim = wanted(hpa, by, pods, share * by)
            while lately and lately[-1][1] <= aim:
                lately.pop()
            lately.append((now, aim))
            while lately[0][0] <= now - hpa.calm_s:
                lately.popleft()
            if aim > pods:
                aim = min(aim, max(2 * pods, pods + 4))
                starting.extend([now + hpa.ready_s] * (min(aim, hpa.most) - pods))
            else:
                aim = min(pods, lately[0][1])
                while starting and len(starting) > aim - 1:
                    starting.pop()
            pods = max(hpa.least, min(aim, hpa.most))
    return Outcome(min(counts), sum(counts) / len(counts), max(counts), late / total)


# The page

_MILLIONS = (1, 10, 50, 100)
_APPS_MS = (1.0, 10.0, 50.0)
_OTHERS_MILLIONS, _OTHERS_MS = 50, 10.0
_OTHERS: tuple[tuple[str, Day, Hpa], ...] = (
    ("the day above", Day(), Hpa()),
    ("no wave and no bursts", Day(0.0, 1.0), Hpa()),
    ("the wave alone", Day(burst=1.0), Hpa()),
    ("a steeper wave, from 10% to 190%", Day(swing=0.9), Hpa()),
    ("bursts of three times as many", Day(burst=3.0), Hpa()),
    ("the same bursts, and `cpuPercent: 35`", Day(burst=3.0), Hpa(aim=0.35)),
    ("the day above, and pods that are ready after 60 s", Day(), Hpa(ready_s=60)),
)


def median(results: Results, scenario: str, entry: str, figure: str) -> float:
    """A measured median: `median(results, "warm-noop", "buntime", "rate")`."""
    found = next(each for each in results["scenarios"] if each["name"] == scenario)
    return float(next(e for e in found["entries"] if e["name"] == entry)["median"][figure])


def page_text(results: Results) -> str:
    """The measured figures and the table."""
    cores = int(results["machine"]["cores"])
    rate = median(results, "warm-noop", "buntime", "rate")
    own_ms = 1000 * cores / rate
    runtime, worker = (
        median(results, "at-rest", "buntime", figure) for figure in ("runtime_mib", "worker_mib")
    )
    start = median(results, "start-up", "buntime", "start_ms")
    table = [
        (f"requests per second of an app that does nothing, {cores} cores", f"{rate:,.0f}"),
        ("CPU that the runtime and a worker take for a request, at the most", f"{own_ms:.2f} ms"),
        ("memory of the runtime", f"{runtime:.0f} MiB"),
        ("memory of one worker, without an app's packages", f"{worker:.0f} MiB"),
        ("start, from the process to an app's first answer", f"{start:.0f} ms"),
    ]
    heads = ("requests a day", "CPU of the app for one", "pods: fewest, mean, most")
    lines = ["| one pod, measured | |", "|---|---|", *(f"| {a} | {b} |" for a, b in table), ""]
    lines.append(
        f"| {' | '.join(heads)} | wait longer than {LATE_S:.0f} s | a second at the peak |"
    )
    lines.append("|---|---|---|---|---|")
    for millions in _MILLIONS:
        peak = max(arrivals(millions * 1e6)) / TICK_S
        for app_ms in _APPS_MS:
            load = Load(millions * 1e6, (app_ms + own_ms) / 1000)
            told = simulated(load)
            lines.append(
                f"| {millions} million | {app_ms:.0f} ms | {told.least}, {told.mean:.1f}, "
                f"{told.most} | {100 * told.late:.2f}% | {peak:,.0f} |"
            )
    return "\n".join([*lines, "", *_other_days(own_ms)])


def _other_days(own_ms: float) -> list[str]:
    """How much the outcome depends on the made-up day."""
    load = Load(_OTHERS_MILLIONS * 1e6, (_OTHERS_MS + own_ms) / 1000)
    about = f"{_OTHERS_MILLIONS} million requests of {_OTHERS_MS:.0f} ms, with"
    lines = [f"| {about} | pods: fewest, mean, most | wait longer than {LATE_S:.0f} s |"]
    lines.append("|---|---|---|")
    for name, day, hpa in _OTHERS:
        told = simulated(load, hpa, day)
        lines.append(
            f"| {name} | {told.least}, {told.mean:.1f}, {told.most} | {100 * told.late:.2f}% |"
        )
    return lines
