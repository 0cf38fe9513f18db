"""Temporary folders of apps."""

import os
import stat
import time
from pathlib import Path

import pytest

from buntime.server.pythons.identity import Identity
from buntime.server.sandbox.scratch import Scratch
from tests.support.harness import wait_until

Failures = list[tuple[str, str]]


@pytest.fixture
def failures() -> Failures:
    return []


@pytest.fixture
def scratch(tmp_path: Path, failures: Failures) -> Scratch:
    os.chmod(tmp_path, 0o700)
    return Scratch(str(tmp_path / "state"), lambda *failure: failures.append(failure))


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_each_app_has_its_own(scratch: Scratch) -> None:
    """An app's folder is its own, the same each time, and closed to other users."""
    folder = scratch.folder_of("shop", None)
    assert folder is not None
    assert scratch.folder_of("shop", None) == folder
    [root] = scratch.roots
    assert scratch.folder_of("@acme/shop", None) == f"{root}/@acme+shop"
    assert (mode(root), mode(folder)) == (0o700, 0o700)


def test_it_goes(scratch: Scratch, tmp_path: Path) -> None:
    """When the runtime ends the folders are removed with all their contents; no link is
    followed."""
    folder = scratch.folder_of("shop", None)
    assert folder is not None
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    Path(folder, "link").symlink_to(tmp_path / "kept")
    Path(folder, "file").touch()
    scratch.close()
    assert os.listdir(tmp_path / "state") == []
    assert (tmp_path / "kept/file").exists()


def test_what_was_left_goes(tmp_path: Path) -> None:
    """Leftovers of a killed runtime are removed at the next start; folders in use stay."""
    made = [Scratch(str(tmp_path), lambda *_: None) for _ in range(3)]
    for scratch in made[:2]:
        assert scratch.folder_of("shop", None)
    for held in made[0]._locks:  # as the kernel does when a process ends
        os.close(held)
    made[2].folder_of("shop", None)
    left, used, new = [root for each in made for root in each.roots]
    wait_until(lambda: not os.path.exists(left))
    assert os.path.exists(used)
    assert os.path.exists(new)


def test_much_that_was_left_is_not_waited_for(tmp_path: Path) -> None:
    """Removing leftovers takes none of the loop's time."""
    left = tmp_path / "tmp-0123abcd"
    left.mkdir()
    folder = os.open(left, os.O_RDONLY)
    for number in range(4000):
        os.mknod(str(number), dir_fd=folder)
    os.close(folder)
    before_s = time.thread_time()
    scratch = Scratch(str(tmp_path), lambda *_: None)
    assert scratch.folder_of("shop", None)
    assert time.thread_time() - before_s < 0.02  # removing them all would take 0.05 s
    wait_until(lambda: [f"{tmp_path}/{name}" for name in os.listdir(tmp_path)] == [*scratch.roots])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of others")
def test_of_a_user(scratch: Scratch, failures: Failures, tmp_path: Path) -> None:
    """The folder of an app with a user belongs to that user, and is where the user can reach it."""
    closed = tmp_path.resolve()
    user = Identity("nobody", 65534, 65534, (65534,), "/")
    folder = scratch.folder_of("shop", user)
    assert folder is not None
    assert folder.endswith("/shop@65534")
    assert os.stat(folder).st_uid == 65534
    assert [mode(root) for root in scratch.roots] == [0o711]
    scratch.close()
    # The user could not pass through the test's own folder.
    assert [reason for _, reason in failures] == [f"{closed} is closed to other users"]


def test_state_that_cannot_be_written(failures: Failures) -> None:
    """Without a state folder the folders are in the temporary folder, and this is logged."""
    scratch = Scratch("/proc/state", lambda *failure: failures.append(failure))
    folder = scratch.folder_of("shop", None)
    assert folder is not None
    assert f"/buntime-{os.geteuid()}/tmp-" in folder
    assert [folder for folder, _ in failures] == ["/proc/state"]
    scratch.close()
    assert scratch.roots == ()
