"""Runs wrk, and reads what bench/load.lua has it print."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path

from bench.errors import BenchError
from bench.figures import Sample
from bench.servers import HOST

SCRIPT = Path(__file__).with_name("load.lua")
ANSWER_S = 10  # wrk counts slower answers, and they fail a measurement
ERRORS = {
    "connect": "connections failed",
    "read": "answers were cut short",
    "write": "requests could not be sent",
    "status": "answers were errors",
    "timeout": f"answers took more than {ANSWER_S} s",
}


def lacks_wrk() -> str | None:
    return None if shutil.which("wrk") else "wrk is missing (Debian: apt install wrk)"


def run_wrk(
    port: int, path: str, *, connections: int, seconds: float, mode: str = "plain", least: int = 0
) -> Sample:
    """Requests as fast as they are answered; `least` is the fewest bytes that an answer has.

    wrk knows only whole seconds, so they are rounded up. It has one thread, which can send several
    times what a contestant answers; the two share few cores.
    """
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{math.ceil(seconds)}s", "--timeout", f"{ANSWER_S}s"]
    command += ["--script", str(SCRIPT), f"http://{HOST}:{port}{path}", "--", *mode.split()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise BenchError(str(lacks_wrk())) from exc
    if done.returncode:
        raise BenchError(f"wrk failed: {done.stdout}{done.stderr}")
    return parse_wrk(done.stdout, least=least)


def parse_wrk(output: str, *, least: int = 0) -> Sample:
    """What wrk printed, as a sample; raises BenchError if any request failed."""
    lines = [line for line in output.splitlines() if line.startswith("BENCH ")]
    if len(lines) != 1:
        raise BenchError(f"wrk printed no result: {output[-500:]}")
    told = json.loads(lines[0].removeprefix("BENCH "))
    failed = [f"{told[key]} {what}" for key, what in ERRORS.items() if told[key]]
    if failed:
        raise BenchError(f"of {told['requests']} requests " + ", ".join(failed))
    if not told["requests"]:
        raise BenchError("no request was answered")
    if told["bytes"] < told["requests"] * least:
        raise BenchError(f"{told['requests']} answers had {told['bytes']} bytes, too few")
    seconds = told["duration_us"] / 1e6
    return {
        "rate": told["requests"] / seconds,
        "mb_per_s": told["bytes"] / seconds / 1e6,
        "p50_ms": told["p50_us"] / 1e3,
        "p99_ms": told["p99_us"] / 1e3,
    }
