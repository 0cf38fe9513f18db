"""Each app's lines are kept in memory and in files, as far as there is room."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.telemetry.applines import RUNTIME, seq_of
from buntime.core.telemetry.records import AccessEntry, Level
from buntime.server.telemetry.appfiles import Keeping
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logs import Log, LogSink
from tests.support.callcount import count_calls

NOON = 1772368496.789
PATIENCE_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


class Logs:
    """A log that keeps apps' lines."""

    def __init__(self, file: Path) -> None:
        self.clock = Clock()
        self.app_logs = AppLogs(Keeping(), clock=self.clock)
        self.file = file
        self.sink = LogSink(Level.DEBUG, stream_fd=None, file=str(file), clock=self.clock)
        self.sink.keep(self.app_logs)
        self.log = Log(self.sink)

    def flush(self) -> None:
        assert self.sink.flush(PATIENCE_S)

    def print(self, app: str, *lines: str, version: str | None = None) -> None:
        for line in lines:
            self.log.app_output(app, version, "w1", "stdout", line)
        self.flush()

    def messages(self, app: str) -> list[str]:
        """The messages in memory."""
        ring = self.app_logs.rings.get(app)
        return [json.loads(line)["message"] for line in ring.lines] if ring else []

    def told(self, event: str) -> list[dict[str, Any]]:
        """Records of the log itself."""
        self.flush()
        records = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [record for record in records if record["event"] == event]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    logs = Logs(tmp_path / "all.log")
    yield logs
    assert logs.sink.close(PATIENCE_S)


def access(app: str | None, request_id: str = "5f0c1d2e") -> AccessEntry:
    return AccessEntry(
        NOON, request_id, "GET", "localhost", "/", app, None, "w1", 200, 5, 1.0, "127.0.0.1"
    )


def in_file(path: Path) -> list[str]:
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


def test_whose_lines(logs: Logs) -> None:
    """Printed lines, requests and records of an app are in its log; others are in the runtime's."""
    logs.log.access(access("shop"))
    logs.log.access(access(None))
    logs.log.warn("app.invalid", "cannot be served", app="shop@1.2.0")
    logs.log.info("runtime.listening", "listening")
    logs.log.plugin_output("audit", "w2", "stdout", "<4>odd")
    logs.print("shop", "hello")
    assert logs.messages("shop") == ["access", "cannot be served", "hello"]
    assert logs.messages(RUNTIME) == ["access", "listening"]
    assert logs.messages("plugin:audit") == ["odd"]


def test_numbers_rise(logs: Logs) -> None:
    """Each line has a larger number than all before it, whichever app it is from."""
    for number in range(300):
        logs.print(f"app{number % 3}", str(number))
    found = [
        line
        for app in ("app0", "app1", "app2")
        for line in logs.app_logs.rings.get(app).lines  # type: ignore[union-attr]
    ]
    by_number = sorted(found, key=seq_of)
    assert [json.loads(line)["message"] for line in by_number] == [str(n) for n in range(300)]
    assert logs.app_logs.last_seq == seq_of(by_number[-1])


def test_no_files_without_folder(logs: Logs, tmp_path: Path) -> None:
    """Without a state folder nothing is written."""
    logs.print("shop", "hello")
    assert [path.name for path in tmp_path.iterdir()] == ["all.log"]


def test_files(logs: Logs, tmp_path: Path) -> None:
    """From when the folder is held, lines are in a file of their app too."""
    logs.print("shop", "early")
    logs.app_logs.keep_in(str(tmp_path))
    logs.print("shop", "one", "two")
    logs.print("@acme/shop", "three")
    assert in_file(tmp_path / "logs" / "shop.log") == ["one", "two"]
    assert in_file(tmp_path / "logs" / "@acme+shop.log") == ["three"]
    assert logs.messages("shop") == ["early", "one", "two"]


def test_numbers_after_a_clock_that_was_put_back(logs: Logs, tmp_path: Path) -> None:
    """Numbers keep rising over a restart, even if the clock was set back meanwhile."""
    logs.app_logs.keep_in(str(tmp_path))
    logs.print("shop", "one")
    earlier = logs.app_logs.last_seq
    later = AppLogs(Keeping(), clock=lambda: NOON - 5000)
    later.keep_in(str(tmp_path))
    later.take([access("shop")], ['{"time":"2026-03-01T11:00:00.000Z","level":"info"}'])
    later.close()
    assert later.last_seq > earlier


def test_folder_that_cannot_be_had(logs: Logs, tmp_path: Path) -> None:
    """This is reported, lines stay in memory, and the folder is tried again later."""
    (tmp_path / "logs").write_text("no folder")
    logs.app_logs.keep_in(str(tmp_path))
    logs.print("shop", "one")
    logs.print("shop", "two")
    [record] = logs.told("log.files_failed")
    assert (record["level"], record["folder"]) == ("warn", str(tmp_path / "logs"))
    assert logs.messages("shop") == ["one", "two"]
    (tmp_path / "logs").unlink()
    logs.clock.now += 61
    logs.print("shop", "three")
    assert in_file(tmp_path / "logs" / "shop.log") == ["three"]


def test_disk_that_fails(logs: Logs, tmp_path: Path) -> None:
    """It is reported once that lines are lost, and once how many, when everything works again."""
    logs.app_logs.keep_in(str(tmp_path))
    logs.print("shop", "one")
    logs.app_logs._files.close()  # type: ignore[union-attr]  # as if others had been written since
    shutil.rmtree(tmp_path / "logs")
    (tmp_path / "logs").write_text("in the way")
    for app in ("shop", "other"):
        logs.print(app, "two")
        logs.print(app, "three")
    assert len(logs.told("log.files_failed")) == 1
    assert logs.told("log.files_recovered") == []
    assert logs.messages("other") == ["two", "three"]
    (tmp_path / "logs").unlink()
    (tmp_path / "logs").mkdir()
    logs.print("shop", "four")
    [record] = logs.told("log.files_recovered")
    # Four lines of apps, and the one that reported it.
    assert record["lost"] == logs.app_logs.lost_lines == 5
    assert logs.log.losses() == {"queue": 0, "output": 0, "apps": 5, "collector": 0}
    logs.print("shop", "five")
    assert len(logs.told("log.files_recovered")) == 1
    assert in_file(tmp_path / "logs" / "shop.log") == ["four", "five"]


def test_writer_pays_little(logs: Logs) -> None:
    """A line costs the writer six calls, without files, however many apps there are."""
    batch = [access(f"app{number % 4}") for number in range(128)]
    lines = ['{"time":"2026-03-01T11:00:00.000Z","level":"info"}'] * 128
    logs.app_logs.take(batch, lines)
    assert count_calls(lambda: logs.app_logs.take(batch, lines)) < 128 * 8
