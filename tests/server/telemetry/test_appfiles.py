"""Apps' log files are rotated, bounded and removed, whatever happens to the disk."""

import os
import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from buntime.core.telemetry.applines import numbered, seq_of
from buntime.server.telemetry.appfiles import AppFiles, Keeping
from tests.server.telemetry.test_logfile import largest_file
from tests.support.harness import descriptors_below

NOON = 1772368496.0  # 2026-03-01T12:34:56Z
SEQ = 1772368496789000
DAY_S = 86400.0

Open = Callable[..., AppFiles]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the files under test, which are closed at the end."""
    every = []

    def open_files(open_max: int = 64, **keeping: float) -> AppFiles:
        bounds = Keeping(**keeping)  # type: ignore[arg-type]  # whole numbers where they must be
        every.append(AppFiles(str(tmp_path / "logs"), bounds, open_max=open_max))
        return every[-1]

    yield open_files
    for files in every:
        files.close()


def lines(count: int, *, time_s: float = NOON, first: int = 1, size: int = 20) -> bytes:
    moment = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    text = f'{{"time":"{moment}","level":"info","message":"{"x" * size}"}}'
    return b"".join(numbered(text, SEQ + number) for number in range(first, first + count))


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "logs").iterdir())


def date(path: Path, time_s: float) -> None:
    os.utime(path, (time_s, time_s))


def test_rights(opened: Open, tmp_path: Path) -> None:
    """Only the runtime's user can read apps' logs."""
    opened().write("shop", lines(1))
    folder = tmp_path / "logs"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "shop.log").stat().st_mode & 0o777 == 0o600


def test_one_app_is_bounded(opened: Open, tmp_path: Path) -> None:
    """An app's log has a maximum size, and keeps the newest lines."""
    files = opened(size_bytes=5000)
    for number in range(100):
        assert files.write("shop", lines(1, first=number))
    assert names(tmp_path) == ["shop.log", *[f"shop.log.{number}" for number in range(1, 5)]]
    whole = [path.read_bytes() for path in (tmp_path / "logs").iterdir()]
    assert max(map(len, whole)) <= 1000
    newest = max(seq_of(line) for text in whole for line in text.splitlines())
    assert newest == SEQ + 99


def test_descriptors_are_bounded(opened: Open, tmp_path: Path) -> None:
    """Thousands of apps have few files open, and each line is in its app's file."""
    files = opened(open_max=8)
    for turn in range(2):
        for app in range(300):
            assert files.write(f"app{app}", lines(1, first=turn))
        assert len(descriptors_below(tmp_path)) <= 8
    assert len(descriptors_below(tmp_path)) > 0
    assert len(names(tmp_path)) == 300
    assert all(len(path.read_bytes().splitlines()) == 2 for path in (tmp_path / "logs").iterdir())


def test_hostile_names(opened: Open, tmp_path: Path) -> None:
    """No app's name leads out of the folder."""
    files = opened()
    for app in ("../../x", "/etc/x", "..", "@../x", "a\0b", "\udcff", "a" * 4000):
        assert files.write(app, lines(1))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert len(names(tmp_path)) == 7


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_what_is_no_file(opened: Open, tmp_path: Path, kind: str) -> None:
    """What is in the way is neither followed nor waited for; other apps' logs go on."""
    files, path = opened(), tmp_path / "logs" / "shop.log"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert not files.write("shop", lines(3))
    assert files.write("other", lines(1))
    assert files.lost_lines == 3
    assert not (tmp_path / "elsewhere").exists()


def test_line_torn_by_a_crash(opened: Open, tmp_path: Path) -> None:
    """A line that was torn when the runtime died spoils no later line."""
    files = opened()
    files.write("shop", lines(1))
    files.close()
    with (tmp_path / "logs" / "shop.log").open("ab") as file:
        file.write(b'{"seq":17723684')
    files.write("shop", lines(1, first=2))
    text = (tmp_path / "logs" / "shop.log").read_bytes()
    assert [seq_of(line) for line in text.splitlines()] == [SEQ + 1, 0, SEQ + 2]


def test_full_disk(opened: Open, tmp_path: Path) -> None:
    """Lines that do not fit are counted; lines that come once there is space again are complete."""
    files = opened()
    with largest_file(200):
        assert not files.write("shop", lines(10))
        assert not files.write("shop", lines(10))
    assert files.trouble is not None
    assert files.write("shop", lines(1, first=30))
    text = (tmp_path / "logs" / "shop.log").read_bytes().splitlines()
    assert len(text) + files.lost_lines == 21
    assert seq_of(text[-1]) == SEQ + 30
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200


def test_sweep_by_age(opened: Open, tmp_path: Path) -> None:
    """No line gets older than allowed: files are rotated and removed in time."""
    files = opened(age_s=10 * DAY_S)
    files.write("shop", lines(1))
    files.write("young", lines(1, time_s=NOON + 2 * DAY_S))
    files.sweep(NOON + 2 * DAY_S)
    assert names(tmp_path) == ["shop.log", "young.log"]
    files.sweep(NOON + 2 * DAY_S + 1)
    assert names(tmp_path) == ["shop.log", "shop.log.1", "young.log"]
    date(tmp_path / "logs" / "shop.log.1", NOON)
    for name in ("shop.log", "young.log"):
        date(tmp_path / "logs" / name, NOON + 3 * DAY_S)
    files.sweep(NOON + 8 * DAY_S + 1)
    assert "shop.log.1" not in names(tmp_path)
    assert "young.log" in "".join(names(tmp_path))


def test_sweep_by_size(opened: Open, tmp_path: Path) -> None:
    """Of all apps' files those last written the longest ago are removed, whether in use or not."""
    files = opened(total_bytes=3000)
    for number in range(5):
        files.write(f"app{number}", lines(10))
        date(tmp_path / "logs" / f"app{number}.log", NOON + number)
    files.sweep(NOON + 60)
    assert names(tmp_path) == ["app3.log", "app4.log"]
    assert files.write("app0", lines(1))
    assert "app0.log" in names(tmp_path)


def test_sweep_leaves_what_is_not_its(opened: Open, tmp_path: Path) -> None:
    """Files that are not the runtime's logs stay."""
    files = opened(total_bytes=1)
    for name in ("notes.txt", "shop.log.gz"):
        (tmp_path / "logs" / name).write_text("mine")
    (tmp_path / "logs" / "shop.log").symlink_to(tmp_path / "logs" / "notes.txt")
    files.sweep(NOON + 1e9)
    assert names(tmp_path) == ["notes.txt", "shop.log", "shop.log.gz"]


def test_newest_number(opened: Open, tmp_path: Path) -> None:
    """The last line written shows the last number of an earlier runtime, even beside a torn
    line."""
    files = opened()
    assert files.newest_seq() == 0
    files.write("shop", lines(5))
    files.write("other", lines(1))
    date(tmp_path / "logs" / "other.log", NOON - 5)
    with (tmp_path / "logs" / "shop.log").open("ab") as file:
        file.write(b'{"seq":17')
    assert files.newest_seq() == SEQ + 5
