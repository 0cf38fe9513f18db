"""How large a folder of data is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buntime.server.state.datasize import size_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of 10 bytes each, one of them deeper."""
    (tmp_path / "deeper").mkdir()
    for name in ("a", "b", "deeper/c"):
        (tmp_path / name).write_bytes(b"x" * 10)
    return tmp_path


def test_all_files_count(folder: Path) -> None:
    """So do those of folders below, but nothing that a link leads to."""
    (folder / "link").symlink_to(folder)
    link_bytes = (folder / "link").lstat().st_size
    assert size_of(str(folder)) == (4, 30 + link_bytes, True)


def test_a_file_that_is_removed_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not count, and all others do."""
    real = os.scandir

    @contextmanager
    def scandir(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        (folder / "a").unlink(missing_ok=True)
        yield found

    monkeypatch.setattr(os, "scandir", scandir)
    assert size_of(str(folder)) == (2, 20, True)


@pytest.mark.parametrize(
    ("error", "is_whole"),
    [(PermissionError, False), (FileNotFoundError, True), (NotADirectoryError, True)],
)
def test_a_folder_that_cannot_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError], *, is_whole: bool
) -> None:
    """What else there is counts, and it is said that there may be more; a folder that is gone, or
    is a file by now, has nothing."""
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("/deeper"):
            raise error(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert size_of(str(folder)) == (2, 20, is_whole)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """It has nothing in it."""
    assert size_of(str(tmp_path / "gone")) == (0, 0, True)
