"""Which folders can be trusted in a container that nobody else uses: there, volumes are open to
all."""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.server.bundle.cachefolder import ensure, is_alone, remove, remove_whole
from buntime.server.state.statefolder import prepare_state
from tests.support.disks import nest, small_disk

ROOT = Path(__file__).resolve().parents[3]
UID = 1_000_690_000  # as OpenShift assigns them to a namespace
AS_FIRST = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
AS_USER = ["setpriv", f"--reuid={UID}", "--regid=0", "--clear-groups", "--no-new-privs"]
JUDGE = """
import sys
sys.path.insert(0, sys.argv[1])
from buntime.server.bundle.cachefolder import is_alone, prepare_cache
print(is_alone(), repr(prepare_cache(sys.argv[2])))
"""


def can_be_first() -> bool:
    done = subprocess.run([*AS_FIRST, *AS_USER, "true"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.parametrize(
    ("ids", "is_so"),
    [
        ("{0}\t{0}\t{0}\t{0}", os.geteuid() != 0),
        ("0\t0\t0\t0", False),
        ("{0}\t{0}\t0\t{0}", False),
        ("65535\t65535\t65535\t65535", False),
        ("", False),
    ],
)
def test_whose_process_1_is(tmp_path: Path, ids: str, is_so: bool) -> None:
    """Process 1 is ours if all four of its ids are this user's, and not root's."""
    (tmp_path / "status").write_text(f"Name:\tx\nUid:\t{ids.format(os.geteuid())}\nGid:\t0\n")
    assert is_alone(str(tmp_path / "status")) == is_so
    assert not is_alone(str(tmp_path / "none"))


def test_on_a_machine(tmp_path: Path) -> None:
    """Where there may be other users, a folder that all can write to is refused."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert "can be written by" in prepare_state(str(tmp_path / "open/state"))


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="volumes-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(not can_be_first(), reason="makes a namespace of processes, as root")
def test_in_a_container(passable: Path) -> None:
    """An emptyDir and a claim of the pod's group are usable; neither is if process 1 is root's."""
    for name, mode in (("empty", 0o2777), ("claim", 0o2775)):
        (passable / name).mkdir()
        os.chown(passable / name, 0, 0)
        (passable / name).chmod(mode)
        ask = [sys.executable, "-c", JUDGE, str(ROOT), str(passable / name / "state")]
        first = subprocess.run(
            [*AS_FIRST, *AS_USER, *ask], capture_output=True, text=True, check=False
        )
        assert first.stdout == "True ''\n", first.stderr
        other = [*AS_FIRST, "sh", "-c", '"$@"; exit $?', "sh", *AS_USER, *ask[:-1]]
        second = subprocess.run(
            [*other, str(passable / name / "other/state")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = second.stdout.strip()
        assert said.startswith("False"), second.stderr
        assert name != "empty" or "can be written by everybody" in said


def test_a_folder_that_is_nested_deeply_is_removed(tmp_path: Path) -> None:
    """A tree is removed even if it is deeper than Python's recursion, a path's length and the
    number of descriptors."""
    top = tmp_path / "top"
    top.mkdir()
    nest(top, 2100)
    remove(str(top))
    assert not top.exists()


def test_what_cannot_be_removed_whole(tmp_path: Path) -> None:
    """A disk that is mounted inside stays, and the caller is told that not everything was
    removed."""
    (tmp_path / "top").mkdir()
    with small_disk(tmp_path / "top/disk"):
        (tmp_path / "top/file").touch()
        with pytest.raises(OSError, match="cannot be removed completely"):
            remove_whole(str(tmp_path / "top"))
        assert os.listdir(tmp_path / "top") == ["disk"]
    remove_whole(str(tmp_path / "top"))


# Before the second folder is opened, and before the third file in it is deleted.
@pytest.mark.parametrize(("function", "calls"), [("open", 2), ("unlink", 5)])
def test_a_folder_that_is_swapped_for_a_link_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, calls: int
) -> None:
    """The target of a link that was swapped in is left alone: its owner may be another user."""
    names = [f"file{number}" for number in range(10)]
    top, kept = tmp_path / "top", tmp_path / "kept"
    inner = top / "inner"
    for folder in (inner, kept):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
    act, count = getattr(os, function), itertools.count(1)

    def swap_before(*args: Any, **more: Any) -> Any:
        if next(count) == calls:
            inner.rename(tmp_path / "away")
            inner.symlink_to(kept)
        return act(*args, **more)

    monkeypatch.setattr(os, function, swap_before)
    remove(str(top))
    assert next(count) > calls
    assert sorted(os.listdir(kept)) == sorted(names)


@pytest.mark.parametrize("name", ["file", "link", "nothing"])
def test_what_is_no_folder_is_removed(tmp_path: Path, name: str) -> None:
    """A link is removed and its target is not; a missing path is no error."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("kept")
    remove(str(tmp_path / name))
    assert not os.path.lexists(tmp_path / name)
    assert (tmp_path / "kept").is_dir()


def test_a_folder_that_somebody_else_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used all the same: whoever may read it can lock it for good, an app too."""
    monkeypatch.setattr("buntime.server.bundle.cachefolder._LOCK_PAUSE_S", 0)
    folder = tmp_path / "app-1"
    folder.mkdir(0o755)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        found: list[int | None] = []
        use = threading.Thread(
            target=lambda: found.append(
                ensure(str(folder), make=folder.mkdir, is_whole=lambda: True)
            ),
            daemon=True,
        )
        use.start()
        use.join(20)
        assert found == [None]
    finally:
        os.close(held)
