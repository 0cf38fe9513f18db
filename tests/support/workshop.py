"""A worker process and the runtime's end of its channel, for tests that play the runtime."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from buntime.wire import Decoder, Message, encode
from tests.support.nursery import FLAGS, Kind, start

PACKAGE = Path(__file__).resolve().parents[2] / "buntime"
WAIT_S = 20.0  # for what should come at once, on a busy machine


def make_bundle(folder: Path) -> Path:
    """Copy what a worker needs, and nothing else, to `folder`; returns it."""
    for layer in ("sdk", "worker"):
        shutil.copytree(PACKAGE / layer, folder / "buntime" / layer)
    for module in PACKAGE.glob("*.py"):
        if module.name != "__main__.py":
            shutil.copy(module, folder / "buntime" / module.name)
    shutil.copy(PACKAGE / "worker" / "launch.py", folder / "__main__.py")
    return folder


class Answer:
    """What a worker sent for one request, put together."""

    def __init__(self, messages: list[tuple[Message, bytes]]) -> None:
        self.messages = messages
        head = messages[0][0]
        self.status: int = head.get("status", 0)
        self.pairs: list[tuple[str, str]] = [(n, v) for n, v in head.get("headers", [])]
        self.body = b"".join(payload for _, payload in messages)
        last = messages[-1][0]
        self.error: str | None = last["message"] if last["type"] == "ERROR" else None
        self.stack: str = last.get("stack", "")
        self.advice: str = last.get("advice", "")

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.pairs)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message, _ in self.messages]


class Worker:
    """A worker process; `request` and `answer` are all that most tests need."""

    def __init__(
        self, launched: Path, app: Path, python: str = sys.executable, forked: Kind | None = None
    ) -> None:
        """`forked`: from a process that has imported what a worker of this kind needs."""
        self.app = app
        self._received: list[tuple[Message, bytes]] = []
        self._decoder = Decoder()
        self._next_id = 0
        self._outputs = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]  # noqa: SIM115
        self.socket, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self._stacks, stacks = os.pipe()
        passed = (theirs.fileno(), lifeline, stacks)
        with theirs:
            self.process = (
                start(forked, python, launched, passed, [each.fileno() for each in self._outputs])
                if forked
                else subprocess.Popen(
                    [python, *FLAGS, launched, *map(str, passed)],
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                    stdout=self._outputs[0],
                    stderr=self._outputs[1],
                    start_new_session=True,
                )
            )
        os.close(lifeline)
        os.close(stacks)

    # ---- what the runtime does

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send any message."""
        self.socket.sendall(encode(message) + payload)

    def init(self, entrypoint: str = "app.py", **fields: Any) -> None:
        """Send INIT, with the test interpreter's own packages on the path."""
        init = {
            "type": "INIT",
            "name": "shop",
            "version": "1.2.0",
            "dir": str(self.app),
            "entrypoint": entrypoint,
            "base": "/shop",
            "config": {"ttl": 60},
            "env": {"APP_DIR": str(self.app)},
            "path": [entry for entry in sys.path if entry.endswith("site-packages")],
            "prefix": None,
            "development": True,
            "worker": "w1",
            "concurrency": None,
        }
        self.send(init | fields)

    def up(self) -> None:
        """Wait until its interpreter has started; call this before taking anything else."""
        self.socket.settimeout(WAIT_S)
        [(message, _)] = self._decoder.feed(self.socket.recv(1024))
        assert message["type"] == "UP", message

    def ready(self) -> Message:
        """Wait until the app is loaded; fails with the worker's reason if it is not."""
        message, _ = self.take(lambda m: m["type"] == "READY" or "id" not in m)
        assert message["type"] == "READY", f"{message['message']}\n{message['stack']}"
        return message

    def boot_error(self) -> Message:
        """Wait for the ERROR of a failing boot, and for the end of the worker."""
        message, _ = self.take(lambda m: m["type"] == "READY" or "id" not in m)
        assert message["type"] == "ERROR", message
        assert self.process.wait(WAIT_S) == 1
        return message

    def request(
        self,
        target: str = "/shop/",
        method: str = "GET",
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
        *,
        end: bool = True,
        **fields: Any,
    ) -> int:
        """Send a REQUEST; returns its id."""
        self._next_id += 1
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers or [])
        if not any(name == "host" for name, _ in pairs):
            pairs.insert(0, ("host", "example.com"))
        message = {
            "type": "REQUEST",
            "id": self._next_id,
            "method": method,
            "target": target,
            "base": "/shop",
            "scheme": "http",
            "version": "1.1",
            "client": ["203.0.113.7", 50123],
            "server": ["127.0.0.1", 8000],
            "headers": [*map(list, pairs), ["x-base", "/shop"]],
            "request_id": f"req-{self._next_id}",
            "end": end,
        }
        if body:
            message["size"] = len(body)
        self.send(message | fields, body)
        return self._next_id

    def body(self, number: int, data: bytes = b"", *, end: bool = False) -> None:
        """Send a BODY of a request."""
        self.send({"type": "BODY", "id": number, "size": len(data), "end": end}, data)

    def upload(self, number: int, data: bytes) -> None:
        """Send a body of any length, within the credit that the worker gives."""
        self.upload_some(number, data)
        self.body(number, end=True)

    def upload_some(self, number: int, data: bytes) -> None:
        """Send a part of a body."""
        credit = 65536
        while data:
            while not credit:
                credit += self.take_credit(number)
            piece = data[: min(credit, 65536)]
            credit -= len(piece)
            data = data[len(piece) :]
            self.body(number, piece)

    def take_credit(self, number: int) -> int:
        """Wait until it accepts more of a body; returns how many bytes more."""
        message, _ = self.take(lambda m: m["type"] in ("WINDOW", "WAITS") and m["id"] == number)
        credit: int = message["credit"]
        return credit

    def cancel(self, number: int, reason: str = "client") -> None:
        """Say that nobody waits for the answer any more."""
        self.send({"type": "CANCEL", "id": number, "reason": reason})

    def answer(self, number: int, *, grants: bool = True) -> Answer:
        """Wait for the end of an answer; `grants` returns credit as its parts come."""
        messages = []
        while True:
            message, payload = self.take(
                lambda m: m.get("id") == number and m["type"] not in ("WINDOW", "WAITS")
            )
            messages.append((message, payload))
            if message["type"] == "ERROR" or message["end"]:
                return Answer(messages)
            if grants and payload:
                with contextlib.suppress(BrokenPipeError):  # it may have ended with the last part
                    self.send({"type": "WINDOW", "id": number, "credit": len(payload)})

    def get(self, target: str = "/shop/", *args: Any, **fields: Any) -> Answer:
        """Send a request and wait for its answer."""
        return self.answer(self.request(target, *args, **fields))

    def terminate(self) -> int:
        """Send TERMINATE and wait for the end; returns the exit code."""
        self.send({"type": "TERMINATE"})
        return self.process.wait(WAIT_S)

    # ---- what the worker does

    def take(
        self, wanted: Callable[[Message], bool], timeout_s: float = WAIT_S
    ) -> tuple[Message, bytes]:
        """Wait for a message and take it; earlier ones that are not wanted stay."""
        deadline = time.monotonic() + timeout_s
        at = 0
        while True:
            while at < len(self._received):
                if wanted(self._received[at][0]):
                    return self._received.pop(at)
                at += 1
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(262144)
            except TimeoutError:
                raise AssertionError(f"nothing came: {self.leftover()}, {self.stderr}") from None
            if not data:
                raise EOFError(f"the worker has gone: {self.process.wait(WAIT_S)}, {self.stderr}")
            self._received += [each for each in self._decoder.feed(data) if each[0]["type"] != "UP"]

    def take_type(self, kind: str, number: int | None = None) -> Message:
        """Wait for a message of a type."""
        return self.take(lambda m: m["type"] == kind and m.get("id") == number)[0]

    def leftover(self) -> list[Message]:
        """The messages that came and that nobody took."""
        return [message for message, _ in self._received]

    def forget(self) -> None:
        """Drop what came and nobody took, so that the next test does not see it."""
        self._received.clear()

    @property
    def stdout(self) -> str:
        return self._read_output(0)

    @property
    def stderr(self) -> str:
        return self._read_output(1)

    def _read_output(self, which: int) -> str:
        descriptor = self._outputs[which].fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    # ---- the end

    def drop_lifeline(self) -> None:
        """Let go of the lifeline, as the kernel does for a killed runtime."""
        os.close(self._lifeline)
        self._lifeline = -1

    def close(self) -> None:
        """End the worker, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.socket.close()
        os.close(self._stacks)
        if self._lifeline >= 0:
            os.close(self._lifeline)
        for output in self._outputs:
            output.close()


# Gives each test of a file the same worker of an app with this source.
Lasting = Callable[[str], Worker]


class Workshop:
    """Makes apps and starts workers for them."""

    def __init__(self, bundle: Path, folder: Path, stack: contextlib.ExitStack) -> None:
        self.bundle = bundle
        self.launched = bundle / "__main__.py"
        self.folder = folder
        self.python = sys.executable
        self.forks = False  # what `boot` starts, see tests/support/nursery.py
        self._stack = stack

    def write(self, source: str, name: str = "app.py") -> Path:
        """Write a file of the app."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), "utf-8")
        return path

    def spare(self, forked: Kind | None = None) -> Worker:
        """Start a worker that has no app yet."""
        worker = Worker(self.launched, self.folder, self.python, forked)
        self._stack.callback(worker.close)
        return worker

    def start(self, source: str, **init: Any) -> Worker:
        """Write app.py, start a worker and wait until it is ready."""
        worker = self.boot(source, **init)
        worker.ready()
        return worker

    def boot(self, source: str, **init: Any) -> Worker:
        """Write the entrypoint and start a worker, whatever comes of it."""
        self.write(source, init.get("entrypoint", "app.py"))
        worker = self.spare(kind_of(source) if self.forks else None)
        worker.init(**init)
        return worker


def kind_of(source: str) -> Kind:
    """What the worker of this app, or of its module, is forked from."""
    return "async" if "async def" in source else "sync"


def eventually(fact: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Wait for a fact that no event announces, such as a line in a file."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


@contextlib.contextmanager
def workshop(bundle: Path, folder: Path) -> Iterator[Workshop]:
    """A workshop whose workers end with the block."""
    with contextlib.ExitStack() as stack:
        yield Workshop(bundle, folder, stack)
