"""What a built file contains is unpacked into a cache folder once, whole, and found there again."""

from __future__ import annotations

import fcntl
import importlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from buntime.server.bundle import cachefolder

FILES = {"bin/tool": b"#!/bin/sh\n", "lib/a.py": b"a = 1\n", "lib/deep/b.py": b""}
INDEX = "kind-0001\n0755 10 bin/tool\n0644 6 lib/a.py\n0644 0 lib/deep/b.py\n"


@pytest.fixture(scope="module")
def unpack() -> Iterator[ModuleType]:
    """The module as the launchers have it, with cachefolder.py beside it."""
    sys.modules["cachefolder"] = cachefolder
    yield importlib.import_module("artifacts.unpack")
    del sys.modules["cachefolder"]


def make(
    unpack: Any,
    *folders: Path,
    index: str = INDEX,
    files: Mapping[str, bytes] = FILES,
    **options: Any,
) -> Path:
    return Path(
        unpack.unpacked(
            unpack.Index(index), lambda: iter(files.values()), list(map(str, folders)), **options
        )
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_unpacked(unpack: ModuleType, tmp_path: Path) -> None:
    """All files are there, only this user can read them, and programs can be run."""
    folder = make(unpack, tmp_path / "new/cache")
    assert folder == tmp_path / "new/cache/kind-0001"
    assert content(folder) == FILES
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert modes == {
        "bin": 0o700, "tool": 0o700, "lib": 0o700, "deep": 0o700, "a.py": 0o600, "b.py": 0o600,
    }  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_links(unpack: ModuleType, tmp_path: Path) -> None:
    """A link stays a link to another unpacked file; a missing one is made again."""
    index = INDEX.replace("0644 6 lib/a.py", "120777 11 lib/a.py")
    for _ in range(2):
        folder = make(unpack, tmp_path, index=index, files={**FILES, "lib/a.py": b"../bin/tool"})
        assert os.readlink(folder / "lib/a.py") == "../bin/tool"
        assert (folder / "lib/a.py").read_bytes() == FILES["bin/tool"]
        (folder / "lib/a.py").unlink()


def test_once(unpack: ModuleType, tmp_path: Path) -> None:
    """A whole folder is used as it is, even with bytecode in it."""
    folder = make(unpack, tmp_path)
    (folder / "lib/__pycache__").mkdir()
    assert make(unpack, tmp_path) == folder
    assert (folder / "lib/__pycache__").is_dir()


@pytest.mark.parametrize("harm", ["missing", "short", "link", "open"])
def test_damage(unpack: ModuleType, tmp_path: Path, harm: str) -> None:
    """A folder with something missing, or that others could have changed, is made again."""
    folder = make(unpack, tmp_path)
    if harm == "missing":
        (folder / "lib/deep/b.py").unlink()
    elif harm == "short":
        (folder / "lib/a.py").write_bytes(b"a")
    elif harm == "link":
        folder.rename(tmp_path / "other")
        folder.symlink_to(tmp_path / "other")
    else:
        folder.chmod(0o777)
    assert make(unpack, tmp_path) == folder
    assert content(folder) == FILES
    assert not folder.is_symlink()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_other_versions_go(unpack: ModuleType, tmp_path: Path) -> None:
    """Another version's folder is removed, unless it is in use; folders of other kinds stay."""
    for name in ("kind-old", "kind-used", "worker-1", "kindred"):
        (tmp_path / name / "lib").mkdir(parents=True)
    used = os.open(tmp_path / "kind-used", os.O_RDONLY)
    fcntl.flock(used, fcntl.LOCK_SH)
    make(unpack, tmp_path)
    os.close(used)
    assert {path.name for path in tmp_path.iterdir()} == {
        "kind-0001", "kind-used", "worker-1", "kindred",
    }  # fmt: skip


def test_it_is_in_use(unpack: ModuleType, tmp_path: Path) -> None:
    """The folder stays locked, even in the program that this process becomes."""
    held = os.open(make(unpack, tmp_path), os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
    links = {fd: os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
    [lock] = [int(fd) for fd, path in links.items() if path == str(tmp_path / "kind-0001")]
    assert os.get_inheritable(lock)
    os.close(lock)


def test_the_next_folder(unpack: ModuleType, tmp_path: Path) -> None:
    """If the first folder cannot be used, the next one is; the error has all reasons."""
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    bad = [tmp_path / "file/cache", tmp_path / "open"]
    assert make(unpack, *bad, tmp_path / "good").parent == tmp_path / "good"
    with pytest.raises(unpack.Unusable) as caught:
        make(unpack, *bad)
    first, second = str(caught.value).split("; ")
    assert first == f"{tmp_path}/file: not a folder"
    assert second == f"{tmp_path}/open can be written by other users"


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/buntime"),
        ({"CACHE_DIRECTORY": "/var/cache/shop:/b", "HOME": "/h"}, "/var/cache/shop"),
        ({"HOME": "/h"}, "/h/.cache/buntime"),
        ({"RUNTIME_STATE_DIR": "/s"}, "/s/cache"),
        ({"STATE_DIRECTORY": "/s:/t"}, "/s/cache"),
        ({"TMPDIR": "/dev/shm"}, f"/dev/shm/buntime-{os.geteuid()}"),
        ({}, f"/tmp/buntime-{os.geteuid()}"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="folders are those of Linux")
def test_where(unpack: ModuleType, environ: dict[str, str], first: str) -> None:
    """The user's cache comes first, then a service's, then temporary folders."""
    assert unpack.cache_folders(environ, is_root=False)[0] == first
    assert f"/tmp/buntime-{os.geteuid()}" in unpack.cache_folders(environ, is_root=False)


def test_where_root_unpacks(unpack: ModuleType) -> None:
    """Root prefers a folder that all users can read, unless another one is named."""
    found = unpack.cache_folders({"HOME": "/root"}, is_root=True)
    assert found[:2] == ["/var/cache/buntime", "/root/.cache/buntime"]
    assert unpack.cache_folders({"XDG_CACHE_HOME": "/x"}, is_root=True)[0] == "/x/buntime"
