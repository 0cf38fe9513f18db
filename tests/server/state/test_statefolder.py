"""The state folder, and the lock by which one runtime holds it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buntime.server.loop.loop import Loop
from buntime.server.state.statefolder import LOCK, StateFolder, StateWatch
from tests.support.harness import ROOT

HOLDS = """
import sys
from buntime.server.state.statefolder import StateFolder
state = StateFolder(sys.argv[1])
state.take()
print(state.trouble, flush=True)
sys.stdin.read()
"""


def taken(folder: Path) -> StateFolder:
    state = StateFolder(str(folder))
    state.take()
    return state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "state"


def test_one_holds_it(folder: Path) -> None:
    """The second of two runtimes gets the pid of the first, and what to do; the first keeps the
    folder."""
    first = taken(folder)
    first.take()
    assert first.trouble == ""
    assert taken(folder).trouble == (
        f"another runtime, process {os.getpid()}, holds {folder}; stop that one, or set "
        "RUNTIME_STATE_DIR to a folder of its own"
    )
    assert [path.name for path in folder.iterdir()] == [LOCK]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert stat.S_IMODE((folder / LOCK).stat().st_mode) == 0o600


def test_it_can_be_taken_later(folder: Path) -> None:
    """When the first has ended the second takes the folder, by any path."""
    first, second = taken(folder), taken(folder)
    first.let_go()
    (folder.parent / "link").symlink_to(folder)
    third = taken(folder.parent / "link")
    assert third.trouble == ""
    second.take()
    assert second.trouble
    third.let_go()
    second.take()
    assert second.trouble == ""


def test_two_folders(tmp_path: Path) -> None:
    """Two runtimes with separate folders do not affect each other."""
    assert [taken(tmp_path / name).trouble for name in ("a", "b")] == ["", ""]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_holder_is_none(folder: Path, number: int) -> None:
    """However the holder ends, its lock ends with it, and the pid it wrote no longer matters."""
    command = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "\n"
        assert f"process {holder.pid}, holds" in taken(folder).trouble
        holder.send_signal(number)
        holder.wait()
        assert (folder / LOCK).read_text() == f"{holder.pid}\n"
        assert taken(folder).trouble == ""


@pytest.mark.parametrize("text", ["", "x", "1" * 100, "\xff\n"])
def test_a_file_without_a_pid(folder: Path, text: str) -> None:
    """The holder is named as far as it is known."""
    first = taken(folder)
    (folder / LOCK).write_text(text, "latin-1")
    assert "another runtime, " in taken(folder).trouble
    first.let_go()
    assert taken(folder).trouble == ""


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    (path.parent / "elsewhere").touch()
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("make", [make_fifo, make_link, Path.mkdir])
def test_something_else_in_its_place(folder: Path, make: Callable[[Path], None]) -> None:
    """A lock that is not a file is neither followed nor waited for."""
    folder.mkdir(mode=0o711)
    make(folder / LOCK)
    assert taken(folder).trouble.startswith(f"{folder / LOCK}")


def test_a_folder_of_others(folder: Path) -> None:
    """A folder that others can write to is not used; nothing is created in it."""
    folder.mkdir()
    folder.chmod(0o777)
    state = taken(folder)
    assert "can be written by other users; change that, or set RUNTIME_STATE_DIR" in state.trouble
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)
    state.take()
    assert state.trouble == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_link_of_others(folder: Path, tmp_path: Path) -> None:
    """A link of another user, who could redirect it, is not followed."""
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")
    os.chown(folder, 65534, 65534, follow_symlinks=False)
    assert "is a link of another user" in taken(folder).trouble
    assert list((tmp_path / "real").iterdir()) == []


def test_a_folder_that_cannot_be_made() -> None:
    """The system's reason is given, with the path and what to do."""
    trouble = taken(Path("/proc/state")).trouble
    assert trouble.startswith("/proc/state: ")
    assert trouble.endswith("; set RUNTIME_STATE_DIR to a folder of its own")


@pytest.mark.parametrize("name", [".restore-7/state.db", "data/.restore-shop/shop.db"])
def test_a_half_restored_state(folder: Path, name: str) -> None:
    """Nobody uses the folder after a restore that was killed, until what it left is removed; only
    the next restore takes it."""
    left = folder / name
    left.parent.mkdir(parents=True)
    left.touch()
    folder.chmod(0o711)
    state = taken(folder)
    assert state.trouble == (
        "a restore was killed before all was in its place; restore again, or, to go on with what "
        f"is there: rm -r {left.parent}"
    )
    restore = StateFolder(str(folder), for_restore=True)
    restore.take()
    assert restore.trouble == ""
    restore.let_go()
    shutil.rmtree(left.parent)
    state.take()
    assert state.trouble == ""


def test_a_restore_that_was_killed_at_its_end(folder: Path) -> None:
    """Only the empty folder that it unpacked into is left: the state is whole."""
    (folder / ".restore-7").mkdir(parents=True)
    folder.chmod(0o711)
    assert taken(folder).trouble == ""


def test_it_is_told(folder: Path) -> None:
    """It is reported once that the folder cannot be had, and again when it can; then followers are
    called."""
    first, second = taken(folder), taken(folder)
    loop, told = Loop(lambda exc: None), []

    def tell(event: str, message: str, /, **fields: object) -> None:
        told.append(event)
        first.let_go()

    watch = StateWatch(second, loop, tell=tell, warn=tell, look_s=0.001)
    watch.follow(loop.stop)
    watch.start()
    loop.run()
    loop.close()
    assert told == ["state.unavailable", "state.taken"]
    assert second.trouble == ""


def test_nothing_is_told(folder: Path) -> None:
    """A runtime that holds the folder reports nothing."""

    def tell(event: str, message: str, /, **fields: object) -> None:
        raise AssertionError(event)

    loop = Loop(lambda exc: None)
    StateWatch(taken(folder), loop, tell=tell, warn=tell).start()
    loop.close()
