"""A small HTTP client, and gates that hold an app's requests, for tests of a running runtime."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.harness import Runtime, wait_until

TIMEOUT_S = 20.0
SHARED = Path("/dev/shm")


class Answer(NamedTuple):
    """A response of the runtime."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The runtime's error in this answer."""
        return self.json()["error"]  # type: ignore[no-any-return]


def fetch(
    runtime: Runtime,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    source: str = "",
) -> Answer:
    """Send one request on its own connection, from the address `source`, such as "127.0.0.2"."""
    address = (source, 0) if source else None
    connection = http.client.HTTPConnection(
        "127.0.0.1", runtime.port, timeout=TIMEOUT_S, source_address=address
    )
    with contextlib.closing(connection):
        fields = dict(headers or {})
        if not fields.keys() & {"X-API-Key", "Authorization"}:
            fields |= runtime.operators_fields(path)
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def workers_of(runtime: Runtime, app: str | None, **fields: object) -> list[dict[str, Any]]:
    """The workers of an app (None: the spares) in `/api/workers` whose fields have these values."""
    workers = fetch(runtime, "/api/workers").json()["workers"]
    return [
        worker
        for worker in workers
        if worker["app"] == app and all(worker[name] == value for name, value in fields.items())
    ]


def metrics(runtime: Runtime) -> dict[str, Any]:
    """The counters of `/api/workers/metrics`."""
    return fetch(runtime, "/api/workers/metrics").json()  # type: ignore[no-any-return]


class Gates:
    """Files by which a test and its apps wait for each other; apps get the folder as `GATES`.

    They are in shared memory if the system has it: every app may write there, even in a sandbox.
    """

    # An app's code begins with this.
    CODE = """
import os, pathlib, time
from buntime import Response

def reach(name):
    pathlib.Path(os.environ["GATES"], name).touch()

def pass_through(name):
    gate = pathlib.Path(os.environ["GATES"], name)
    deadline = time.monotonic() + 30
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.003)
"""

    def __init__(self) -> None:
        self.folder = Path(
            tempfile.mkdtemp(prefix="gates-", dir=SHARED if SHARED.is_dir() else None)
        )
        weakref.finalize(self, shutil.rmtree, self.folder)
        self.env = {"GATES": str(self.folder)}

    def open(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def shut(self, name: str) -> None:
        (self.folder / name).unlink()

    def is_open(self, name: str) -> bool:
        return (self.folder / name).exists()

    def wait_for(self, name: str) -> None:
        """Wait until an app has reached `name`."""
        wait_until(lambda: self.is_open(name), what=f"an app reaching {name}")
