"""Plays what Kubernetes does to pods in an update: probes, endpoints, preStop, SIGTERM, the grace.

    deleted ──> preStop ────────────> SIGTERM ──> drain ──> gone, or SIGKILL after the grace
       └──────> endpoint removed, some time after: nobody waits for the other

The times are those of the chart's values, but run `SPEED` times as fast. A pod is a runtime of the
checkout; in front of the pods is a HAProxy, whose servers are set while it runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.support.harness import ROOT, Runtime, running, wait_until
from tests.support.proxies import free_port

SPEED = 10
PROPAGATION_S = 3.0  # how long proxies take to hear of an endpoint, at most preStop's time
VALUES = ROOT / "deploy/helm/buntime/values.yaml"
DRAIN_S = 30.0  # RUNTIME_SHUTDOWN_TIMEOUT, once for requests and once for workers
_SLOTS = 4

HAPROXY = """
global
  stats socket {folder}/admin.sock level admin
defaults
  mode http
  retries 0
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout tunnel 30s
frontend web
  bind 127.0.0.1:{port}
  default_backend pods
backend pods
  balance roundrobin
{servers}
"""


class Numbers(NamedTuple):
    """The chart's times, in seconds of the cluster's clock."""

    pre_stop_s: float
    period_s: float
    grace_s: float
    propagation_s: float = PROPAGATION_S

    @classmethod
    def of_chart(cls) -> Numbers:
        values = yaml.safe_load(VALUES.read_text("utf-8"))
        pre_stop = float(values["drain"]["preStopSeconds"])
        grace = values["drain"]["graceSeconds"] or pre_stop + 2 * DRAIN_S + 10
        return cls(pre_stop, float(values["probes"]["periodSeconds"]), float(grace))


def passes(seconds: float) -> None:
    """Let this much of the cluster's time pass."""
    time.sleep(seconds / SPEED)


class Pod:
    """A runtime, and its slot among the proxy's servers."""

    def __init__(self, apps: Path, slot: int) -> None:
        self.slot, self.port = slot, free_port()
        env = {
            "RUNTIME_ENV": "production",
            "RUNTIME_STATE": "none",
            "RUNTIME_LISTEN": f"127.0.0.1:{self.port}",
            "RUNTIME_SHUTDOWN_TIMEOUT": f"{int(DRAIN_S / SPEED)}s",
        }
        self._running = running(apps, env=env)
        self.runtime: Runtime | None = None

    def start(self) -> None:
        self.runtime = self._running.__enter__()

    def is_ready(self) -> bool:
        """Whether the readiness probe gets a 200."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(b"GET /api/health/ready HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")
            return b" 200 " in s.recv(4096)
        return False

    def terminate(self) -> None:
        assert self.runtime is not None
        os.kill(self.runtime.pid, signal.SIGTERM)

    def wait(self, grace_s: float) -> bool:
        """Whether the pod ended by itself; afterwards it is gone in any case."""
        assert self.runtime is not None
        try:
            self.runtime.process.wait(grace_s / SPEED)
        except subprocess.TimeoutExpired:
            os.kill(self.runtime.pid, signal.SIGKILL)
            self.runtime.process.wait()
            return False
        finally:
            self._running.__exit__(None, None, None)
        return True


class Cluster:
    """Pods behind a proxy."""

    def __init__(self, apps: Path, folder: Path, numbers: Numbers) -> None:
        self.numbers = numbers
        self.port = free_port()
        self.pods: list[Pod] = []
        self.killed = 0
        self._apps = apps
        self._admin = str(folder / "admin.sock")
        self._slots = list(range(_SLOTS))

    def add(self, *, lies: bool = False) -> None:
        """Start a pod, and send it requests once it is ready; at once if its probe `lies`."""
        pod = Pod(self._apps, self._slots.pop(0))
        if lies:
            self._endpoint(pod, is_there=True)
            passes(self.numbers.propagation_s)
        pod.start()
        while not pod.is_ready():
            passes(self.numbers.period_s)
        passes(self.numbers.propagation_s)
        self._endpoint(pod, is_there=True)
        self.pods.append(pod)

    def delete(self) -> None:
        """Delete the oldest pod."""
        pod = self.pods.pop(0)
        steps = [
            (self.numbers.pre_stop_s, pod.terminate),
            (self.numbers.propagation_s, lambda: self._endpoint(pod, is_there=False)),
        ]
        now_s = 0.0
        for at_s, step in sorted(steps, key=lambda each: each[0]):
            passes(at_s - now_s)
            step()
            now_s = at_s
        self.killed += not pod.wait(self.numbers.grace_s - self.numbers.pre_stop_s)
        self._slots.append(pod.slot)

    def update(self) -> None:
        """A rolling update with maxSurge 1 and maxUnavailable 0."""
        for _ in range(len(self.pods)):
            self.add()
            self.delete()

    def close(self) -> None:
        while self.pods:
            pod = self.pods.pop()
            pod.terminate()
            pod.wait(self.numbers.grace_s)

    def _endpoint(self, pod: Pod, *, is_there: bool) -> None:
        name = f"pods/s{pod.slot}"
        lines = [f"set server {name} addr 127.0.0.1 port {pod.port}"] if is_there else []
        lines.append(f"set server {name} state {'ready' if is_there else 'maint'}")
        for line in lines:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self._admin)
                sock.sendall(f"{line}\n".encode())
                while sock.recv(4096):
                    pass


@contextlib.contextmanager
def cluster(apps: Path, folder: Path, numbers: Numbers, pods: int = 2) -> Iterator[Cluster]:
    """Pods that serve `apps`, and a HAProxy in front of them."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("there is no haproxy here")
    made = Cluster(apps, folder, numbers)
    servers = "\n".join(f"  server s{slot} 127.0.0.1:1 disabled" for slot in range(_SLOTS))
    path = folder / "haproxy.cfg"
    path.write_text(HAPROXY.format(folder=folder, port=made.port, servers=servers))
    process = subprocess.Popen([program, "-db", "-f", str(path)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(folder / "admin.sock"))
        for _ in range(pods):
            made.add()
        yield made
    finally:
        made.close()
        process.kill()
        process.wait()
