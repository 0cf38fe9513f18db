"""A log's sink that keeps what it gets. The other fakes import far more of the server."""

from __future__ import annotations

from buntime.core.telemetry.records import AccessEntry, Level, Record
from buntime.server.telemetry.logs import QUEUE_RECORDS, Log


class FakeSink:
    """A log's sink that keeps what it gets, without a thread."""

    level = Level.DEBUG

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.accesses: list[AccessEntry] = []

    def clock(self) -> float:
        return 0.0

    def put(self, record: Record, *, limit_records: int = QUEUE_RECORDS) -> None:
        self.records.append(record)

    def put_access(self, entry: AccessEntry) -> None:
        self.accesses.append(entry)

    def events(self, level: Level = Level.DEBUG) -> list[str]:
        return [record.event for record in self.records if record.level >= level]


def make_log(sink: FakeSink) -> Log:
    """A real log that writes to a fake sink."""
    return Log(sink)  # type: ignore[arg-type]
