"""A real runtime in its own process, for tests that talk to it over sockets."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.launcher import Launched, is_read_late, launch

ROOT = Path(__file__).parents[2]
UNDER_TEST = os.environ.get("BUNTIME_UNDER_TEST") or None  # dist/buntime.pyz or dist/buntime
IS_BINARY = UNDER_TEST is not None and not UNDER_TEST.endswith(".pyz")
# The binary's Python has no packages; apps that need some get those of the tests.
PACKAGES = {"RUNTIME_PYTHON": sys.executable} if IS_BINARY else {}
OPERATORS_KEY = "the-key-of-the-operator-of-these-tests"
_OPERATORS_PAGE = re.compile(
    r"(/_)?/(api/(workers|apps|plugins|audit|data|cron|events|history|attention)\b|metrics\b)"
)
START_S = 20.0
LISTEN_S = 60.0 if IS_BINARY else START_S  # a binary may have to unpack itself, beside others
STOP_S = 20.0


class Runtime:
    """A started runtime: where it listens, and what it logs."""

    def __init__(self, process: subprocess.Popen[str] | Launched) -> None:
        self.process = process
        self.records: list[dict[str, Any]] = []
        self._fresh: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        record = self.wait_for_record("runtime.listening", LISTEN_S)
        self.url: str = record["url"]
        self.pid: int = record["pid"]  # `process` is the bootloader when the binary is tested
        self.operators_key = self._local_key()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def wait_for_line(self, line: str, timeout_s: float = START_S, **fields: object) -> Any:
        """The record of the first such line that an app printed, past or to come."""
        return self.wait_for_record("app.output", timeout_s, message=line, **fields)

    def wait_for_plugin_line(self, line: str, **fields: object) -> Any:
        """The same for a line of a plugin."""
        return self.wait_for_record("plugin.output", message=line, **fields)

    def wait_for_record(self, event: str, timeout_s: float = START_S, **fields: object) -> Any:
        """The first log record of this event with these fields, past or to come."""

        def fits(record: dict[str, Any]) -> bool:
            return record["event"] == event and all(
                record.get(name) == value for name, value in fields.items()
            )

        deadline = time.monotonic() + timeout_s
        for record in tuple(self.records):
            if fits(record):
                return record
        while True:
            try:
                record = self._fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                missed = f"no record {event!r} {fields} among {self.tail()}"
                raise AssertionError(missed) from None
            if record is None:
                raise AssertionError(f"the runtime ended without {event!r}: {self.tail()}")
            if fits(record):
                return record

    def wait_for_new(self, event: str, timeout_s: float = START_S, **fields: object) -> Any:
        """The next log record of this event with these fields that no test has waited for yet."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                record = self._fresh.get(timeout=left_s)
                if record is None:
                    break
                if record["event"] == event and fields.items() <= record.items():
                    return record
        raise AssertionError(f"no other record {event!r} after {self.tail()}")

    def tail(self) -> str:
        return "\n".join(json.dumps(record) for record in self.records[-30:])

    def connect(self) -> socket.socket:
        """A plain connection, for bytes that no client library would send."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def exchange(self, data: bytes) -> bytes:
        """Send bytes, then read to the end of the connection."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_all(sock)

    def children(self) -> list[int]:
        """The pids of its live child processes; its workers are among them, so it may not have
        forked them, see `workers_afresh`."""
        assert not getattr(self.process, "forks_workers", False), "its workers are not its children"
        return children_of(self.pid)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        return code

    def operators_fields(self, target: str) -> dict[str, str]:
        """The key's header if `target` is an operators' page and the harness knows a key."""
        if self.operators_key and _OPERATORS_PAGE.match(target):
            return {"X-API-Key": self.operators_key}
        return {}

    def _local_key(self) -> str | None:
        """The key that the runtime put into a file for developers on this machine."""
        for record in tuple(self.records):
            if record["event"] == "operators.local_key":
                return Path(record["file"]).read_text("ascii").strip()
        return None

    def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        with contextlib.suppress(ValueError):  # closed by whoever ended the process
            for line in stdout:
                self._take(line)
        self._fresh.put(None)

    def _take(self, line: str) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            record = {"event": "not JSON", "message": line}
        self.records.append(record)
        self._fresh.put(record)


def command() -> list[str]:
    """The command that starts the runtime: from the checkout, or the file of BUNTIME_UNDER_TEST."""
    if UNDER_TEST is None:
        return [sys.executable, str(ROOT / "buntime.py")]
    return [sys.executable, UNDER_TEST] if UNDER_TEST.endswith(".pyz") else [UNDER_TEST]


@contextlib.contextmanager
def running(
    *dirs: Path | str,
    env: Mapping[str, str] | None = None,
    start: Sequence[str] | None = None,
    first: str = "",
) -> Iterator[Runtime]:
    """A runtime that serves `dirs` on a free port, with `env` added to PATH and HOME.

    `start` is a command that replaces the usual one. By default the runtime is forked from a
    process that has imported it; `start=command()` starts it afresh. `first` is a module of the
    tests that a forked runtime imports before it starts.
    """
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    # As in a checkout, in whatever form it is tested: changes of an app's files are seen at once.
    environ |= {"RUNTIME_ENV": "development"} if UNDER_TEST else {}
    environ |= {"RUNTIME_LOG_FORMAT": "json", "RUNTIME_LOG_LEVEL": "debug", **(env or {})}
    mode = environ.get("RUNTIME_ENV") or ("production" if UNDER_TEST else "development")
    wants_key = mode != "development" and "RUNTIME_MASTER_KEY" not in environ
    if wants_key and "RUNTIME_MASTER_KEY_FILE" not in environ:
        environ["RUNTIME_MASTER_KEY"] = OPERATORS_KEY
    with tempfile.TemporaryDirectory(prefix="state-") as state:
        os.chmod(state, 0o711)  # users of apps pass through it
        # Only one runtime can hold the default folder, and many run at a time.
        environ.setdefault("RUNTIME_STATE_DIR", state)
        environ.setdefault("RUNTIME_ADMIN_LISTEN", "none")  # likewise its port
        # Each runtime would start a worker more than its test needs; tests of spares ask for some.
        environ.setdefault("RUNTIME_SPARE_WORKERS", "0")
        yield from _run(
            [*map(str, dirs), "--port", "0", "--host", "127.0.0.1"], environ, start, first
        )


def _run(
    args: list[str], environ: dict[str, str], start: Sequence[str] | None, first: str
) -> Iterator[Runtime]:
    process = begin(args, environ, start=start, first=first)
    runtime: Runtime | None = None
    try:
        runtime = Runtime(process)
        if environ.get("RUNTIME_MASTER_KEY") == OPERATORS_KEY:
            runtime.operators_key = OPERATORS_KEY
        yield runtime
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
        if runtime is not None:
            runtime._reader.join(STOP_S)
        if process.stdout is not None:
            process.stdout.close()


def begin(
    args: Sequence[str],
    environ: Mapping[str, str],
    *,
    start: Sequence[str] | None = None,
    first: str = "",
    cwd: Path | None = None,
    leads: bool = False,
) -> subprocess.Popen[str] | Launched:
    """`buntime ARGS` with exactly these variables, without stdin; stderr goes to stdout.

    See `running` for `start` and `first`. If it `leads`, it has a session and a process group of
    its own.
    """
    if start is None and UNDER_TEST is None and is_read_late(environ):
        return launch(args, environ, first, cwd=cwd, leads=leads)
    assert not first, "what is started afresh is as it is"
    return subprocess.Popen(
        [*(start or command()), *args],
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        start_new_session=leads,
    )


def write_app(folder: Path, files: Mapping[str, str], **manifest: object) -> Path:
    """An app's folder; keywords go into its manifest, such as `ttl=60`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    if manifest:
        (folder / "buntime.yaml").write_text(json.dumps(manifest), "utf-8")
    return folder


def read_all(sock: socket.socket) -> bytes:
    """All bytes up to the end of the connection."""
    pieces = []
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """Bytes up to and including `end`."""
    data = bytearray()
    while data.find(end, max(0, len(data) - 65536 - len(end))) < 0:
        piece = sock.recv(65536)
        if not piece:
            raise AssertionError(f"the connection ended before {end!r}: {bytes(data)!r}")
        data += piece
    return bytes(data)


def children_of(pid: int, *, are_zombies: bool = False) -> list[int]:
    """The pids of a process's live children, or of those it has not reaped, from /proc."""
    return [each for each, parent, is_zombie in processes()
            if parent == pid and is_zombie == are_zombies]  # fmt: skip


def processes() -> Iterator[tuple[int, int, bool]]:
    """Each process's pid, its parent's, and whether it has ended but is not reaped; from /proc."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        yield int(name), int(fields[1]), fields[0] == "Z"


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def look_into(pid: int) -> Path:
    """The runtime's own folder in /proc; skips if this user may not read it."""
    folder = Path(f"/proc/{pid}")
    try:
        os.listdir(folder / "fd")
        os.readlink(folder / "exe")
    except PermissionError:
        pytest.skip("the runtime is closed to its own user; root can look into it")
    return folder


def wait_until(is_true: Any, timeout_s: float = START_S, what: str = "it") -> None:
    """Wait for a condition that no event announces; fails if it does not come in time.

    It looks every 10 ms, and more seldom when it has waited for long: many conditions ask the
    runtime.
    """
    began = time.monotonic()
    while not is_true():
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise AssertionError(f"{what} did not come true in {timeout_s} s")
        time.sleep(min(max(0.01, waited_s / 10), 0.05))  # polls: a bound on the wait, not luck


def descriptors_below(folder: Path) -> list[str]:
    """The paths that this process has open below a folder; other threads may open more."""
    paths = []
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile, or not a file
            if sys.platform == "darwin":
                path = fcntl.fcntl(int(name), fcntl.F_GETPATH, bytes(1024)).partition(b"\0")[0]
                paths.append(os.fsdecode(path))
            else:
                paths.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in paths if path.startswith(f"{folder.resolve()}/")]
