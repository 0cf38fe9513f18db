"""Folders for apps' data."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.server.pythons.identity import Identity
from buntime.server.state.datafolders import DataFolders, NoData
from buntime.server.state.statefolder import StateFolder
from tests.support.disks import remount, small_disk

NOBODY = Identity("nobody", 65534, 65534, (65534,), "/")
OTHER = Identity("other", 65533, 65533, (65533,), "/")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of others")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "state"


@pytest.fixture
def folders(state: Path) -> DataFolders:
    return DataFolders(StateFolder(str(state)))


@pytest.fixture
def passable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that other users can pass through."""
    state = tmp_path_factory.mktemp("passable")
    for path in (state, *state.parents):
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & stat.S_IXOTH:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    return state


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB for the duration of the test."""
    with small_disk(tmp_path.resolve() / "disk") as place:
        yield place


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_folder_is_made(folders: DataFolders, state: Path) -> None:
    """An app's folder is closed to others, and the same each time, whatever the umask."""
    before = os.umask(0)
    try:
        folder = folders.ready("shop", None)
    finally:
        os.umask(before)
    assert folder == folders.ready("shop", None) == str(state / "data/shop")
    assert (mode(state), mode(state / "data"), mode(folder)) == (0o711, 0o711, 0o700)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("shop", "shop"),
        ("@acme/shop", "@acme+shop"),
        ("plugin:kv", "plugin+kv"),
        ("plugin:@acme/kv", "plugin+@acme+kv"),
        ("~", "~"),
        ("a" * 200, "a" * 200),
        ("plugin:" + "a" * 200, "plugin+" + "a" * 200),
    ],
)
def test_names(folders: DataFolders, state: Path, name: str, folder: str) -> None:
    """Each name has one folder directly below `data`, and no two names share one."""
    assert Path(folders.ready(name, None)) == state / "data" / folder
    assert (state / "data" / folder).is_dir()


def test_what_is_there_stays(folders: DataFolders) -> None:
    """What an app has stored is there at the next start, and another app does not see it."""
    Path(folders.ready("shop", None), "file").write_text("kept")
    assert Path(folders.ready("shop", None), "file").read_text() == "kept"
    assert os.listdir(folders.ready("blog", None)) == []


def test_an_open_folder_is_closed(folders: DataFolders, state: Path) -> None:
    """A folder that others could read is closed to them."""
    os.chmod(folders.ready("shop", None), 0o755)
    os.chmod(state / "data", 0o755)
    folder = DataFolders(StateFolder(str(state))).ready("shop", None)
    assert (mode(folder), mode(state / "data")) == (0o700, 0o711)


@pytest.mark.parametrize("what", ["data", "data/shop"])
def test_no_link_is_followed(folders: DataFolders, state: Path, tmp_path: Path, what: str) -> None:
    """Neither `data` nor an app's folder may be a link."""
    state.mkdir(mode=0o711)
    (state / "data").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if what == "data":
        (state / "data").rmdir()
    (state / what).symlink_to(elsewhere)
    with pytest.raises(NoData, match=rf"{state / what} is not a folder"):
        folders.ready("shop", None)
    assert os.listdir(elsewhere) == []


def test_a_file_in_the_way(folders: DataFolders, state: Path) -> None:
    """A file in the way is named, with what to do."""
    state.mkdir(mode=0o711)
    (state / "data").mkdir()
    (state / "data/shop").touch()
    with pytest.raises(NoData, match=r"data/shop is not a folder; move it away"):
        folders.ready("shop", None)


def test_a_state_folder_that_others_can_write(folders: DataFolders, state: Path) -> None:
    """Nothing is stored where others could replace it."""
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(NoData, match=r"can be written by other users; change that, or set RUNTIME"):
        folders.ready("shop", None)
    assert os.listdir(state) == []
    state.chmod(0o700)
    assert folders.ready("shop", None)  # once that is fixed


def test_a_folder_that_cannot_be_made(state: Path) -> None:
    """The system's reason is given, with the path."""
    with pytest.raises(NoData, match=r"^/proc/state: .*; correct that, or set RUNTIME_STATE_DIR"):
        DataFolders(StateFolder("/proc/state")).ready("shop", None)


def test_a_disk_that_can_only_be_read(disk: Path) -> None:
    """An app gets no folder that it cannot write to, whether it exists or not."""
    DataFolders(StateFolder(str(disk))).ready("shop", None)
    remount(disk, "ro")
    for app in ("shop", "blog"):
        with pytest.raises(NoData, match=rf"^{disk}/data/{app}.*(read-only|Read-only)"):
            DataFolders(StateFolder(str(disk))).ready(app, None)


def test_a_full_disk(disk: Path) -> None:
    """If there is no space for a folder the error says so; existing folders can be used."""
    folders = DataFolders(StateFolder(str(disk)))
    folders.ready("shop", None)
    with pytest.raises(NoData, match=rf"^{disk}/data/app\d: No space left on device; correct that"):
        for number in range(9):
            folders.ready(f"app{number}", None)
    assert folders.ready("shop", None)


@needs_root
def test_a_user_s_folder(passable: Path) -> None:
    """The folder of an app with a user belongs to that user."""
    folder = DataFolders(StateFolder(str(passable))).ready("shop", NOBODY)
    assert (os.stat(folder).st_uid, os.stat(folder).st_gid) == (65534, 65534)
    assert mode(folder) == 0o700


@needs_root
def test_another_user(passable: Path) -> None:
    """What one user has stored is not given to another, nor to the runtime's own user."""
    folder = DataFolders(StateFolder(str(passable))).ready("shop", NOBODY)
    Path(folder, "file").touch()
    for user, uid in ((OTHER, 65533), (None, 0)):
        with pytest.raises(NoData, match=rf"belongs to the user 65534, .* \(chown -R {uid} /"):
            DataFolders(StateFolder(str(passable))).ready("shop", user)
    assert os.stat(folder).st_uid == 65534


@needs_root
def test_killed_before_it_was_given_away(passable: Path) -> None:
    """An empty folder that belongs to the runtime is given to the app's user."""
    folders = DataFolders(StateFolder(str(passable)))
    folder = folders.ready("shop", None)
    assert folders.ready("shop", NOBODY) == folder
    assert os.stat(folder).st_uid == 65534
    full = folders.ready("blog", None)
    Path(full, "file").touch()
    with pytest.raises(NoData, match="belongs to the user 0"):
        folders.ready("blog", NOBODY)


@needs_root
def test_a_way_that_is_closed(state: Path) -> None:
    """If the app's user cannot reach the folder, the error names the folder that is closed."""
    state.mkdir(mode=0o700)
    with pytest.raises(NoData, match="is closed to other users"):
        DataFolders(StateFolder(str(state))).ready("shop", NOBODY)
