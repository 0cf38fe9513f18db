"""Measurements of a process that has just started: its time and its memory.

A process seldom gives memory back, so each round starts a new one.
"""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.clients import Client, connected, expect, worker_pids
from bench.contestants import CONNECTIONS_MAX, Contestant, Place
from bench.figures import Sample
from bench.servers import Server, blamed, free_port, launched, resident_bytes, wait_for_port

IDLE_CONNECTIONS = 10_000
SPARE_DESCRIPTORS = 500  # for everything except idle connections
REST_S = 1.0  # work begun for the first request, such as spare workers, is done by then
STARTS_MAX = 20  # in one round


def start_up(contestant: Contestant, folder: Path, seconds: float) -> Sample:
    """The time from the start of the process to its first answer: the median of as many as fit."""
    folder.mkdir(parents=True)
    contestant.prepare(folder)
    times_ms: list[float] = []
    end = time.perf_counter() + seconds
    while not times_ms or (time.perf_counter() < end and len(times_ms) < STARTS_MAX):
        times_ms.append(_start(contestant, folder))
    return {"start_ms": statistics.median(times_ms)}


def _start(contestant: Contestant, folder: Path) -> float:
    port = free_port()
    command = contestant.command(Place(folder, port))
    begun = time.perf_counter()
    with (
        launched(contestant.name, command, folder=folder, env=contestant.env) as process,
        blamed(folder / "log"),
    ):
        wait_for_port(port, process)
        with connected(port) as client:
            expect(client.get("/noop/"), b"ok")
            return (time.perf_counter() - begun) * 1e3


def at_rest(contestant: Contestant, folder: Path, _: float) -> Sample:
    """Memory of a runtime that has answered one request, and of the worker that answered it."""
    with (
        contestant.serve(folder) as server,
        blamed(server.log),
        connected(server.port) as client,
    ):
        expect(client.get("/noop/"), b"ok")
        time.sleep(REST_S)
        [worker] = worker_pids(client)
        return {
            "runtime_mib": server.resident_bytes() / 2**20,
            "worker_mib": resident_bytes(worker) / 2**20,
        }


def idle_connections(contestant: Contestant, folder: Path, _: float) -> Sample:
    """Memory of a connection that has had one answer and stays open."""
    with (
        contestant.serve(folder) as server,
        blamed(server.log),
        contextlib.ExitStack() as clients,
    ):
        with connected(server.port) as client:  # the first one has costs that later ones lack
            expect(client.get("/noop/"), b"ok")
        count = connections_allowed(server)
        before = server.resident_bytes()
        opened: list[Client] = []
        for _ in range(count):
            opened.append(clients.enter_context(connected(server.port)))
            expect(opened[-1].get("/noop/"), b"ok")
        grown = server.resident_bytes() - before
        for client in opened[0], opened[-1]:
            expect(client.get("/noop/"), b"ok")  # still open
        return {"kib_each": grown / count / 1024, "connections": count}


def connections_allowed(server: Server) -> int:
    """10,000, or as many as the limits of open files allow here and in the server."""
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    files = min(ours, server.descriptors_max())
    return max(1, min([IDLE_CONNECTIONS, files - SPARE_DESCRIPTORS, *_told_limits(server.log)]))


def _told_limits(log: Path) -> Iterator[int]:
    """How many connections Buntime said that it can hold, minus the one that asks for workers."""
    for line in log.read_text("utf-8").splitlines():
        if '"runtime.connections_limited"' in line:
            yield json.loads(line)["connections"] - 1


def raise_descriptor_limit() -> None:
    """For this process and those that it starts, as far as allowed."""
    wanted = CONNECTIONS_MAX + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        with contextlib.suppress(ValueError, PermissionError):  # only root may, and not everywhere
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
