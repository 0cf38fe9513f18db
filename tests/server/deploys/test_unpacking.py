"""Unpacking: what good archives give, and that hostile ones leave nothing."""

import errno
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from time import process_time

import pytest

from buntime.core.deploys.members import ArchiveFault, Bounds
from buntime.core.errors import ClientFault, ServerFault
from buntime.server.deploys import tarmembers
from buntime.server.deploys.disk import storage_fault
from buntime.server.deploys.unpacking import unpack
from tests.support.hostilearchives import (
    APP,
    OTHERS,
    TARS,
    ZIPS,
    block,
    hard,
    link,
    pax,
    raw_tar,
    tar,
    zipped,
)

BOUNDS = Bounds(unpacked_bytes=2_000_000_000)
CORPUS = {
    **{f"tar: {name}": each for name, each in TARS.items()},
    **{f"zip: {name}": each for name, each in ZIPS.items()},
    **OTHERS,
}


def test_the_corpus_is_large() -> None:
    """The corpus has more than 60 archives."""
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("name", CORPUS)
def test_hostile(name: str, tmp_path: Path) -> None:
    """Each hostile archive is refused with its code within two seconds, and leaves nothing inside
    or outside."""
    make, code = CORPUS[name]
    archive = io.BytesIO(make())
    (tmp_path / "releases").mkdir()
    for _ in range(3):  # a busy machine sometimes takes twice as long
        began_s = process_time()
        with pytest.raises(ClientFault) as told:
            unpack(archive, str(tmp_path / "releases" / "1.0.0"), BOUNDS)
        took_s = process_time() - began_s
        if took_s < 2:
            break
    assert took_s < 2
    assert told.value.code == code
    assert told.value.message.isprintable()
    assert len(told.value.message) < 1000
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "releases"]


@pytest.mark.parametrize("top", ["", "./", "shop-1.0/"])
@pytest.mark.parametrize("packs", [tar, zipped])
def test_good(packs: object, top: str, tmp_path: Path) -> None:
    """Files, folders, modes and links are unpacked unchanged, without the folder at the top."""
    if packs is tar:
        archive = tar(
            (f"{top}app.py", {"mode": 0o600}, b"app"),
            (f"{top}bin/run", {"mode": 0o777}, b"run"),
            link(f"{top}bin/same", "../app.py"),
            (f"{top}empty", {"type": tarfile.DIRTYPE, "mode": 0o700}),
        )
    else:
        archive = zipped(
            (f"{top}app.py", b"app", 0o100600),
            (f"{top}bin/run", b"run", 0o100777),
            (f"{top}bin/same", b"../app.py", 0o120777),
            (f"{top}empty/", b"", 0o040700),
        )
    before = os.umask(0o077)
    try:
        unpacked = unpack(io.BytesIO(archive), str(tmp_path / "1.0.0"), BOUNDS)
    finally:
        os.umask(before)
    folder = tmp_path / "1.0.0"
    assert [*tmp_path.iterdir()] == [folder]
    assert set(unpacked.files) == {"app.py", "bin/run", "bin/same"}
    assert unpacked.size_bytes == 6
    assert (folder / "bin" / "same").read_bytes() == b"app"
    modes = {each.name: each.stat().st_mode & 0o7777 for each in folder.iterdir()}
    assert modes == {"app.py": 0o644, "bin": 0o755, "empty": 0o755}
    assert (folder / "bin" / "run").stat().st_mode & 0o7777 == 0o755
    assert folder.stat().st_mode & 0o7777 == 0o755


def test_hard_links(tmp_path: Path) -> None:
    """A hard link to an earlier file is the same file."""
    unpack(io.BytesIO(tar(("d/a", {}, b"x"), hard("b", "d/a"))), str(tmp_path / "1"), BOUNDS)
    assert (tmp_path / "1" / "b").samefile(tmp_path / "1" / "d" / "a")


def test_archives_of_common_tools(tmp_path: Path) -> None:
    """What shutil and tar pack, in each of their formats, can be unpacked."""
    source = tmp_path / "source"
    (source / "static").mkdir(parents=True)
    (source / "app.py").write_bytes(b"app")
    (source / "static" / ("n" * 150)).write_bytes(bytes(70_000))
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", format=form) as archive:
            archive.add(source, ".")
        unpack(packed, str(tmp_path / f"{number}"), BOUNDS)
        assert (tmp_path / f"{number}" / "static" / ("n" * 150)).stat().st_size == 70_000
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w") as written,
        written.open("app.py", "w", force_zip64=True) as to,
    ):
        to.write(b"app")
    unpack(packed, str(tmp_path / "zip64"), BOUNDS)
    assert (tmp_path / "zip64" / "app.py").read_bytes() == b"app"


def test_headers_are_not_kept() -> None:
    """What the headers of members say takes no memory once the next one is read."""
    attributes = {f"a{each:05}": "" for each in range(1000)}
    archive = raw_tar(*[pax(b"x", **attributes) + block("./", kind=b"5")] * 100)
    tracemalloc.start()
    try:
        count = sum(1 for _ in tarmembers.members(io.BytesIO(archive), 9_000_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 100
    assert peak < 3_000_000


def test_it_can_be_ended(tmp_path: Path) -> None:
    """The check before each file can stop the unpacking; nothing is left."""

    def stop() -> None:
        raise ServerFault(503, "draining", "the runtime is shutting down")

    with pytest.raises(ServerFault):
        unpack(io.BytesIO(tar(APP)), str(tmp_path / "1.0.0"), BOUNDS, go_on=stop)
    assert [*tmp_path.iterdir()] == []


def test_too_large_in_all(tmp_path: Path) -> None:
    """An archive that is too large in total leaves nothing."""
    with pytest.raises(ArchiveFault, match="unpacks to more than 100 bytes"):
        unpack(io.BytesIO(tar(("a", {}, bytes(101)))), str(tmp_path / "1"), Bounds(100))
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_is_there(tmp_path: Path) -> None:
    """Nothing is unpacked over an existing folder."""
    (tmp_path / "1.0.0" / "d").mkdir(parents=True)
    with pytest.raises(ServerFault):
        unpack(io.BytesIO(tar(APP)), str(tmp_path / "1.0.0"), BOUNDS)
    assert [*tmp_path.iterdir()] == [tmp_path / "1.0.0"]
    assert [*(tmp_path / "1.0.0").iterdir()] == [tmp_path / "1.0.0" / "d"]


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (errno.ENOSPC, 507, "disk_full"),
        (errno.EDQUOT, 507, "disk_full"),
        (errno.EACCES, 500, "storage_failed"),
    ],
)
def test_faults_of_the_disk(number: int, status: int, code: str) -> None:
    """Disk faults are the server's; a full disk has its own code."""
    fault = storage_fault(OSError(number, os.strerror(number), "/srv/x"))
    assert (fault.status, fault.code) == (status, code)
    assert fault.message.startswith("/srv/x: ")
