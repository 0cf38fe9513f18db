"""Apps' logs are read without gaps or repetition, while they are written and rotated."""

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from buntime.core.telemetry.applines import LineFilter, seq_of, time_text
from buntime.core.telemetry.linepicks import Bounds
from buntime.core.telemetry.records import Level, Record, format_json
from buntime.core.telemetry.rings import Rings
from buntime.server.telemetry.appfiles import Keeping
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.linefiles import read_backwards, read_forwards
from buntime.server.telemetry.logreading import LogReader, Question
from buntime.server.telemetry.logtail import LogTail

NOON = 1772368496.0
ALL = LineFilter()
PAGE = Bounds(50, 1 << 20)


class Written:
    """Logs whose lines are numbers, from apps in random order."""

    def __init__(self, folder: Path, *, size_bytes: int = 1 << 20, memory: int = 1 << 20) -> None:
        self.folder = folder
        self.now = NOON
        self._keeping = Keeping(size_bytes=size_bytes)
        self._random = random.Random(7)
        self.count = 0
        self.apps: list[str] = []  # which app each line is from
        self.start(memory)

    def start(self, memory: int) -> None:
        """Start like a runtime that has ended and starts again."""
        self.logs = AppLogs(self._keeping, clock=lambda: self.now, memory_bytes=memory)
        self.logs.keep_in(str(self.folder))
        self.reader = LogReader(self.logs)
        self.write(0)  # opens the files, as the first line does

    def write(
        self, count: int, *, size: int = 50, apps: int = 3, level: Level = Level.INFO
    ) -> None:
        batch = []
        for _ in range(count):
            app = f"app{self._random.randrange(apps)}"
            text = f"{self.count} {'x' * self._random.randrange(size)}"
            batch.append(Record(self.now, level, "app.output", text, {"app": app}))
            self.apps.append(app)
            self.count += 1
        self.logs.take(batch, [format_json(record) for record in batch])

    def asked(self, wanted: LineFilter = ALL, app: str | None = None) -> Question:
        return Question(lambda name: app is None or name == app, wanted, app)

    def all_pages(self, question: Question, after: int = 0) -> list[int]:
        """What a reader gets who goes from page to page."""
        found: list[int] = []
        while True:
            page = self.reader.first(question, after, PAGE)
            assert len(page.lines) <= PAGE.lines
            found += numbers(page.lines)
            if page.is_end:
                return found
            after = page.last


def numbers(lines: list[bytes]) -> list[int]:
    return [int(json.loads(line)["message"].split()[0]) for line in lines]


@pytest.fixture
def small_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers in memory of so few lines that most are only in files."""
    monkeypatch.setattr("buntime.core.telemetry.rings.RING_BYTES", 5000)


def test_memory_alone(tmp_path: Path) -> None:
    """Without files the lines in memory are returned."""
    written = Written(tmp_path / "missing")
    written.write(200)
    assert written.all_pages(written.asked()) == list(range(200))
    assert numbers(written.reader.last(written.asked(), PAGE).lines) == list(range(150, 200))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_rings")
def test_files_and_memory(tmp_path: Path) -> None:
    """Lines come from files, and where these end from memory, also over a restart."""
    written = Written(tmp_path)
    for _ in range(20):
        written.write(100)
    assert written.all_pages(written.asked()) == list(range(2000))
    written.now += 100
    written.start(1 << 20)
    assert written.all_pages(written.asked()) == list(range(2000))
    written.write(500)
    assert written.all_pages(written.asked()) == list(range(2500))
    one = [number for number, app in enumerate(written.apps) if app == "app1"]
    assert written.all_pages(written.asked(app="app1")) == one
    for count in (1, 10, 300, 5000):
        page = written.reader.last(written.asked(), Bounds(count, 1 << 20))
        assert numbers(page.lines) == list(range(2500))[-count:]


@pytest.mark.usefixtures("small_rings")
def test_any_place(tmp_path: Path) -> None:
    """Reading from any line returns the lines after it."""
    written = Written(tmp_path, size_bytes=1 << 20)
    written.write(1000, size=1500)
    lines = written.reader.first(written.asked(), 0, Bounds(5000, 1 << 24)).lines
    assert len(lines) == 1000
    for at in range(0, 1000, 37):
        page = written.reader.first(written.asked(), seq_of(lines[at]), Bounds(3, 1 << 20))
        assert numbers(page.lines) == list(range(at + 1, min(at + 4, 1000)))


@pytest.mark.usefixtures("small_rings")
def test_filters(tmp_path: Path) -> None:
    """Filters by level and time apply to files and memory."""
    written = Written(tmp_path)
    for hour in range(10):
        written.now = NOON + 3600 * hour
        written.write(90)
        written.write(10, level=Level.ERROR)
    errors = [number for number in range(1000) if number % 100 >= 90]
    assert written.all_pages(written.asked(LineFilter(Level.WARN))) == errors
    since = LineFilter(since=time_text(NOON + 3600 * 7))
    assert written.all_pages(written.asked(since)) == list(range(700, 1000))
    last = written.reader.last(written.asked(LineFilter(Level.ERROR)), Bounds(15, 1 << 20))
    assert numbers(last.lines) == errors[-15:]
    last = written.reader.last(written.asked(since), Bounds(1000, 1 << 20))
    assert numbers(last.lines) == list(range(700, 1000))


@pytest.mark.usefixtures("small_rings")
def test_while_it_is_written(tmp_path: Path) -> None:
    """A reader misses no line and sees none twice while lines come and files are rotated."""
    written = Written(tmp_path, size_bytes=2_000_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set() and written.count < 20_000:
            written.write(50)

    thread = threading.Thread(target=write)
    written.write(50)
    thread.start()
    found: list[int] = []
    after = 0
    try:
        while len(found) < 2000:
            page = written.reader.first(written.asked(), after, PAGE)
            found += numbers(page.lines)
            after = page.last
    finally:
        stop.set()
        thread.join()
    assert found == list(range(len(found)))


def test_following_begins_where_reading_ends(tmp_path: Path) -> None:
    """A tail continues after the last page, from the first new line, while lines come."""
    written = Written(tmp_path)
    woken = threading.Event()
    tail = LogTail(lambda _: True, ALL.compiled(), woken.set, kept_bytes=1 << 24)
    thread = threading.Thread(target=lambda: [written.write(7) for _ in range(700)])
    thread.start()
    found: list[int] = []
    after, is_followed = 0, False
    while not is_followed:
        page = written.reader.first(written.asked(), after, Bounds(1000, 1 << 20), tail)
        found += numbers(page.lines)
        after, is_followed = page.last, page.is_followed
    thread.join()
    written.write(1)
    found += numbers([piece for piece in tail.take(1 << 24) if isinstance(piece, bytes)])
    assert found == list(range(4901))
    written.reader.forget(tail)
    written.reader.forget(tail)
    assert written.logs.followers == []


def test_torn_lines(tmp_path: Path) -> None:
    """A torn line is skipped, wherever it is, and hides no others."""
    written = Written(tmp_path)
    for _ in range(60):
        written.write(20, apps=1, size=400)
        written.logs.close()
        with (tmp_path / "logs" / "app0.log").open("ab") as file:
            file.write(b'{"seq":17')
    path = str(tmp_path / "logs")
    forwards = list(read_forwards(path, "app0", lambda line: False))
    assert numbers(forwards) == list(range(1200))
    assert list(read_backwards(path, "app0")) == forwards[::-1]
    for at in range(0, 1200, 53):
        seq = seq_of(forwards[at])
        assert list(read_forwards(path, "app0", before(seq))) == forwards[at + 1 :]


def before(seq: int) -> Callable[[bytes], bool]:
    return lambda line: seq_of(line) <= seq


def test_file_of_somebody_else(tmp_path: Path) -> None:
    """A file without log lines gives none."""
    (tmp_path / "shop.log").write_bytes(b"x" * 1_000_000)
    assert list(read_forwards(str(tmp_path), "shop", before(5))) == []
    assert list(read_backwards(str(tmp_path), "shop")) == []
    assert list(read_backwards(str(tmp_path), "other")) == []


def test_rings_of_thousands() -> None:
    """A page of many apps can also be made without files."""
    logs = AppLogs(Keeping(), clock=lambda: NOON)
    logs.rings = Rings()
    batch = [
        Record(NOON, Level.INFO, "app.output", str(number), {"app": f"app{number}"})
        for number in range(3000)
    ]
    logs.take(batch, [format_json(record) for record in batch])
    page = LogReader(logs).last(Question(lambda _: True, ALL), Bounds(10, 1 << 20))
    assert numbers(page.lines) == list(range(2990, 3000))
