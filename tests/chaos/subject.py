"""The runtime under chaos, with its log in a file that is read when everything is over."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.harness import OPERATORS_KEY, UNDER_TEST, children_of, command, wait_until
from tests.support.offshoots import Stem

STOP_S = 45.0
# Becomes another program, which the kernel kills when its parent ends in any way (Linux).
_TIED = (
    sys.executable,
    "-c",
    (
        "import ctypes, os, signal, sys\n"
        "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)\n"
        "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])"
    ),
)


class Subject:
    """A started runtime. Its workers are forked from `stem`, if there is one."""

    def __init__(
        self, apps: Path, log: Path, env: Mapping[str, str], stem: Stem | None = None
    ) -> None:
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environ |= {"RUNTIME_LOG_FORMAT": "json", "RUNTIME_LOG_LEVEL": "debug"}
        environ |= {"RUNTIME_MASTER_KEY": OPERATORS_KEY, **env}
        self.log = log
        line = command()
        if stem is not None and UNDER_TEST is None:
            line = [sys.executable, "-m", "tests.support.offshoots", stem.name, line[-1]]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *_TIED,
                    str(os.getpid()),
                    *line,
                    str(apps),
                    "--port",
                    "0",
                    "--host",
                    "127.0.0.1",
                ],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        # The processes whose children its workers are.
        self.parents = {self.process.pid} | ({stem.pid} if stem else set())
        self.port = 0
        wait_until(self._is_listening, 20, "a runtime that listens")

    @property
    def pid(self) -> int:
        return self.process.pid

    def records(self) -> Iterator[dict[str, Any]]:
        """Its log records so far."""
        with self.log.open(encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    return  # still being written
                try:
                    yield json.loads(line)
                except ValueError:
                    yield {"event": "not JSON", "level": "error", "message": line}

    def children(self) -> list[int]:
        return [each for parent in self.parents for each in children_of(parent)]

    def descriptors(self) -> int:
        """The number of its open descriptors; 0 if only root can see that."""
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except PermissionError:
            return 0

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> tuple[int, float]:
        """Ask it to stop; returns its exit code, and the seconds that it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_S)
        return code, time.monotonic() - started

    def _is_listening(self) -> bool:
        for record in self.records():
            if record["event"] == "runtime.listening":
                self.port = int(record["url"].rsplit(":", 1)[1])
                return True
        if self.process.poll() is not None:
            raise AssertionError(f"the runtime did not start: {self.log.read_text()[-2000:]}")
        return False


@contextlib.contextmanager
def subject(
    apps: Path, log: Path, env: Mapping[str, str], stem: Stem | None = None
) -> Iterator[Subject]:
    """A runtime that is gone afterwards, whatever happens."""
    runtime = Subject(apps, log, env, stem)
    try:
        yield runtime
    finally:
        if runtime.process.poll() is None:
            runtime.process.kill()
            runtime.process.wait()
