"""Many open WebSockets on one worker and as many event streams on another, a message a second each.

    python -m tests.load.many_streams                      2000 and 2000, for 30 s
    python -m tests.load.many_streams --sockets 500 --events 0 --seconds 10

Prints how many messages came, how late the latest was, and what a connection costs in memory. Fails
if a message is lost, or later than LATE_S. `tests/load/test_many_streams.py` is its small form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.harness import Runtime, children_of, running, write_app
from tests.support.launcher import workers_afresh
from tests.support.rawsocket import PONG, handshake, write_frame

LATE_S = 2.0
_OPENING = 100  # connections that are opened at once
_PING = b"\x89\0"
_PONG = write_frame(PONG)

# Each message is due a number of seconds after the first, so one late message does not make those
# after it late.
SOCKET = """
import asyncio, time

async def websocket(ws):
    begun, n = time.time(), 0
    await ws.accept()
    while ws.close_code is None:
        await ws.send_json({"n": n, "due": begun + n})
        n += 1
        await asyncio.sleep(max(0, begun + n - time.time()))
"""
EVENTS = """
import asyncio, time
from buntime import Response

async def fetch(request):
    return Response.events(ticks())

async def ticks():
    begun, n = time.time(), 0
    while True:
        yield {"n": n, "due": begun + n}
        n += 1
        await asyncio.sleep(max(0, begun + n - time.time()))
"""


@dataclass
class Tally:
    """What has come on all connections of a kind."""

    opened: int = 0
    messages: int = 0
    lost: int = 0
    latest_s: float = 0.0
    ended: int = 0
    counts: list[int] = field(default_factory=list)  # of messages, by connection


class Client(asyncio.Protocol):
    """One connection. It finds messages by their braces, because nothing else contains any."""

    def __init__(self, asks: bytes, tally: Tally) -> None:
        self._asks = asks
        self._tally = tally
        self._unread = b""
        self._index = len(tally.counts)
        self.opened = asyncio.get_running_loop().create_future()
        self.is_closing = False
        tally.counts.append(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        transport.write(self._asks)

    def data_received(self, data: bytes) -> None:
        if _PING in data:  # nothing else contains this, because messages are ASCII
            self.transport.write(_PONG)
        *messages, self._unread = (self._unread + data).split(b"}")
        for message in messages:
            self._take(json.loads(message[message.index(b"{") :] + b"}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_closing:
            self._tally.ended += 1
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"no stream: {self._unread!r}"))

    def _take(self, message: dict[str, float]) -> None:
        tally = self._tally
        late_s = time.time() - message["due"]
        tally.latest_s = max(tally.latest_s, late_s)
        tally.messages += 1
        if message["n"] != tally.counts[self._index]:
            tally.lost += 1
        tally.counts[self._index] += 1
        if not self.opened.done():
            tally.opened += 1
            self.opened.set_result(None)


@dataclass
class Report:
    """What was seen of one kind."""

    kind: str
    tally: Tally
    seconds: float
    runtime_kb: float  # per connection
    worker_kb: float

    @property
    def is_good(self) -> bool:
        """Did every connection get each of its messages, and none of them late?"""
        tally = self.tally
        least = min(tally.counts, default=0)
        complete = least >= int(self.seconds)
        return complete and not tally.lost and not tally.ended and tally.latest_s <= LATE_S

    def __str__(self) -> str:
        tally = self.tally
        return (
            f"{self.kind}: {tally.opened} open for {self.seconds:.0f} s, {tally.messages} messages "
            f"came, {tally.lost} lost, {tally.ended} connections ended, the latest "
            f"{tally.latest_s:.2f} s late; a connection costs {self.runtime_kb:.1f} kB in the "
            f"runtime, {self.worker_kb:.1f} kB in the worker"
        )


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


async def hold_open(runtime: Runtime, counts: dict[str, int], seconds: float) -> list[Report]:
    """Open this many connections of each kind, hold them for this long, and report."""
    asks = {
        "sockets": handshake("/sockets/"),
        "events": b"GET /events/ HTTP/1.1\r\nHost: a\r\n\r\n",
    }
    clients: list[Client] = []
    tallies: dict[str, Tally] = {}
    costs: dict[str, tuple[float, float]] = {}
    for kind, count in counts.items():
        tally = tallies[kind] = Tally()
        await open_some(runtime, asks[kind], tally, 1, clients)  # it starts the worker
        before = memory_of(runtime)
        await open_some(runtime, asks[kind], tally, count - 1, clients)
        grown = [after - was for after, was in zip(memory_of(runtime), before, strict=True)]
        costs[kind] = (grown[0] / (count - 1), sum(grown[1:]) / (count - 1))
    await asyncio.sleep(seconds)
    reports = [Report(kind, tallies[kind], seconds, *costs[kind]) for kind in counts]
    for client in clients:
        client.is_closing = True
        client.transport.close()
    return reports


def memory_of(runtime: Runtime) -> list[int]:
    """The runtime's memory, then that of each of its workers, in kB."""
    pid = runtime.process.pid
    workers = sorted(children_of(pid))
    assert workers, "no worker is its child"
    return [resident_kb(each) for each in [pid, *workers]]


async def open_some(
    runtime: Runtime, asks: bytes, tally: Tally, count: int, clients: list[Client]
) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, count, _OPENING):
        batch = [
            await loop.create_connection(lambda: Client(asks, tally), "127.0.0.1", runtime.port)
            for _ in range(min(_OPENING, count - start))
        ]
        clients += [client for _, client in batch]
        await asyncio.wait_for(asyncio.gather(*[client.opened for _, client in batch]), 60)


def measure(folder: Path, sockets: int, events: int, seconds: float) -> list[Report]:
    """Start a runtime with both apps, and load it."""
    counts = {
        kind: count for kind, count in {"sockets": sockets, "events": events}.items() if count
    }
    write_app(folder / "sockets", {"index.py": SOCKET}, ttl="1h")
    write_app(folder / "events", {"index.py": EVENTS}, ttl="1h", concurrency=max(1, events))
    env = {"RUNTIME_ENV": "production", "RUNTIME_LOG_LEVEL": "info", "RUNTIME_SPARE_WORKERS": "0"}
    with workers_afresh(), running(folder, env=env) as runtime:  # forked ones share memory
        return asyncio.run(hold_open(runtime, counts, seconds))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = args.sockets + args.events + 100
    if files < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, most), most))
    with tempfile.TemporaryDirectory() as folder:
        reports = measure(Path(folder), args.sockets, args.events, args.seconds)
    for report in reports:
        print(report, "" if report.is_good else "-- FAILED")
    return 0 if all(report.is_good for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
