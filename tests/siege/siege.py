"""Rounds of one attack, each in its own runtime, and what they cost the others."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.chaos.subject import Subject
from tests.siege.apps import write_apps
from tests.siege.attacker import attacker
from tests.siege.plugins import write_plugins
from tests.siege.timing import Timing, time_answers

BOUND_S = 0.03  # how much later the 99th of 100 answers to others may come
# Limits that the attacked share, low enough that attacks reach them quickly.
_SETTINGS = {"RUNTIME_CONNECTIONS_MAX": "200", "RUNTIME_EPHEMERAL_CONCURRENCY": "4"}
_SETTINGS |= {"RUNTIME_SHUTDOWN_TIMEOUT": "5", "RUNTIME_POOL_SIZE": "12"}
_VICTIMS = dict.fromkeys(
    ("slow-bodies", "slow-bodies-at-once", "slow-answers", "ends-late"), "/once/"
)
_PLUGGED = ("calls-flood", "held-calls", "items-flood", "slow-hook")  # those that need plugins
_STOP_S = 15.0
_RAMP_S = 1.0  # for an attack to unfold, without timing


@dataclass(frozen=True)
class Round:
    """Answers without the attacker, and with."""

    before: Timing
    under: Timing
    has_stopped: bool  # the runtime ended when it was told to

    @property
    def cost_s(self) -> float:
        return self.under.p99_s - self.before.p99_s


@dataclass(frozen=True)
class Outcome:
    """All rounds of an attack."""

    name: str
    rounds: tuple[Round, ...]

    @property
    def cost_s(self) -> float:
        return median(each.cost_s for each in self.rounds)

    @property
    def failures(self) -> int:
        return sum(each.under.failures + (not each.has_stopped) for each in self.rounds)

    @property
    def is_held(self) -> bool:
        return self.cost_s <= BOUND_S and not self.failures

    def __str__(self) -> str:
        before = median(each.before.p99_s for each in self.rounds) * 1000
        under = median(each.under.p99_s for each in self.rounds) * 1000
        said = "held" if self.is_held else "NOT HELD"
        row = f"{self.name:26} p99 {before:7.1f} ms, under attack {under:8.1f} ms"
        return f"{row}, failures {self.failures:3}  {said}"


def besiege(folder: Path, name: str, *, rounds: int, seconds: float) -> Outcome:
    """Run an attack; the folder must be new or empty."""
    return Outcome(
        name, tuple(_round(folder / str(number), name, seconds) for number in range(rounds))
    )


def _round(folder: Path, name: str, seconds: float) -> Round:
    folder.mkdir(parents=True)
    write_apps(folder / "apps")
    path = _VICTIMS.get(name, "/calm/")  # an app whose worker stays
    env = {**_SETTINGS, "RUNTIME_ENV": "production"}
    if name in _PLUGGED:
        env |= write_plugins(folder, folder / "apps")
    subject = Subject(folder / "apps", folder / "log", env)
    try:
        time_answers(subject.port, path, 0.5)
        before = time_answers(subject.port, path, seconds)
        with attacker(name, subject.port):
            time.sleep(_RAMP_S)
            under = time_answers(subject.port, path, seconds)
        subject.process.send_signal(signal.SIGTERM)
        try:
            has_stopped = subject.process.wait(_STOP_S) == 0
        except subprocess.TimeoutExpired:
            has_stopped = False
    finally:
        subject.process.kill()
        subject.process.wait()
    return Round(before, under, has_stopped)
