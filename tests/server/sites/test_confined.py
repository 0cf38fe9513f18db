"""A walk from a folder opens regular files below it, and nothing else, whoever moves things."""

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.errors import ServerFault
from buntime.server.sites.confined import OpenFile, open_inside
from tests.support.harness import descriptors_below
from tests.support.shortage import no_descriptors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "a" / "b").mkdir(parents=True)
    (home / "a" / "b" / "file").write_text("inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("outside")
    return home


@pytest.fixture(autouse=True)
def no_descriptor_stays_open(tmp_path: Path) -> Iterator[None]:
    yield
    assert descriptors_below(tmp_path) == []


def opened(folder: Path, path: str) -> OpenFile | None:
    found = open_inside(os.fsencode(folder), path.encode().split(b"/"))
    if found is not None:
        os.close(found.fd)
    return found


def test_a_file(folder: Path) -> None:
    """A file is returned open, with its stat result and its resolved path."""
    found = open_inside(os.fsencode(folder), [b"a", b"b", b"file"])
    assert found is not None
    assert os.read(found.fd, 100) == b"inside"
    assert not os.get_inheritable(found.fd)
    os.close(found.fd)
    assert found.stat.st_size == 6
    assert found.segments == (b"a", b"b", b"file")


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("a/b/file", (b"a", b"b", b"file")),
        ("{home}/a/b/file", (b"a", b"b", b"file")),
        ("../home/a/b/file", (b"a", b"b", b"file")),
        ("../outside/file", None),
        ("{home}/../outside/file", None),
        ("/etc/passwd", None),
        ("/dev/zero", None),
        ("/proc/self/environ", None),
        ("link", None),
        ("nowhere", None),
        ("a", None),
    ],
)
def test_links(folder: Path, target: str, place: tuple[bytes, ...] | None) -> None:
    """A link is followed if it ends at a file below the folder."""
    (folder / "link").symlink_to(target.format(home=folder))
    found = opened(folder, "link")
    assert (found.segments if found else None) == place


def test_links_in_the_middle(folder: Path) -> None:
    """The same holds for links to folders."""
    (folder / "in").symlink_to("a")
    (folder / "out").symlink_to("../outside")
    (folder / "near").symlink_to(folder.with_name("home2"))
    folder.with_name("home2").mkdir()
    (folder.with_name("home2") / "file").write_text("outside")
    assert opened(folder, "in/b/file") is not None
    assert opened(folder, "out/file") is None
    assert opened(folder, "near/file") is None


def test_a_place_outside_that_reads_like_one_inside(folder: Path) -> None:
    """A link into a twin of the folder does not open the file of the same path in the folder."""
    twin = folder.with_name("twin")
    (twin / "a" / "b").mkdir(parents=True)
    (twin / "a" / "b" / "file").write_text("outside")
    (folder / "link").symlink_to(twin / "a")
    assert opened(folder, "link/b/file") is None


def test_mounted_like_a_config_map(folder: Path) -> None:
    """Kubernetes' links through a dated folder work, even after they were switched."""
    for version in ("..2024", "..2025"):
        (folder / version).mkdir()
        (folder / version / "page").write_text(version)
    (folder / "page").symlink_to("..data/page")
    (folder / "..data").symlink_to("..2024")
    found = opened(folder, "page")
    assert found is not None
    assert found.segments == (b"..2024", b"page")
    (folder / "..new").symlink_to("..2025")
    (folder / "..new").replace(folder / "..data")
    found = opened(folder, "page")
    assert found is not None
    assert found.segments == (b"..2025", b"page")


def test_the_folder_may_be_a_link(folder: Path) -> None:
    """Where the folder itself is, even behind a link, is the operator's choice."""
    link = folder.with_name("current")
    link.symlink_to("home")
    (folder / "in").symlink_to("a")
    assert opened(link, "a/b/file") is not None
    assert opened(link, "in/b/file") is not None


def test_what_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, FIFOs and sockets are not opened, and none of them blocks."""
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("fifo")
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    for path in ("a", "fifo", "link", "socket", "a/b/file/x", "missing", "missing/x", "x" * 300):
        assert opened(folder, path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
def test_no_permission(folder: Path) -> None:
    """A file that the process may not read counts as missing."""
    (folder / "a" / "b" / "file").chmod(0)
    assert opened(folder, "a/b/file") is None


def test_a_path_longer_than_any(folder: Path) -> None:
    """A path longer than PATH_MAX counts as missing, and raises nothing."""
    assert opened(folder, "/".join(["a"] * 5000)) is None
    (folder / "link").symlink_to("a")
    assert opened(folder, "link/" + "/".join(["a"] * 5000)) is None


def test_no_descriptors_left(folder: Path) -> None:
    """If no file can be opened the answer is 503 and not 404, since the file is there."""
    with no_descriptors(), pytest.raises(ServerFault) as caught:
        open_inside(os.fsencode(folder), [b"a", b"b", b"file"])
    assert caught.value.status == 503


def test_a_folder_that_becomes_a_link(folder: Path) -> None:
    """While a folder is swapped for a link to the outside and back, only the inside is read."""
    (folder / "link").symlink_to("../outside")
    names = [folder / name for name in ("b", "away", "link")]
    os.rename(folder / "a" / "b", names[0])
    enough = threading.Event()

    def swap() -> None:
        folder_name, away, link = names
        while not enough.is_set():
            os.rename(folder_name, away)
            os.rename(link, folder_name)
            os.rename(folder_name, link)
            os.rename(away, folder_name)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[bytes | None] = set()
    try:
        # Not before both states were met often: the folder, and the link or nothing in its place.
        for turn in itertools.count():
            found = open_inside(os.fsencode(folder), [b"b", b"file"])
            seen.add(None if found is None else os.read(found.fd, 100))
            if found is not None:
                os.close(found.fd)
            if turn > 500 and len(seen) > 1:
                break
    finally:
        enough.set()
        swapper.join()
    assert seen == {b"inside", None}
