"""A machine with the units that `buntime install-service` installs, once for each form.

`python3 build.py test --systemd` boots it; without that these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from artifacts.nspawn import entering
from tests.support.harness import wait_until, write_app

URL = "http://127.0.0.1:8000"
APP = """
import os, time
from buntime import Response

def tried(do):
    try:
        do()
    except OSError as exc:
        return type(exc).__name__
    return "done"

def fetch(request):
    path = request.path
    if path == "/slow":
        time.sleep(float(request.query["s"]))
    if path == "/write":
        return Response(tried(lambda: open(request.query["at"], "w").close()))
    if path == "/read":
        return Response(tried(lambda: open(request.query["at"]).read()))
    if path == "/who":
        return Response.json({"uid": os.getuid(), "runtime": os.getppid(), "env": dict(os.environ)})
    return Response("ok")
"""


class Machine:
    """Runs commands in the machine, and sends requests to the runtime there."""

    def __init__(self, pid: int, root: Path) -> None:
        self.root = root
        self._entering = entering(pid)

    def run(self, *words: str, fails: bool = False) -> str:
        """What a command prints; it must succeed, or fail with `fails`."""
        done = subprocess.run(
            [*self._entering, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{words}: {done.stdout}\n{self.journal()}"
        return done.stdout

    def journal(self) -> str:
        """The service's last log lines, for error messages."""
        shown = [*self._entering, "journalctl", "-u", "buntime*", "--no-pager", "-n", "30"]
        return subprocess.run(shown, capture_output=True, text=True, check=False).stdout

    def records(self, *more: str) -> list[dict[str, Any]]:
        """The service's journal."""
        lines = self.run("journalctl", "-u", "buntime", "-o", "json", *more).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def shown(self, name: str, unit: str = "buntime.service") -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def get(self, path: str = "/tried/", **more: Any) -> httpx.Response:
        return httpx.get(URL + path, timeout=60, verify=False, **more)

    @property
    def runtime(self) -> int:
        """The runtime's process id within the machine."""
        return int(self.get("/tried/who").json()["runtime"])

    def wait_for_other(self, pid: int, timeout_s: float = 60.0) -> None:
        """Wait until another runtime process answers."""

        def is_other() -> bool:
            try:
                return self.runtime != pid
            except httpx.HTTPError:
                return False

        wait_until(is_other, timeout_s)

    @contextmanager
    def changed(self, text: str, unit: str = "buntime.service") -> Iterator[None]:
        """With a drop-in; afterwards as before."""
        folder = self.root / f"etc/systemd/system/{unit}.d"
        folder.mkdir(exist_ok=True)
        (folder / "tried.conf").write_text(text)
        try:
            self.run("systemctl", "daemon-reload")
            yield
        finally:
            (folder / "tried.conf").unlink()
            self.run("systemctl", "daemon-reload")
            self.run("systemctl", "reset-failed")
            self.run("systemctl", "restart", "buntime.socket", "buntime.service")

    @contextmanager
    def loaded(self) -> Iterator[list[str]]:
        """Clients that send requests all the time, each on new connections; yields their errors."""
        wrong: list[str] = []
        counts = [0, 0, 0]
        is_over = threading.Event()

        def ask(number: int) -> None:
            while not is_over.is_set():
                try:
                    answer = self.get()
                    if answer.status_code != 200:
                        wrong.append(f"{answer.status_code}: {answer.text}")
                except httpx.HTTPError as exc:
                    wrong.append(repr(exc))
                counts[number] += 1

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(len(counts))]
        for client in clients:
            client.start()
        wait_until(lambda: min(counts) > 2)
        try:
            yield wrong
            before = [*counts]
            wait_until(lambda: all(a > b + 2 for a, b in zip(counts, before, strict=True)))
        finally:
            is_over.set()
            for client in clients:
                client.join()


@pytest.fixture(scope="session")
def booted() -> Machine:
    told = os.environ.get("SYSTEMD_MACHINE")
    if not told:
        pytest.skip("no machine is booted: python3 build.py test --systemd")
    pid, _, root = told.partition(":")
    return Machine(int(pid), Path(root))


@pytest.fixture(scope="module", params=["buntime", "buntime.pyz"])
def machine(booted: Machine, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """With the service enabled and started, as docs/deployment.md says."""
    root, name = booted.root, request.param
    write_app(root / "srv/apps/tried", {"app.py": APP}, ttl=3600)
    booted.run("install", "-m", "755", f"/root/{name}", f"/usr/local/bin/{name}")
    told = booted.run(f"/usr/local/bin/{name}", "install-service", "/srv/apps", "--force")
    commands = told.partition("Now run, as root:\n")[2].partition("\n\n")[0]
    for line in commands.splitlines():
        if "journalctl" not in line:
            booted.run("sh", "-ec", line.strip())
    yield booted
    booted.run("systemctl", "disable", "--now", "buntime.socket", "buntime.service")
    booted.run("systemctl", "reset-failed")
