"""Measures the three forms side by side: size, start-up, and an answer by a new worker.

The forms take turns, so that other load on the machine affects each alike; the median is reported.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STARTS = 15
REQUESTS = 60  # after each start
APP = "from buntime import Response\n\n\ndef fetch(request):\n    return Response('hello')\n"
_PAUSE_S = 0.05  # so that the spare workers are ready again, as for most requests


def measure(forms: Mapping[str, Sequence[str]], files: Mapping[str, Path]) -> Iterator[str]:
    """Lines of a table in Markdown; `forms` are commands by name, `files` those that are files."""
    starts: dict[str, list[float]] = {name: [] for name in forms}
    answers: dict[str, list[float]] = {name: [] for name in forms}
    with tempfile.TemporaryDirectory() as work:
        app = Path(work) / "apps/hello/app.py"
        app.parent.mkdir(parents=True)
        app.write_text(APP, "utf-8")
        env = _environment(Path(work) / "cache")
        first = {name: _first_start(command, work, env) for name, command in forms.items()}
        for turn in range(STARTS + 1):
            for name, command in forms.items():
                with _started(command, work, env) as (seconds, port):
                    if turn:  # the very first one warms up caches
                        starts[name].append(seconds)
                        answers[name] += _answers(port)
    base_start, base_answer = (statistics.median(times["checkout"]) for times in (starts, answers))
    yield "| form | size | first start | start | answer by a worker of its own |"
    yield "|---|---|---|---|---|"
    for name in forms:
        size = f"{files[name].stat().st_size / 1e6:.1f} MB" if name in files else ""
        start, answer = statistics.median(starts[name]), statistics.median(answers[name])
        yield (
            f"| {name} | {size} | {first[name]:.2f} s | {start:.2f} s ({start / base_start:.2f}) "
            f"| {answer * 1000:.1f} ms ({answer / base_answer:.2f}) |"
        )


def _environment(cache: Path) -> dict[str, str]:
    """Use a separate cache, so that first starts are really first ones."""
    return {
        "PATH": os.environ["PATH"],
        "XDG_CACHE_HOME": str(cache),
        "RUNTIME_ENV": "production",
        "RUNTIME_LOG_FORMAT": "json",
        "RUNTIME_WORKER_DIRS": "apps",
        "PORT": "0",
        "HOST": "127.0.0.1",
    }


def _first_start(command: Sequence[str], work: str, env: dict[str, str]) -> float:
    shutil.rmtree(env["XDG_CACHE_HOME"], ignore_errors=True)
    with _started(command, work, env) as (seconds, _):
        return seconds


@contextmanager
def _started(command: Sequence[str], work: str, env: dict[str, str]) -> Iterator[tuple[float, int]]:
    """A runtime; yields the seconds until it listened, and its port."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=work)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            record = json.loads(line)
            if record["event"] == "runtime.listening":
                break
        else:
            raise RuntimeError(f"{command} did not start")
        yield time.perf_counter() - begun, int(record["url"].rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate()


def _answers(port: int) -> Iterator[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(REQUESTS):
        time.sleep(_PAUSE_S)
        begun = time.perf_counter()
        connection.request("GET", "/hello/")
        answer = connection.getresponse()
        if answer.read() != b"hello":
            raise RuntimeError(f"answered {answer.status}")
        yield time.perf_counter() - begun
    connection.close()


def table(python: str, root: Path) -> Iterator[str]:
    """The lines of the table; the files must be there, `python` has the runtime's packages."""
    files = {"pyz": root / "dist/buntime.pyz", "binary": root / "dist/buntime"}
    forms = {
        "checkout": [python, str(root / "buntime.py")],
        "pyz": [sys.executable, str(files["pyz"])],
        "binary": [str(files["binary"])],
    }
    return measure(forms, files)
