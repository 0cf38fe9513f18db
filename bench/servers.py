"""Starts the measured processes on free ports, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

HOST = "127.0.0.1"
KEY = "the-key-of-the-bench"  # allows reading a Buntime's list of workers
START_S = 30.0
STOP_S = 20.0
TAIL_LINES = 10
ACCESS = '"event":"request.access"'  # in Buntime's lines for requests
LOG_BEGINNING_BYTES = 64 << 10
POLL_S = 0.001  # short compared with the 15 ms of the fastest start


@dataclass(frozen=True)
class Server:
    """A started contestant."""

    name: str
    port: int
    pid: int
    log: Path

    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)

    def logs_access(self) -> bool:
        """Whether the beginning of its log has a line for a request."""
        with self.log.open("rb") as log:
            return ACCESS.encode() in log.read(LOG_BEGINNING_BYTES)

    def descriptors_max(self) -> int:
        """How many files, and so connections, the process may have open."""
        for line in Path(f"/proc/{self.pid}/limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return int(line.split()[3])
        raise BenchError(f"/proc/{self.pid}/limits does not tell of open files")


@contextlib.contextmanager
def blamed(log: Path) -> Iterator[None]:
    """Add the last lines of this log to an error."""
    try:
        yield
    except (BenchError, OSError) as error:
        raise BenchError(f"{str(error) or repr(error)}\n{tail(log)}".rstrip()) from error


@contextlib.contextmanager
def started(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    folder: Path,
    env: Mapping[str, str],
    logs_pid: bool = False,
) -> Iterator[Server]:
    """A process that listens; it runs in `folder`, which also gets its output.

    With `logs_pid` another process than the started one may serve; its log has its pid.
    """
    log = folder / "log"
    with launched(name, command, folder=folder, env=env) as process:
        with blamed(log):
            wait_for_port(port, process)
            pid = wait_for_pid(log) if logs_pid else process.pid
        yield Server(name, port, pid, log)


@contextlib.contextmanager
def launched(
    name: str, command: Sequence[str], *, folder: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards, with all that it has started."""
    environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its own group, so that its children can be ended too
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired as exc:
            raise BenchError(f"{name} did not end within {STOP_S:g} s of SIGTERM") from exc
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.create_server((HOST, 0)) as sock:
        port = sock.getsockname()[1]
        assert isinstance(port, int)
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as a process accepts connections."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=START_S).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None:
                raise BenchError("it ended as it started") from None
            if time.monotonic() > deadline:
                raise BenchError(f"it did not listen within {START_S:g} s") from None
        time.sleep(POLL_S)


def tail(log: Path) -> str:
    """The last lines that are not about requests."""
    lines = log.read_text("utf-8", "backslashreplace").splitlines()
    return "\n".join([line for line in lines if ACCESS not in line][-TAIL_LINES:])


def wait_for_pid(log: Path) -> int:
    """The pid in the record of Buntime's start, which differs if the binary's loader started it."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for line in log.read_bytes().splitlines(keepends=True):
            if b'"event":"runtime.listening"' in line and line.endswith(b"\n"):
                return int(json.loads(line)["pid"])
        time.sleep(POLL_S)
    raise BenchError(f"it did not log that it listens within {START_S:g} s")


def resident_bytes(pid: int) -> int:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise BenchError(f"process {pid} has ended")
