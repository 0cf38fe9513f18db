"""Measures the three forms side by side: size, and what a start takes.

A start is measured by the processor time of all its processes until the runtime listens, as a
multiple of that of a bare Python: so neither other load nor the machine's speed changes it much.
The forms take turns, and the median is reported.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

STARTS = 15
APP = "from buntime import Response\n\n\ndef fetch(request):\n    return Response('hello')\n"
_BARE = ("-I", "-S", "-c", "pass")


def measure(
    forms: Mapping[str, Sequence[str]], files: Mapping[str, Path], bare: Sequence[str]
) -> Iterator[str]:
    """Lines of a table in Markdown; `forms` are commands by name, `files` those that are files, and
    `bare` is the command of a Python that does nothing."""
    starts: dict[str, list[float]] = {name: [] for name in forms}
    bases: list[float] = []
    with tempfile.TemporaryDirectory() as work:
        app = Path(work) / "apps/hello/app.py"
        app.parent.mkdir(parents=True)
        app.write_text(APP, "utf-8")
        env = _environment(Path(work) / "cache")
        first = {}
        for name, command in forms.items():
            shutil.rmtree(env["XDG_CACHE_HOME"], ignore_errors=True)
            first[name] = _start(command, work, env)
            _start(command, work, env)  # warms up caches
        for _ in range(STARTS):
            bases.append(_bare(bare))
            for name, command in forms.items():
                starts[name].append(_start(command, work, env))
    base = statistics.median(bases)
    yield "| form | size | first start | start |"
    yield "|---|---|---|---|"
    for name in forms:
        size = f"{files[name].stat().st_size / 1e6:.1f} MB" if name in files else ""
        start = statistics.median(starts[name])
        yield f"| {name} | {size} | {first[name] / base:.0f} | {start / base:.0f} |"


def _environment(cache: Path) -> dict[str, str]:
    """Use a separate cache, so that first starts are really first ones."""
    return {
        "PATH": os.environ["PATH"],
        "XDG_CACHE_HOME": str(cache),
        "RUNTIME_STATE_DIR": str(cache.with_name("state")),
        "RUNTIME_ENV": "production",
        "RUNTIME_LOG_FORMAT": "json",
        "RUNTIME_WORKER_DIRS": "apps",
        "RUNTIME_ADMIN_LISTEN": "none",
        "PORT": "0",
        "HOST": "127.0.0.1",
    }


def _bare(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _start(command: Sequence[str], work: str, env: dict[str, str]) -> float:
    """Start a runtime; returns the seconds of processor time until it listened."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=work)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if json.loads(line)["event"] == "runtime.listening":
                return _spent(process.pid)
        raise RuntimeError(f"{command} did not start")
    finally:
        process.terminate()
        process.communicate()


def _spent(pid: int) -> float:
    """The processor time of a process, of those below it, and of those that these have reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    reaped = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime
    children = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    # Linux's clock of the process `pid`, as clock_getcpuclockid() makes it.
    return time.clock_gettime((~pid << 3) | 2) + reaped + sum(map(_spent, children))


def table(python: str, root: Path) -> Iterator[str]:
    """The lines of the table; the files must be there, `python` has the runtime's packages."""
    files = {"pyz": root / "dist/buntime.pyz", "binary": root / "dist/buntime"}
    forms = {
        "checkout": [python, str(root / "buntime.py")],
        "pyz": [sys.executable, str(files["pyz"])],
        "binary": [str(files["binary"])],
    }
    return measure(forms, files, [sys.executable, *_BARE])
