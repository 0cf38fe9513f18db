"""A download far larger than its client's patience: read slowly for a while, then left.

    python -m tests.load.slow_download                     2 GB at 1 MB/s for 20 s
    python -m tests.load.slow_download --seconds 5 --megabytes 100

Prints how the memory of runtime and worker changed, and fails if either grew by more than
GROWN_MAX, if the app was not told that its client had left, or if the worker was not used again.
`tests/load/test_slow_download.py` is its small form.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.load.many_streams import memory_of
from tests.support.harness import Runtime, running, write_app
from tests.support.launcher import workers_afresh
from tests.support.rawclient import client_of, request

MB = 1024 * 1024
RATE = MB  # bytes a second
GROWN_MAX = 8 * 1024  # kB

APPS = {
    "sync": """
import os
from buntime import Response

def fetch(request):
    if request.path == "/pid":
        return Response(str(os.getpid()))
    size = int(request.query["size"])
    return Response(pieces(size), headers={"content-length": str(size)})

def pieces(size):
    sent = 0
    try:
        while sent < size:
            yield bytes(65536)
            sent += 65536
    finally:
        print("closed after", sent)
""",
}
APPS["async"] = APPS["sync"].replace("def ", "async def ")


@dataclass
class Report:
    """What was seen of one kind of app; memory in kB."""

    kind: str
    read_bytes: int
    made_bytes: int  # by the app
    told_s: float  # until the app knew that its client had left
    before_kb: tuple[int, int]
    most_kb: tuple[int, int]
    same_worker: bool

    @property
    def is_good(self) -> bool:
        grown = [most - was for most, was in zip(self.most_kb, self.before_kb, strict=True)]
        return max(grown) <= GROWN_MAX and self.told_s < 1 and self.same_worker

    def __str__(self) -> str:
        (runtime, worker), (most, worker_most) = self.before_kb, self.most_kb
        return (
            f"{self.kind}: the client read {self.read_bytes / MB:.1f} MB, the app made "
            f"{self.made_bytes / MB:.1f} MB and knew {self.told_s:.2f} s after it that the client "
            f"had left; the runtime had {runtime / 1024:.1f} MB before and {most / 1024:.1f} MB at "
            f"most, the worker {worker / 1024:.1f} and {worker_most / 1024:.1f} MB; the worker was "
            f"{'' if self.same_worker else 'NOT '}used again"
        )


def measure(folder: Path, size: int, seconds: float) -> list[Report]:
    """Start a runtime with both apps, and download from one after the other."""
    for kind, source in APPS.items():
        write_app(folder / kind, {"app.py": source}, ttl="1h")
    env = {"RUNTIME_ENV": "production", "RUNTIME_LOG_LEVEL": "info", "RUNTIME_SPARE_WORKERS": "0"}
    reports = []
    for kind in APPS:  # one runtime each, so that its only child is the worker
        with workers_afresh(), running(folder, env=env) as runtime:  # forked ones share memory
            reports.append(leave_early(runtime, kind, size, seconds))
    return reports


def leave_early(runtime: Runtime, kind: str, size: int, seconds: float) -> Report:
    """Read at RATE for this long, then leave."""

    def ask(path: str) -> bytes:
        with client_of(runtime) as client:
            return client.get(f"/{kind}{path}").body

    pid = ask("/pid")
    ask(f"/?size={4 * MB}")  # memory that the first download takes and keeps
    before = memory_of(runtime)
    most = list(before)
    read = 0
    with client_of(runtime) as client:
        client.send(request(f"GET /{kind}/?size={size}"))
        begun = time.monotonic()
        while (elapsed := time.monotonic() - begun) < seconds:
            while read < elapsed * RATE:
                read += len(client.receive())
            most = [max(pair) for pair in zip(most, memory_of(runtime), strict=True)]
            time.sleep(0.02)  # sets the rate
    left = time.monotonic()
    message = closed_message(runtime)
    told_s = time.monotonic() - left
    return Report(
        kind,
        read_bytes=read,
        made_bytes=int(message.rpartition(" ")[2]),
        told_s=told_s,
        before_kb=(before[0], before[1]),
        most_kb=(most[0], most[1]),
        same_worker=ask("/pid") == pid,
    )


def closed_message(runtime: Runtime) -> str:
    """What the app prints at the end of the second download, the one that is left early."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        closed = [
            record["message"]
            for record in tuple(runtime.records)
            if record["message"].startswith("closed after")
        ]
        if len(closed) == 2:
            return str(closed[1])
        time.sleep(0.005)
    raise AssertionError(f"the app was not told: {runtime.tail()}")


def main() -> int:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = measure(Path(folder), args.megabytes * MB, args.seconds)
    for report in reports:
        print(report, "" if report.is_good else "-- FAILED")
    return 0 if all(report.is_good for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
