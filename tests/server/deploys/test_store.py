"""The store of releases: its links, conflicts, and leftovers."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.deploys.names import Release
from buntime.core.errors import ClientFault
from buntime.server.bundle.cachefolder import remove
from buntime.server.deploys.diskwork import left_behind
from buntime.server.deploys.records import ReleaseRecord, read_files, read_record, write_files
from buntime.server.deploys.store import Store
from tests.support.deploystore import deployed, release_of, seen, tree
from tests.support.disks import nest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "earlier").mkdir()
    (tmp_path / "apps").mkdir()
    return Store(str(tmp_path / "apps"), earlier=[str(tmp_path / "earlier")])


def write(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def refused(store: Store, release: Release, code: str, *, replaces: bool = False) -> str:
    before = tree(store.root)
    with pytest.raises(ClientFault) as told:
        deployed(store, release, replaces=replaces)
    assert (told.value.status, told.value.code) == (409, code)
    assert tree(store.root) == before
    return told.value.message


# Deploying


@pytest.mark.parametrize("app", ["shop", "@acme/shop"])
def test_the_first_release(store: Store, app: str) -> None:
    """The version links to the release, and latest links to the version."""
    deployed(store, release_of(app, "1.2.0"))
    root = Path(store.root)
    assert os.readlink(root / app / "latest") == "1.2.0"
    assert (root / app / "1.2.0" / "app.py").read_text("utf-8") == "1.2.0"
    assert (root / app / "latest").resolve() == root / release_of(app, "1.2.0").path
    assert seen(store, app) == {"1.2.0": "1.2.0", "latest": "1.2.0"}
    assert store.active(app) == "1.2.0"
    assert [*store.releases(app)] == ["1.2.0"]
    assert not store.withheld(app)


def test_an_app_that_is_a_folder(store: Store) -> None:
    """Beside an app that is a folder the links are added, and the folder serves again when latest
    is removed."""
    write(Path(store.root, "shop/app.py"))
    deployed(store, release_of("shop", "1.0.0"))
    assert sorted(os.listdir(store.root)) == [".releases", "shop", "shop@1.0.0", "shop@latest"]
    assert store.active("shop") == "1.0.0"
    assert Path(store.root, "shop@latest/app.py").read_text("utf-8") == "1.0.0"
    store.activate("shop", None, leaves="1.0.0", now_s=0.0)
    assert sorted(os.listdir(store.root)) == [".releases", "shop", "shop@1.0.0"]
    assert store.withheld("shop") == {"1.0.0"}


def test_the_next_release(store: Store) -> None:
    """The previous release stays, and can be rolled back to."""
    for version in ("1.0.0", "1.1.0"):
        deployed(store, release_of("shop", version))
    assert seen(store, "shop") == {"1.0.0": "1.0.0", "1.1.0": "1.1.0", "latest": "1.1.0"}
    store.activate("shop", "1.0.0", leaves="1.1.0", now_s=7.0)
    assert store.active("shop") == "1.0.0"
    assert store.withheld("shop") == {"1.1.0"}
    assert store.releases("shop")["1.0.0"].active_s == 7.0
    store.activate("shop", "1.1.0", now_s=8.0)
    assert not store.withheld("shop")


def test_replacing(store: Store) -> None:
    """New content for a version takes over the link; the first release is removed once nobody uses
    it."""
    first, second = release_of("shop", "1.0.0"), release_of("shop", "1.0.0", "b")
    deployed(store, first)
    refused(store, second, "version_exists")
    deployed(store, second, replaces=True)
    assert Path(store.root, "shop/latest/app.py").read_text("utf-8") == "1.0.0b"
    path = os.path.join(store.root, first.path)
    assert store.tidy("shop", in_use=[path]) == []
    assert store.tidy("shop") == [path]
    assert not os.path.exists(path)
    assert store.release_at("shop", "1.0.0") == second.folder


def test_a_preview_is_never_active(store: Store) -> None:
    """A preview is found by its version, and withheld from ranges."""
    deployed(store, release_of("shop", "1.0.0"))
    deployed(store, release_of("shop", "0.0.0-preview.a"), expires_s=9.0)
    assert store.active("shop") == "1.0.0"
    assert store.withheld("shop") == {"0.0.0-preview.a"}
    store.remove("shop", "0.0.0-preview.a")
    assert len(store.tidy("shop")) == 1
    assert not store.withheld("shop")


def test_the_last_version_goes(store: Store) -> None:
    """With the last version the folder of its links is removed, even if latest was removed
    before."""
    deployed(store, release_of("shop", "1.0.0"))
    os.unlink(Path(store.root, "shop/latest"))
    store.remove("shop", "1.0.0")
    with store.turn("shop"):
        store.tidy("shop")
    assert tree(store.root) == {".releases"}


# Conflicts


def test_folders_copied_by_hand(store: Store) -> None:
    """Folders copied by hand may be beside releases; one of this version, or a real folder named
    latest, conflicts."""
    write(Path(store.root, "shop/0.9.0/app.py"))
    deployed(store, release_of("shop", "1.0.0"))
    store.activate("shop", "0.9.0", leaves="1.0.0", now_s=1.0)
    assert store.active("shop") == "0.9.0"
    assert "shop/0.9.0 was not made by a deploy" in refused(
        store, release_of("shop", "0.9.0"), "version_exists", replaces=True
    )


@pytest.mark.parametrize("latest", ["shop/latest", "shop@latest"])
def test_a_latest_that_is_a_folder(store: Store, latest: str) -> None:
    """A folder named latest is what serves, so a deploy would change nothing."""
    write(Path(store.root, latest, "app.py"))
    if latest == "shop/latest":
        refused(store, release_of("shop", "1.0.0"), "latest_is_folder")
    else:
        refused(store, release_of("shop", "1.0.0"), "version_hidden")


@pytest.mark.parametrize(
    "other", ["earlier/shop/1.0.0", "earlier/shop@1.0.0", "earlier/shop/latest", "apps/shop@1.0.0"]
)
def test_what_would_hide_it(store: Store, other: str) -> None:
    """A folder that would be served instead is reported, with both paths."""
    write(Path(store.root).parent / other / "app.py")
    told = refused(store, release_of("shop", "1.0.0"), "version_hidden")
    assert other in told
    assert "/apps/shop/" in told


def test_an_earlier_folder_of_another_version(store: Store) -> None:
    """Another version, and folders inside an app, do not conflict."""
    write(Path(store.root).parent / "earlier/shop/0.1.0/app.py")
    write(Path(store.root).parent / "earlier/plain/app.py")
    write(Path(store.root).parent / "earlier/plain/1.0.0/app.py")
    deployed(store, release_of("shop", "1.0.0"))
    deployed(store, release_of("plain", "1.0.0"))


def test_a_file_in_the_way(store: Store) -> None:
    """A file with the app's name is reported."""
    write(Path(store.root, "shop"))
    refused(store, release_of("shop", "1.0.0"), "app_in_the_way")
    os.symlink("/nowhere", Path(store.root, "blog"))
    refused(store, release_of("blog", "1.0.0"), "app_in_the_way")


# One at a time


def test_one_deploy_of_an_app(store: Store) -> None:
    """While one deploy of an app is running another is refused, even from another runtime."""
    with store.turn("shop"), store.turn("blog"), pytest.raises(ClientFault) as told:
        store.turn("shop").__enter__()
    assert told.value.code == "deploy_under_way"
    with store.turn("shop"):
        pass


def test_a_turn_is_given_back(store: Store) -> None:
    """The lock is released even while a process that is being started still holds its
    descriptor."""
    with store.turn("shop"):
        turn = os.path.join(store.folder_of("shop"), "turn")
        fds = [
            each for each in os.listdir("/dev/fd") if os.path.realpath(f"/dev/fd/{each}") == turn
        ]
        others = os.dup(int(fds[0]))
    try:
        with store.turn("shop"):
            pass
    finally:
        os.close(others)


def test_nothing_is_left_of_a_failed_deploy(store: Store) -> None:
    """The folder with the lock goes with the last release, whichever way the turn ends."""
    with pytest.raises(RuntimeError), store.turn("shop"):
        store.begin(release_of("shop", "1.0.0")).undo()
        raise RuntimeError
    assert tree(store.root) == {".releases"}
    deployed(store, release_of("shop", "1.0.0"))
    assert ".releases/shop/turn" in tree(store.root)


def test_a_release_that_is_under_way(store: Store) -> None:
    """A release in the making is locked by its maker; a sweep leaves it alone."""
    unfinished = store.begin(release_of("shop", "1.0.0"))
    os.mkdir(unfinished.folder)
    with pytest.raises(ClientFault, match="is being deployed"):
        store.begin(release_of("shop", "1.0.0"))
    assert Store(store.root).sweep() == []
    assert store.tidy("shop") == []
    unfinished.undo()
    assert not os.path.exists(unfinished.folder)


def test_records(tmp_path: Path) -> None:
    """A record is read as it was written; an unreadable one counts as none."""
    release = str(tmp_path / "1.0.0-0123456789ab")
    assert read_record(release) is None
    write_files(release, ["a b", "caf\u00e9", "x\udcff"])
    assert read_files(release) == {"a b", "caf\u00e9", "x\udcff"}
    for text in ("", "[]", "{}", '{"app": 1', "\0"):
        write(Path(f"{release}.json"), text)
        assert read_record(release) is None
    write(Path(f"{release}.json"), '{"app":"a","version":"1","digest":"d","deployed_s":1,"new":2}')
    assert read_record(release) == ReleaseRecord("a", "1", "d", 1)


# Interrupted


CASES = (
    *("first", "next", "replaced", "flat", "preview", "scoped"),
    *("plugin", "plugin-replaced", "plugin-scoped"),
)


@pytest.fixture
def in_memory() -> Iterator[str]:
    """A folder on a disk in memory, if there is one: a change there takes a fraction of the time,
    and only the order of changes counts."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield name


@pytest.mark.timeout(200)
@pytest.mark.parametrize("how", ["killed", "full"])
def test_cut_short(how: str, in_memory: str) -> None:
    """If a deploy is killed at any change to the file system, or the disk takes no more changes,
    then either the previous state is there again or all of the new one. See `deploycuts`."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.deploycuts", in_memory, how, *CASES],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert tuple(case for case, *_ in lines) == CASES
    for case, *counts in lines:
        cuts, before, after = map(int, counts)
        assert cuts >= 10, case
        assert before + after == cuts, case
        assert before >= 8, case


def test_an_app_that_has_nested_folders_deeply(store: Store) -> None:
    """The app's next deploy reports what could not be removed, and its release can be removed."""
    release = release_of("shop", "1.0.0")
    deployed(store, release)
    nest(Path(store.root, release.path))
    try:
        assert len(left_behind(store, "shop")) == 10
        store.remove_release(os.path.join(store.root, release.path))
        assert not Path(store.root, release.path).exists()
    finally:
        remove(os.path.join(store.root, release.path))
