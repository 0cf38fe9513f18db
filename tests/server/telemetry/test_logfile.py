"""Lines of the log reach streams and files complete, or are counted as lost."""

import os
import pty
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buntime.core.errors import UsageError
from buntime.server.telemetry.logfile import LogFile, LogStream

OpenLog = Callable[..., LogFile]


@pytest.fixture
def log_file() -> Iterator[OpenLog]:
    """Opens the log file under test, which is closed at the end."""
    files = []

    def open_log(path: Path, size_bytes: int = 1000, count: int = 3) -> LogFile:
        files.append(LogFile(str(path), size_bytes=size_bytes, count=count))
        return files[-1]

    yield open_log
    for file in files:
        file.close()


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Files can grow only to `size_bytes`, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def read_all(fd: int, received: bytearray) -> None:
    """Read a pipe to its end."""
    while data := os.read(fd, 65536):
        received += data


# --- streams ---


def test_stream_of_pipe() -> None:
    """A pipe gets the lines as they were written."""
    reader, writer = os.pipe()
    assert LogStream(writer).write(b"one\ntwo\n")
    assert os.read(reader, 100) == b"one\ntwo\n"
    assert not LogStream(writer).is_terminal()
    os.close(reader)
    os.close(writer)


def test_stream_of_terminal() -> None:
    """A terminal is recognized."""
    keyboard, screen = pty.openpty()
    assert LogStream(screen).is_terminal()
    os.close(keyboard)
    os.close(screen)


def test_stream_that_does_not_block() -> None:
    """A full non-blocking pipe is waited for, and gets every line."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = bytearray()
    thread = threading.Thread(target=read_all, args=(reader, received))
    lines = b"".join(b"line %d\n" % number for number in range(100_000))
    stream = LogStream(writer)
    thread.start()
    assert stream.write(lines)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert received == lines


def test_stream_whose_reader_left(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines for a closed pipe are lost and counted, which is reported on stderr once."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = LogStream(writer)
    assert not stream.write(b"one\ntwo\n")
    assert not stream.write(b"three\n")
    os.close(writer)
    assert stream.lost_lines == 3
    assert capfd.readouterr().err == (
        f"buntime: cannot write the log on descriptor {writer}: Broken pipe; will keep trying\n"
    )


# --- files ---


def test_file_is_appended_to(log_file: OpenLog, tmp_path: Path) -> None:
    """What an earlier run has written stays."""
    path = tmp_path / "x.log"
    path.write_bytes(b"before\n")
    assert log_file(path).write(b"after\n")
    assert path.read_bytes() == b"before\nafter\n"


def test_file_is_not_for_others(log_file: OpenLog, tmp_path: Path) -> None:
    """Only the owner can write the log, and others cannot read it."""
    log_file(tmp_path / "x.log")
    assert (tmp_path / "x.log").stat().st_mode & 0o027 == 0


def test_file_without_folder(log_file: OpenLog, tmp_path: Path) -> None:
    """A file that cannot be opened at the start is the operator's error."""
    with pytest.raises(UsageError, match=r"none/x.log: No such file or directory; name a file in"):
        log_file(tmp_path / "none" / "x.log")


@pytest.mark.parametrize(("size_bytes", "count"), [(0, 3), (1000, 0)])
def test_file_without_room(log_file: OpenLog, tmp_path: Path, size_bytes: int, count: int) -> None:
    """A rotation that would keep nothing is the operator's error."""
    with pytest.raises(UsageError, match="both must be at least 1"):
        log_file(tmp_path / "x.log", size_bytes, count)


def test_rotation(log_file: OpenLog, tmp_path: Path) -> None:
    """Full files move up the chain, the oldest is removed, and no line is cut."""
    file = log_file(tmp_path / "x.log", size_bytes=30, count=2)
    lines = [b"this is line %d\n" % number for number in range(10)]  # 15 bytes, so 2 fit
    for line in lines[:9]:
        assert file.write(line)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "x.log.2": b"".join(lines[4:6]),
        "x.log.1": b"".join(lines[6:8]),
        "x.log": lines[8],
    }


def test_rotation_within_a_write(log_file: OpenLog, tmp_path: Path) -> None:
    """A batch larger than a file is spread over several."""
    file = log_file(tmp_path / "x.log", size_bytes=30, count=5)
    lines = [b"this is line %d\n" % number for number in range(7)]
    assert file.write(b"".join(lines))
    parts = [tmp_path / name for name in ("x.log.3", "x.log.2", "x.log.1", "x.log")]
    assert [path.stat().st_size for path in parts] == [30, 30, 30, 15]
    assert b"".join(path.read_bytes() for path in parts) == b"".join(lines)


def test_rotation_counts_what_was_there(log_file: OpenLog, tmp_path: Path) -> None:
    """What an earlier run has written counts towards the size."""
    path = tmp_path / "x.log"
    path.write_bytes(b"before" * 5 + b"\n")
    assert log_file(path, size_bytes=35).write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"before" * 5 + b"\n"


def test_line_longer_than_a_file(log_file: OpenLog, tmp_path: Path) -> None:
    """A line longer than a file may be gets its own file."""
    file = log_file(tmp_path / "x.log", size_bytes=10)
    assert file.write(b"a\n" + b"b" * 50 + b"\nc\n")
    assert (tmp_path / "x.log.2").read_bytes() == b"a\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"b" * 50 + b"\n"
    assert (tmp_path / "x.log").read_bytes() == b"c\n"


def test_rotation_that_fails(
    log_file: OpenLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """If files cannot be renamed the log keeps growing, and stderr reports it once."""
    (tmp_path / "x.log.1").mkdir()
    (tmp_path / "x.log.1" / "in the way").touch()
    (tmp_path / "x.log.2").touch()
    file = log_file(tmp_path / "x.log", size_bytes=10, count=1)
    lines = [b"line %d..\n" % number for number in range(4)]
    assert all(file.write(line) for line in lines)
    assert (tmp_path / "x.log").read_bytes() == b"".join(lines)
    assert (file.lost_lines, capfd.readouterr().err.count("cannot rotate the log")) == (0, 1)

    (tmp_path / "x.log.1" / "in the way").unlink()
    (tmp_path / "x.log.1").rmdir()
    assert file.write(b"the last\n")
    assert (tmp_path / "x.log").read_bytes() == b"the last\n"


def test_rotation_of_a_file_taken_away(log_file: OpenLog, tmp_path: Path) -> None:
    """If another program has moved the file, the next rotation starts a new one."""
    file = log_file(tmp_path / "x.log", size_bytes=10)
    assert file.write(b"first..\n")
    (tmp_path / "x.log").rename(tmp_path / "moved")
    assert file.write(b"second.\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "moved": b"first..\n",
        "x.log": b"second.\n",
    }


def test_reopen(log_file: OpenLog, tmp_path: Path) -> None:
    """After another program has renamed the file, reopening continues in a new one."""
    file = log_file(tmp_path / "x.log")
    assert file.write(b"one\n")
    (tmp_path / "x.log").rename(tmp_path / "x.log-20260301")
    assert file.write(b"two\n")
    file.reopen()
    assert file.write(b"three\n")
    assert (tmp_path / "x.log-20260301").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "x.log").read_bytes() == b"three\n"


def test_reopen_that_fails(
    log_file: OpenLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the file cannot be reopened, lines are lost until it can."""
    folder = tmp_path / "logs"
    folder.mkdir()
    file = log_file(folder / "x.log")
    (folder / "x.log").unlink()
    folder.rmdir()
    file.reopen()
    assert not file.write(b"one\n")
    folder.mkdir()
    assert file.write(b"two\n")
    assert (folder / "x.log").read_bytes() == b"two\n"
    assert (file.lost_lines, capfd.readouterr().err.count("\n")) == (1, 1)


def test_full_disk(log_file: OpenLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lines are lost to a full disk and counted; each outage is reported on stderr once."""
    path = tmp_path / "x.log"
    file = None
    for _ in range(2):
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/full")
        file = file or log_file(path)
        assert [file.write(b"lost\nlost\n"), file.write(b"lost\n")] == [False, False]
        path.unlink()
        assert file.write(b"kept\n")
        assert path.read_bytes() == b"kept\n"
        file.close()
    assert file
    assert file.lost_lines == 6
    line = f"buntime: cannot write the log {path}: No space left on device; will keep trying\n"
    assert capfd.readouterr().err == line * 2


def test_torn_line(log_file: OpenLog, tmp_path: Path) -> None:
    """A line torn by a full disk is completed first when there is space again."""
    file = log_file(tmp_path / "x.log", size_bytes=10_000)
    with largest_file(100):
        assert not file.write(b"a" * 60 + b"\n" + b"b" * 60 + b"\n" + b"c" * 60 + b"\n")
        assert not file.write(b"d" * 60 + b"\n")
    assert file.write(b"e\n")
    assert (tmp_path / "x.log").read_bytes() == b"a" * 60 + b"\n" + b"b" * 60 + b"\ne\n"
    assert file.lost_lines == 2


def test_torn_line_is_not_rotated(log_file: OpenLog, tmp_path: Path) -> None:
    """The rest of a torn line goes to the file that has its start."""
    file = log_file(tmp_path / "x.log", size_bytes=110)
    with largest_file(100):
        assert not file.write(b"a" * 60 + b"\n" + b"b" * 45 + b"\n")
    assert file.write(b"next\n")
    assert (tmp_path / "x.log.1").read_bytes() == b"a" * 60 + b"\n" + b"b" * 45 + b"\n"
    assert (tmp_path / "x.log").read_bytes() == b"next\n"


def test_torn_line_at_reopen(log_file: OpenLog, tmp_path: Path) -> None:
    """The rest of a torn line does not get into the next file; the line is lost."""
    file = log_file(tmp_path / "x.log")
    with largest_file(100):
        assert not file.write(b"a" * 150 + b"\n")
    (tmp_path / "x.log").rename(tmp_path / "old")
    file.reopen()
    assert file.write(b"next\n")
    assert (tmp_path / "x.log").read_bytes() == b"next\n"
    assert file.lost_lines == 1


def test_device_is_not_rotated(log_file: OpenLog) -> None:
    """Anything but a regular file is never renamed."""
    file = log_file(Path("/dev/null"), size_bytes=10)
    assert file.write(b"line\n" * 100)
    assert Path("/dev/null").is_char_device()


def test_write_after_close(log_file: OpenLog, tmp_path: Path) -> None:
    """A file that was closed is opened again by the next write."""
    file = log_file(tmp_path / "x.log")
    file.close()
    file.close()
    assert file.write(b"line\n")
    assert (tmp_path / "x.log").read_bytes() == b"line\n"
