"""What is logged is written whole and in order, and logging never waits."""

import contextlib
import json
import os
import pty
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.errors import UsageError
from buntime.core.telemetry.linesplitter import LINE_BYTES
from buntime.core.telemetry.records import AccessEntry, Level, Record
from buntime.server.telemetry.logs import (
    QUEUE_APP_RECORDS,
    QUEUE_CHARS,
    QUEUE_RECORDS,
    Log,
    LogSink,
)

NOON = 1772368496.789  # 2026-03-01T12:34:56.789Z
# Far more than any of these steps takes; only reached if something hangs.
PATIENCE_S = 30.0

OpenSink = Callable[..., LogSink]


class Pipe:
    """A pipe that is not read until the test says so."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.received = bytearray()
        self._thread = threading.Thread(target=self._read)

    def read_line(self) -> str:
        """Wait for what is written next; one small write arrives as one piece."""
        readable, _, _ = select.select([self.reader], [], [], PATIENCE_S)
        assert readable, "nothing was written"
        return os.read(self.reader, 65536).decode()

    def stall(self, sink: LogSink) -> None:
        """Fill the pipe with empty lines, so that the sink's writer waits for it."""
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"\n")
        os.set_blocking(self.writer, True)
        Log(sink).error("test.stalled", "stalled")
        while sink.queued_records:
            time.sleep(0.001)

    def start_reading(self) -> None:
        """Read everything from now on, on a thread."""
        self._thread.start()

    def lines(self) -> list[dict[str, Any]]:
        """Close the writing end; returns all records that arrived."""
        self._end_writing()
        return parsed(bytes(self.received))

    def stop_reading(self) -> None:
        """Close the reading end, like a log's reader that crashes."""
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        """Close what is still open."""
        self._end_writing()
        if self.reader >= 0:
            self.stop_reading()

    def _end_writing(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
        if self._thread.ident:
            self._thread.join()

    def _read(self) -> None:
        while data := os.read(self.reader, 65536):
            self.received += data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe for a sink to write to."""
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def open_sink(pipe: Pipe) -> Iterator[OpenSink]:
    """Opens the sink under test, at level debug and at NOON; closed at the end, before the pipe."""
    sinks = []

    def open_one(level: Level = Level.DEBUG, **options: Any) -> LogSink:
        options = {"stream_fd": None, "clock": lambda: NOON} | options
        sinks.append(LogSink(level, **options))
        return sinks[-1]

    yield open_one
    for sink in sinks:
        assert sink.close(PATIENCE_S)


def entry(number: int) -> AccessEntry:
    """The access entry of request `number`."""
    return AccessEntry(
        time=NOON,
        request_id=str(number),
        method="GET",
        host="localhost:8000",
        path="/hello/",
        app="hello",
        version="1.0.0",
        worker="w3",
        status=200,
        bytes=512,
        ms=1.25,
        client="127.0.0.1",
    )


def parsed(lines: bytes) -> list[dict[str, Any]]:
    """Records from JSON lines."""
    return [json.loads(line) for line in lines.splitlines() if line]


def written(sink: LogSink, path: Path) -> list[dict[str, Any]]:
    """The records in a file, once everything logged has been written."""
    assert sink.flush(PATIENCE_S)
    return parsed(path.read_bytes())


# --- the log ---


def test_record(open_sink: OpenSink, tmp_path: Path) -> None:
    """A record has its time, level, event, message and fields."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    Log(sink).warn("worker.replaced", "worker replaced", worker="w3", age_s=12.5)
    assert written(sink, tmp_path / "x.log") == [
        {
            "time": "2026-03-01T12:34:56.789Z",
            "level": "warn",
            "event": "worker.replaced",
            "message": "worker replaced",
            "worker": "w3",
            "age_s": 12.5,
        }
    ]


@pytest.mark.parametrize("level", Level)
def test_levels(open_sink: OpenSink, tmp_path: Path, level: Level) -> None:
    """Records below the level are not written."""
    sink = open_sink(level, file=str(tmp_path / "x.log"))
    log = Log(sink)
    log.debug("test.text", "text")
    log.info("test.text", "text")
    log.warn("test.text", "text")
    log.error("test.text", "text")
    levels = [line["level"] for line in written(sink, tmp_path / "x.log")]
    assert levels == [other.word for other in Level if other >= level]


@pytest.mark.parametrize(("level", "count"), [(Level.INFO, 1), (Level.WARN, 0)])
def test_access_level(open_sink: OpenSink, tmp_path: Path, level: Level, count: int) -> None:
    """Access lines have level info."""
    sink = open_sink(level, file=str(tmp_path / "x.log"))
    Log(sink).access(entry(1))
    assert len(written(sink, tmp_path / "x.log")) == count


def test_level_may_change(open_sink: OpenSink, tmp_path: Path) -> None:
    """The level of a running sink can be changed."""
    sink = open_sink(Level.ERROR, file=str(tmp_path / "x.log"))
    log = Log(sink)
    log.info("test.before", "before")
    sink.level = Level.INFO
    log.info("test.after", "after")
    assert [line["message"] for line in written(sink, tmp_path / "x.log")] == ["after"]


def test_child(open_sink: OpenSink, tmp_path: Path) -> None:
    """A child's records have its fields, its parent's, and those of the call, which take
    precedence."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    log = Log(sink, {"host": "a"})
    child = log.child(app="shop", version="1.0.0").child(worker="w1")
    child.info("test.text", "text", version="2.0.0", ms=3)
    log.info("test.text", "text")
    first, second = written(sink, tmp_path / "x.log")
    assert first["host"] == second["host"] == "a"
    assert (first["app"], first["version"], first["worker"]) == ("shop", "2.0.0", "w1")
    assert "app" not in second


def test_field_of_any_name(open_sink: OpenSink, tmp_path: Path) -> None:
    """Fields may have the names of the call's arguments."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    Log(sink).child(self="child").info("test.text", "text", message="field")
    (line,) = written(sink, tmp_path / "x.log")
    assert (line["message"], line["message_"], line["self"]) == ("text", "field", "child")


@pytest.mark.parametrize(("stream", "level"), [("stdout", "info"), ("stderr", "warn")])
def test_app_output(open_sink: OpenSink, tmp_path: Path, stream: Any, level: str) -> None:
    """A line that an app printed is a record with its app, version, worker and stream."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    Log(sink).app_output("shop", "1.0.0", "w3", stream, "hello")
    (line,) = written(sink, tmp_path / "x.log")
    del line["time"]
    assert line == {
        "level": level,
        "event": "app.output",
        "message": "hello",
        "app": "shop",
        "version": "1.0.0",
        "worker": "w3",
        "stream": stream,
    }


def test_app_output_level(open_sink: OpenSink, tmp_path: Path) -> None:
    """At level warn an app's stdout is left out, but not its stderr."""
    sink = open_sink(Level.WARN, file=str(tmp_path / "x.log"))
    log = Log(sink)
    log.app_output("shop", None, "w3", "stdout", "out")
    log.app_output("shop", None, "w3", "stderr", "err")
    assert [line["message"] for line in written(sink, tmp_path / "x.log")] == ["err"]


# --- formats ---


def test_stream_and_file(open_sink: OpenSink, pipe: Pipe, tmp_path: Path) -> None:
    """With a file, lines go to both the stream and the file."""
    sink = open_sink(stream_fd=pipe.writer, file=str(tmp_path / "x.log"))
    Log(sink).info("test.text", "text")
    assert sink.flush(PATIENCE_S)
    assert pipe.read_line() == (tmp_path / "x.log").read_text()


def test_pretty(open_sink: OpenSink, pipe: Pipe) -> None:
    """Pretty lines in a pipe have no colour."""
    sink = open_sink(format="pretty", stream_fd=pipe.writer)
    Log(sink).info("test.text", "text", key="\x1b[2J")
    Log(sink).access(entry(1))
    assert sink.flush(PATIENCE_S)
    first, second = pipe.read_line().splitlines()
    assert re.fullmatch(r'\d\d:\d\d:56.789 INFO  text key="\\x1b\[2J"', first)
    assert second.endswith("INFO  GET /hello/ 200 1.2ms 512B hello@1.0.0 w3 127.0.0.1 1")


@pytest.mark.parametrize(
    ("no_color", "form", "has_colour"),
    [
        (None, "pretty", True),
        ("", "pretty", True),
        ("1", "pretty", False),
        (None, "json", False),
    ],
)
def test_terminal(
    open_sink: OpenSink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_color: str | None,
    form: str,
    has_colour: bool,
) -> None:
    """Pretty lines are in colour on a terminal without NO_COLOR, and never in the file."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    keyboard, screen = pty.openpty()
    sink = open_sink(format=form, stream_fd=screen, file=str(tmp_path / "x.log"))
    Log(sink).info("test.text", "text")
    assert sink.flush(PATIENCE_S)
    assert (b"\x1b" in os.read(keyboard, 1000)) is has_colour
    assert b"\x1b" not in (tmp_path / "x.log").read_bytes()
    os.close(keyboard)
    os.close(screen)


def test_malformed_record(open_sink: OpenSink, tmp_path: Path) -> None:
    """A record that cannot be formatted is named in the log; the others are written."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    sink.put_access(entry(1)._replace(path=None))  # type: ignore[arg-type]  # wrong on purpose
    sink.put_access(entry(2))
    first, second = written(sink, tmp_path / "x.log")
    assert (first["level"], first["event"]) == ("error", "log.malformed")
    assert "AttributeError" in first["error"]
    assert second["request_id"] == "2"


def test_unknown_format() -> None:
    """An unknown format is the operator's error."""
    with pytest.raises(UsageError, match="'xml' is unknown; use json or pretty"):
        LogSink(Level.INFO, format="xml")


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A file that cannot be opened is reported before anything is served."""
    with pytest.raises(UsageError, match="No such file"):
        LogSink(Level.INFO, file=str(tmp_path / "none" / "x.log"))


# --- the queue and its thread ---


def test_written_without_asking(open_sink: OpenSink, pipe: Pipe) -> None:
    """A record is written at once, even after the writer has gone to sleep."""
    sink = open_sink(stream_fd=pipe.writer)
    for number in range(5):
        Log(sink).info("test.text", "text", number=number)
        assert json.loads(pipe.read_line())["number"] == number


def test_order(open_sink: OpenSink, tmp_path: Path) -> None:
    """Records of all kinds are written in the order in which they were logged."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    log = Log(sink)
    for number in range(0, 3000, 3):
        log.access(entry(number))
        log.info("test.text", "text", request_id=str(number + 1))
        log.child(request_id=str(number + 2)).info("test.text", "text")
    ids = [int(line["request_id"]) for line in written(sink, tmp_path / "x.log")]
    assert ids == list(range(3000))


def test_many_threads(open_sink: OpenSink, tmp_path: Path) -> None:
    """Threads may log at the same time: nothing is lost, and each one's order is kept."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    log = Log(sink)

    def work(thread: int) -> None:
        for number in range(500):
            log.info("test.text", "text", thread=thread, number=number)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = written(sink, tmp_path / "x.log")
    for index in range(8):
        numbers = [line["number"] for line in lines if line["thread"] == index]
        assert numbers == list(range(500))


def test_rotation(open_sink: OpenSink, tmp_path: Path) -> None:
    """The log's files together hold every line once, in order, each file within its size."""
    sink = open_sink(file=str(tmp_path / "x.log"), file_size_bytes=20_000, file_count=9)
    for number in range(400):
        Log(sink).access(entry(number))
    assert sink.flush(PATIENCE_S)
    paths = sorted(tmp_path.iterdir(), reverse=True)
    paths = [path for path in paths if path.suffix != ".log"] + [tmp_path / "x.log"]
    assert len(paths) > 2
    assert all(path.stat().st_size <= 20_000 for path in paths)
    ids = [int(line["request_id"]) for path in paths for line in parsed(path.read_bytes())]
    assert ids == list(range(400))


def test_reopen(open_sink: OpenSink, tmp_path: Path) -> None:
    """What was logged before `reopen` is in the old file, what comes after it in the new one."""
    path = tmp_path / "x.log"
    sink = open_sink(file=str(path))
    log = Log(sink)
    log.info("test.first", "first")
    assert sink.flush(PATIENCE_S)
    path.rename(tmp_path / "old.log")
    log.info("test.second", "second")
    sink.reopen()
    log.info("test.third", "third")
    assert [line["message"] for line in written(sink, path)] == ["third"]
    old = parsed((tmp_path / "old.log").read_bytes())
    assert [line["message"] for line in old] == ["first", "second"]


def test_reopen_without_file(open_sink: OpenSink, pipe: Pipe) -> None:
    """Reopening does not affect a stream."""
    sink = open_sink(stream_fd=pipe.writer)
    sink.reopen()
    Log(sink).info("test.text", "text")
    assert json.loads(pipe.read_line())["message"] == "text"


def test_slow_reader(open_sink: OpenSink, pipe: Pipe) -> None:
    """While nobody reads, logging continues without waiting; the number of dropped records is
    logged at the end."""
    sink = open_sink(stream_fd=pipe.writer)
    log = Log(sink)
    pipe.stall(sink)
    for number in range(QUEUE_RECORDS + 5000):
        log.access(entry(number))
    assert (sink.queued_records, sink.dropped_records) == (QUEUE_RECORDS, 5000)
    assert not sink.flush(0.0)
    pipe.start_reading()
    assert sink.flush(PATIENCE_S)
    log.info("test.text", "text")
    assert sink.flush(PATIENCE_S)
    lines = pipe.lines()
    assert [
        (line["level"], line["message"]) for line in lines if line["event"] != "request.access"
    ] == [
        ("error", "stalled"),
        ("warn", "dropped 5000 log records that came faster than they could be written"),
        ("info", "text"),
    ]
    ids = [int(line["request_id"]) for line in lines if line["event"] == "request.access"]
    assert ids == list(range(QUEUE_RECORDS))


def test_flooding_app(open_sink: OpenSink, pipe: Pipe) -> None:
    """An app that floods the log loses its own lines; there is room for the runtime's."""
    sink = open_sink(stream_fd=pipe.writer)
    log = Log(sink)
    pipe.stall(sink)
    for _ in range(QUEUE_APP_RECORDS + 5000):
        log.app_output("shop", "1.0.0", "w3", "stdout", "hello")
    for number in range(1000):
        log.access(entry(number))
        log.info("test.text", "text")
    assert sink.dropped_records == 5000
    pipe.start_reading()


def test_long_texts(open_sink: OpenSink, pipe: Pipe) -> None:
    """The queue's text is bounded, and writing it makes room again."""
    sink = open_sink(stream_fd=pipe.writer)
    log = Log(sink)
    pipe.stall(sink)
    fitting = QUEUE_CHARS // LINE_BYTES
    for _ in range(2 * fitting):
        log.app_output("shop", "1.0.0", "w3", "stdout", "x" * LINE_BYTES)
    assert sink.dropped_records == fitting + 1  # the app's name and so on count too
    log.access(entry(1))
    assert sink.queued_records == fitting
    pipe.start_reading()
    assert sink.flush(PATIENCE_S)
    log.error("test.text", "text", stack="x" * (QUEUE_CHARS - len("text")))
    assert sink.dropped_records == fitting + 1


def test_lost_lines(open_sink: OpenSink, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lines lost to a full disk are reported in the log when there is space again."""
    path = tmp_path / "x.log"
    path.symlink_to("/dev/full")
    sink = open_sink(file=str(path))
    log = Log(sink)
    for _ in range(3):
        log.info("test.lost", "lost")
        assert sink.flush(PATIENCE_S)
    path.unlink()
    log.info("test.kept", "kept")
    lines = written(sink, path)
    assert [line["message"] for line in lines] == [
        "kept",
        "lost 3 log lines that could not be written",
    ]
    assert sink.lost_lines == 3
    assert capfd.readouterr().err.count("No space left on device") == 1


def test_reader_that_left(
    open_sink: OpenSink, pipe: Pipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the stream's reader has gone, the file still gets its lines."""
    sink = open_sink(stream_fd=pipe.writer, file=str(tmp_path / "x.log"))
    pipe.stop_reading()
    for _ in range(3):
        Log(sink).info("test.text", "text")
        assert sink.flush(PATIENCE_S)
    assert len(written(sink, tmp_path / "x.log")) == 3
    assert sink.lost_lines == 3
    assert capfd.readouterr().err.count("Broken pipe") == 1


# --- the end ---


def test_close(open_sink: OpenSink, tmp_path: Path) -> None:
    """Closing writes what is queued; what is logged later is dropped without an error."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    log = Log(sink)
    for number in range(5000):
        log.access(entry(number))
    assert sink.close(PATIENCE_S)
    log.access(entry(5000))
    log.info("test.text", "text")
    log.app_output("shop", "1.0.0", "w3", "stdout", "text")
    assert len(parsed((tmp_path / "x.log").read_bytes())) == 5000
    assert sink.dropped_records == 3
    assert repr(sink) == "LogSink(closed, 0 queued, 3 dropped)"


def test_close_again(open_sink: OpenSink, tmp_path: Path) -> None:
    """A second close does nothing, and a closed sink has nothing to flush."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    assert sink.close(PATIENCE_S)
    assert sink.close(0.0)
    assert sink.flush(0.0)


def test_close_leaves_the_stream_open(open_sink: OpenSink, pipe: Pipe) -> None:
    """Closing the sink does not close the stream."""
    sink = open_sink(stream_fd=pipe.writer)
    assert sink.close(PATIENCE_S)
    assert os.write(pipe.writer, b"x") == 1


def test_close_with_slow_reader(open_sink: OpenSink, pipe: Pipe) -> None:
    """Closing waits no longer than it was told to."""
    sink = open_sink(stream_fd=pipe.writer)
    pipe.stall(sink)
    Log(sink).info("test.text", "text")
    assert not sink.close(0.01)
    pipe.start_reading()
    assert sink.close(PATIENCE_S)
    assert [line["message"] for line in pipe.lines()] == ["stalled", "text"]


def test_put_takes_records(open_sink: OpenSink, tmp_path: Path) -> None:
    """A record may be queued as it is, with its own time."""
    sink = open_sink(file=str(tmp_path / "x.log"))
    sink.put(Record(0.0, Level.INFO, "test.text", "text", {}))
    assert written(sink, tmp_path / "x.log")[0]["time"] == "1970-01-01T00:00:00.000Z"
