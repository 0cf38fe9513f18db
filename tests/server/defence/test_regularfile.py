"""A path that somebody else controls can neither make the reader wait nor give too much."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from buntime.server.defence.regularfile import read_regular


def test_a_file(tmp_path: Path) -> None:
    """A file is read, also through a link, together with its stat result."""
    (tmp_path / "file").write_bytes(b"some bytes")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        data, state = read_regular(tmp_path / name, 100)
        assert (data, state.st_size) == (b"some bytes", 10)


def test_a_large_file(tmp_path: Path) -> None:
    """Of a file that is too large one byte more than allowed is read, which shows that it is."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    assert len(read_regular(tmp_path / "large", 100).data) == 101


def test_what_is_no_file(tmp_path: Path) -> None:
    """A FIFO, a device, a folder and a socket are refused at once."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    for name in ("fifo", "zero", "folder", "socket", "missing"):
        with pytest.raises(OSError, match=r"not a regular file|No such"):
            read_regular(tmp_path / name, 100)
