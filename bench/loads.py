"""How a served contestant is checked, and then measured."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from bench.clients import Client, connected, download, expect, pace, upload, worker_pids
from bench.errors import BenchError
from bench.figures import Sample, percentile
from bench.servers import Server, resident_bytes
from bench.sites import MANY, static_bytes
from bench.sizes import ECHO_BYTES
from bench.wrk import run_wrk

LOADED_S = 120.0  # for 200 workers, on a machine that does other things too
POLL_S = 0.1


class Load(Protocol):
    """Requests for a server."""

    def check(self, server: Server) -> None:
        """Raise BenchError if an answer does not have the expected status and bytes."""

    def measure(self, server: Server, seconds: float) -> Sample:
        """Measure one round."""


@dataclass(frozen=True)
class Get:
    """A GET by wrk, on this many connections."""

    path: str = "/noop/"
    connections: int = 50
    body: bytes = b"ok"
    mode: str = "plain"  # or "varied": a new query each time

    def check(self, server: Server) -> None:
        with connected(server.port) as client:
            for query in "", "?n=1":
                expect(client.get(self.path + query), self.body)

    def measure(self, server: Server, seconds: float) -> Sample:
        return run_wrk(
            server.port,
            self.path,
            connections=self.connections,
            seconds=seconds,
            mode=self.mode,
            least=len(self.body),
        )


def get_static(name: str, size: int, connections: int) -> Get:
    """A GET of a file of the app `site`."""
    return Get(f"/site/{name}", connections, static_bytes(size))


@dataclass(frozen=True)
class Echo:
    """A POST of 1 KiB by wrk; the answer returns the body."""

    path: str = "/echo/"
    connections: int = 50

    def check(self, server: Server) -> None:
        body = b"x" * ECHO_BYTES
        with connected(server.port) as client:
            client.send("POST", self.path, f"Content-Length: {ECHO_BYTES}")
            client.sock.sendall(body)
            expect(client.receive(), body)

    def measure(self, server: Server, seconds: float) -> Sample:
        return run_wrk(
            server.port,
            self.path,
            connections=self.connections,
            seconds=seconds,
            mode=f"post {ECHO_BYTES}",
            least=ECHO_BYTES,
        )


@dataclass(frozen=True)
class Calls:
    """A GET of an app that calls a service, and answers with the time of each call."""

    path: str = "/calls/"

    def check(self, server: Server) -> None:
        with connected(server.port) as client:
            self._times_ms(client)

    def measure(self, server: Server, seconds: float) -> Sample:
        times_ms: list[float] = []
        with connected(server.port) as client:
            end = time.perf_counter() + seconds
            while not times_ms or time.perf_counter() < end:
                times_ms += self._times_ms(client)
        return {"p50_ms": percentile(times_ms, 0.5), "p99_ms": percentile(times_ms, 0.99)}

    def _times_ms(self, client: Client) -> list[float]:
        status, body = client.get(self.path)
        times_ms = json.loads(body) if status == 200 and body.startswith(b"[") else []
        if not times_ms:
            raise BenchError(f"answered {status} with no times of calls: {body[:80]!r}")
        return list(map(float, times_ms))


@dataclass(frozen=True)
class Many:
    """A GET of one of this many apps at random, by wrk; the check loads them all."""

    apps: int = MANY
    connections: int = 10

    def check(self, server: Server) -> None:
        with connected(server.port) as client:
            for number in range(self.apps):
                expect(client.get(f"/app-{number:03}/"), b"ok")

    def measure(self, server: Server, seconds: float) -> Sample:
        sample = run_wrk(
            server.port,
            "/",
            connections=self.connections,
            seconds=seconds,
            mode=f"many {self.apps}",
            least=len(b"ok"),
        )
        with connected(server.port) as client:
            workers = [resident_bytes(pid) for pid in worker_pids(client)]
        if len(workers) != self.apps:
            raise BenchError(f"of {self.apps} apps {len(workers)} are loaded")
        memory = {"runtime_mib": server.resident_bytes(), "worker_mib": median(workers)}
        return sample | {key: size / 2**20 for key, size in memory.items()}


@dataclass(frozen=True)
class Beside:
    """A GET of the app `noop` by wrk, beside this many other apps, which the check loads."""

    apps: int
    connections: int = 10

    def check(self, server: Server) -> None:
        Many(self.apps).check(server)
        self._get().check(server)

    def measure(self, server: Server, seconds: float) -> Sample:
        sample = self._get().measure(server, seconds)
        expect_workers(server, least=self.apps + 1, most=self.apps + 1)
        return sample

    def _get(self) -> Get:
        return Get("/noop/", self.connections)


@dataclass(frozen=True)
class Among:
    """A GET by wrk of an app that has this many workers, of which as many work as connections."""

    app: str
    workers: int
    connections: int = 4

    def check(self, server: Server) -> None:
        deadline = time.monotonic() + LOADED_S
        with connected(server.port) as client:
            while len(worker_pids(client)) < self.workers and time.monotonic() < deadline:
                time.sleep(POLL_S)
        self._get().check(server)

    def measure(self, server: Server, seconds: float) -> Sample:
        sample = self._get().measure(server, seconds)
        # Busy ones may be replaced, because this many should be ready.
        most = self.workers + self.connections
        expect_workers(server, least=self.workers, most=most)
        return sample

    def _get(self) -> Get:
        return Get(f"/{self.app}/", self.connections)


def expect_workers(server: Server, *, least: int, most: int) -> None:
    """Raise BenchError if too few or too many workers have an app."""
    with connected(server.port) as client:
        found = len(worker_pids(client))
    if not least <= found <= most:
        raise BenchError(f"{found} workers have an app, not {least} to {most}")


@dataclass(frozen=True)
class Paced:
    """One request every 100 ms; in between none, or others one at a time, to another path."""

    path: str
    between: str | None = None

    def check(self, server: Server) -> None:
        with connected(server.port) as client:
            expect(client.get(self.path), b"ok")

    def measure(self, server: Server, seconds: float) -> Sample:
        return pace(server.port, self.path, b"ok", seconds, self.between)


@dataclass(frozen=True)
class Download:
    """100 MiB through the server, one transfer at a time. Each transfer is checked."""

    path: str = "/download/"

    def check(self, server: Server) -> None:
        download(server.port, self.path, seconds=0)

    def measure(self, server: Server, seconds: float) -> Sample:
        return download(server.port, self.path, seconds)


@dataclass(frozen=True)
class Upload:
    """100 MiB to the server, one transfer at a time. Each transfer is checked."""

    path: str = "/upload/"

    def check(self, server: Server) -> None:
        upload(server.port, self.path, seconds=0)

    def measure(self, server: Server, seconds: float) -> Sample:
        return upload(server.port, self.path, seconds)
