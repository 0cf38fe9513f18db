"""A backup of apps, data and state, restored elsewhere."""

from __future__ import annotations

import gzip
import io
import json
import os
import pwd
import shutil
import sqlite3
import stat
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.backup.form import CONTENTS, HEAD, BadBackup
from buntime.server.backup.folderprocess import Failed
from buntime.server.backup.helper import Packer, read_entry, stays_inside
from buntime.server.backup.placing import Target
from buntime.server.backup.reading import check_backup, restore_backup
from buntime.server.backup.source import Source, sizes_of
from buntime.server.backup.writing import Written, write_backup
from buntime.server.sandbox.probe import find_kernel
from tests.support.disks import small_disk

KERNEL = find_kernel()
OPTIONS = b"""{
 "audit": {
  "days": {
   "value": 3,
   "by": "local",
   "at": ""
  },
  "token": {
   "value": "a-password",
   "by": "local",
   "at": "",
   "isSecret": true
  }
 }
}"""


class Host:
    """A state folder, a folder of apps and one of plugins."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.state, self.apps, self.plugins = (
            self.root / name for name in ("state", "apps", "plugins")
        )

    def fill(self) -> None:
        """Write something of each kind."""
        self.write("apps/shop/1.0.0/app.py", b"old")
        self.write("apps/shop/1.2.0/app.py", b"new", 0o755)
        (self.apps / "shop/latest").symlink_to("1.2.0")
        (self.apps / "blog@latest").symlink_to("shop/../../outside")
        (self.apps / "empty").mkdir()
        self.write("apps/.releases/@acme/blog/1.0.0-3f2a/app.py", b"deployed")
        (self.apps / "@acme/blog").mkdir(parents=True)
        (self.apps / "@acme/blog/1.0.0").symlink_to("../../.releases/@acme/blog/1.0.0-3f2a")
        (self.apps / "shop@3.0.0").symlink_to(".releases/@acme/blog/1.0.0-3f2a")
        self.write("apps/shop/1.2.0/__pycache__/app.pyc", b"made anew")
        self.write("plugins/audit/plugin.py", b"hooks")
        for folder in ("apps/shop/1.2.0", "plugins/audit"):
            self.write(f"{folder}/.venv-3f2a81c09d4e/complete", b"made anew")
            (self.root / folder / ".venv").symlink_to(".venv-3f2a81c09d4e")
        self.write("state/data/shop/uploads/ä b/1.png", os.urandom(700_000))
        self.write("state/data/shop/closed/x", b"y")
        (self.state / "data/shop/closed").chmod(0o500)
        self.write("state/data/@acme+blog/empty", b"")
        self.write("state/secrets/shop/KEY", b"hunter2", 0o600)
        self.write("state/plugins.json", b"{}", 0o600)
        self.write("state/plugin-options.json", OPTIONS, 0o600)
        self.write("state/local.key", b"k", 0o600)
        database = sqlite3.connect(self.state / "state.db", isolation_level=None)
        database.execute("CREATE TABLE t (a)")
        database.close()

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        os.utime(path, (1_700_000_000.25, 1_700_000_000.25))

    def copy_state(self, path: str) -> bool:
        source, target = sqlite3.connect(self.state / "state.db"), sqlite3.connect(path)
        source.backup(target)
        source.close()
        target.close()
        return True

    def backup(self, **more: Any) -> tuple[io.BytesIO, Written]:
        out = io.BytesIO()
        source = Source(
            str(self.state), [str(self.apps)], [str(self.plugins)], KERNEL, self.copy_state, **more
        )
        written = write_backup(source, lambda data: out.write(data) and None)
        return out, written

    def restore(self, archive: io.BytesIO, **more: Any) -> list[str]:
        self.state.mkdir(parents=True, exist_ok=True)
        target = Target(str(self.state), [str(self.apps)], [str(self.plugins)], KERNEL, **more)
        return restore_backup(archive, check_backup(archive).head, target)

    def tree(self) -> dict[str, tuple[object, ...]]:
        """Everything in the folders: kind, mode, owner, content, time."""
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted(self.root.rglob("*")):
            status, name = path.lstat(), str(path.relative_to(self.root))
            rights = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
            if path.is_symlink():
                found[name] = ("link", os.readlink(path))
            elif path.is_dir():
                found[name] = ("folder", *rights)
            elif name.startswith("state/state.db"):
                found[name] = ("database", *rights)
            else:
                found[name] = ("file", *rights, status.st_mtime, path.read_bytes())
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path / "one")
    host.fill()
    yield host
    for path in tmp_path.rglob("closed"):
        path.chmod(0o700)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of a host with everything in it."""
    root = tmp_path_factory.mktemp("backup")
    host = Host(root / "one")
    host.fill()
    archive, _ = host.backup()
    (host.state / "data/shop/closed").chmod(0o700)
    return archive.getvalue()


@pytest.fixture
def empty(tmp_path: Path) -> Host:
    return Host(tmp_path / "two")


def content(archive: io.BytesIO, name: str) -> bytes:
    """The content of a file in the state folder."""
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        file = tar.extractfile(f"state/{name}")
        assert file is not None
        return file.read()


def members(archive: io.BytesIO) -> list[str]:
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        return tar.getnames()


def test_what_is_restored_is_the_same(host: Host, empty: Host) -> None:
    """Names, contents, modes, times and links are restored; not keys of this machine, nor what is
    made again: bytecode, and environments of `autoInstall`."""
    archive, written = host.backup(has_secrets=True)
    assert written.changed == []
    assert written.left == [("apps/0/blog@latest", "it leads elsewhere, to shop/../../outside")]
    assert check_backup(archive).files == written.files
    placed = empty.restore(archive)
    assert str(empty.state / "state.db") == placed[-1]
    before, now = host.tree(), empty.tree()
    pycache = "apps/shop/1.2.0/__pycache__"
    for name in ("apps/blog@latest", "state/local.key", pycache, f"{pycache}/app.pyc"):
        del before[name]
    for name in [name for name in before if "/.venv" in name]:
        del before[name]
    for tree in (before, now):  # the state sets the modes of these itself
        for name in ("apps", "plugins", "state", "state/data", "state/secrets"):
            tree[name] = tree[name][:1]
        for name in [name for name in tree if name.count("/") == 2 and "/secrets/" in name]:
            tree[name] = tree[name][:1]
        tree["state/secrets/shop/KEY"] = tree["state/secrets/shop/KEY"][-1:]
        for name in ("state/plugins.json", "state/plugin-options.json"):
            tree[name] = tree[name][-1:]
        tree["state/state.db"] = tree["state/state.db"][:1]
        for name in ("state/data/shop", "state/data/@acme+blog"):
            tree[name] = tree[name][:1]
    assert now == before
    modes = {name: stat.S_IMODE((empty.state / name).stat().st_mode) for name in (
        "data", "data/shop", "secrets", "secrets/shop/KEY", "state.db"
    )}  # fmt: skip
    assert modes == {
        "data": 0o711,
        "data/shop": 0o700,
        "secrets": 0o700,
        "secrets/shop/KEY": 0o600,
        "state.db": 0o600,
    }
    database = sqlite3.connect(empty.state / "state.db")
    assert database.execute("SELECT * FROM t").fetchall() == []
    database.close()
    assert not [*empty.root.rglob(".restore-*")]
    assert not [*host.root.rglob("*backup*")]


def test_what_is_restored_outlasts_a_loss_of_power(
    host: Host, empty: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder is synced after it got an entry; those of all others, and the state's own, before
    state.db gets its name."""
    unsynced: set[str] = set()
    at_last: list[set[str]] = []
    rename, mkdir, fsync = os.rename, os.mkdir, os.fsync

    def note_rename(old: str, new: str) -> None:
        rename(old, new)
        if new == str(empty.state / "state.db"):
            at_last.append({*unsynced})
        unsynced.update((os.path.dirname(old), os.path.dirname(new)))

    def note_mkdir(path: str, *more: Any, **named: Any) -> None:
        mkdir(path, *more, **named)
        unsynced.add(os.path.dirname(path))

    def note_fsync(fd: int) -> None:
        fsync(fd)
        unsynced.discard(os.readlink(f"/proc/self/fd/{fd}"))

    archive, _ = host.backup(has_secrets=True)
    empty.state.mkdir(parents=True)
    for name, noted in (("rename", note_rename), ("mkdir", note_mkdir), ("fsync", note_fsync)):
        monkeypatch.setattr(os, name, noted)
    assert str(empty.state / "secrets") in empty.restore(archive)
    [late] = at_last
    stages = {path for path in late | unsynced if ".restore-" in path}  # removed at the end
    assert late - stages == {str(empty.state)}
    assert unsynced - stages == set()


def test_secrets_are_left_out(host: Host) -> None:
    """Secrets' values are in an archive only if asked for."""
    archive, _ = host.backup()
    whole, _ = host.backup(has_secrets=True)
    assert not [name for name in members(archive) if "secrets" in name]
    assert "state/secrets/shop/KEY" in members(whole)
    assert b"a-password" in content(whole, "plugin-options.json")
    told = content(archive, "plugin-options.json")
    assert json.loads(told) == {"audit": {"days": {"value": 3, "by": "local", "at": ""}}}
    (host.state / "plugin-options.json").write_bytes(b"{")  # means nothing to the runtime either
    assert "state/plugin-options.json" not in members(host.backup()[0])


def test_some_of_it(host: Host, empty: Host) -> None:
    """One kind can be backed up or restored without the others; an existing state is moved
    aside."""
    archive, _ = host.backup(only=frozenset(("data",)))
    kinds = {name.partition("/")[0] for name in members(archive)}
    assert kinds == {HEAD, CONTENTS, "data"}
    archive, _ = host.backup()
    empty.fill()
    (empty.state / "state.db").write_bytes(b"damaged")
    (empty.state / "state.db-wal").write_bytes(b"of the damaged one")
    empty.restore(archive, only=frozenset(("state",)))
    database = sqlite3.connect(empty.state / "state.db")
    assert database.execute("SELECT * FROM t").fetchall() == []
    database.close()
    [old] = empty.state.glob("state.db.before-*")
    assert old.read_bytes() == b"damaged"
    assert len([*empty.state.glob("state.db-wal.before-*")]) == 1


def test_data_that_are_removed_meanwhile(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that goes with its app is not among them, and the others are."""
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*real(path), "gone"])
    source = Source(str(host.state), [], [], KERNEL, host.copy_state)
    assert [each["name"] for each in sizes_of(source)] == ["@acme+blog", "shop"]


def test_databases(host: Host, empty: Host) -> None:
    """A database that is being written to is saved as of one moment, with what its log holds. The
    log itself is not copied, and what only looks like a database is reported."""
    path = host.state / "data/shop/app.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (a)")
    writer.execute("INSERT INTO t VALUES (1)")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO t VALUES (2)")
    host.write("state/data/shop/fake.db", b"SQLite format 3\0 and so on")
    host.write("state/data/shop/.buntime-backup-1/copy", b"of a backup that was killed")
    archive, written = host.backup()
    writer.close()
    names = members(archive)
    assert not [*(host.state / "data/shop").glob(".buntime*")]
    assert "data/shop/app.db" in names
    assert not [name for name in names if name.endswith(("-wal", "-shm"))]
    assert [name for name, _ in written.left if name.endswith(".db")] == ["data/shop/fake.db"]
    empty.restore(archive)
    restored = sqlite3.connect(empty.state / "data/shop/app.db")
    assert restored.execute("SELECT * FROM t").fetchall() == [(1,)]
    restored.close()
    assert (empty.state / "data/shop/fake.db").read_bytes() == b"SQLite format 3\0 and so on"


@pytest.mark.parametrize("descriptors", ["/proc/self/fd", "/nowhere"])
def test_databases_without_proc(tmp_path: Path, descriptors: str) -> None:
    """Also where the system does not show open folders as folders (macOS), SQLite copies what its
    log holds, at any depth and whatever its name; nothing is reported, and the working folder
    stays."""
    name = "50%41?mode=memory#.db"
    folder = tmp_path / "data/a b/ü"
    folder.mkdir(parents=True)
    writer = sqlite3.connect(folder / name, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (a)")
    writer.execute("INSERT INTO t VALUES (1)")
    assert (folder / f"{name}-wal").stat().st_size > 0
    out, here = io.BytesIO(), Path.cwd()
    Packer(str(tmp_path / "data"), out, has_links=False, descriptors=descriptors).run()
    writer.close()
    assert Path.cwd() == here
    out.seek(0)
    entries = [read_entry(out), read_entry(out), read_entry(out)]
    assert [each["path"][-1] for each in entries] == ["a b", "ü", name]
    (tmp_path / "copy.db").write_bytes(out.read(entries[-1]["size"]))
    assert read_entry(out) == {"kind": "end", "changed": [], "left": []}
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT * FROM t").fetchall() == [(1,)]
    copy.close()


def test_hostile_data(host: Host, empty: Host) -> None:
    """Links, FIFOs and sockets are reported and left out; none is followed or waited for."""
    data = host.state / "data/shop"
    (data / "key").symlink_to(host.state / "local.key")
    (data / "up").symlink_to("..")
    os.mkfifo(data / "fifo")
    deep = data
    for _ in range(100):
        deep /= "d"
        deep.mkdir()
    (data / "line\nbreak").write_text("x")
    (data / os.fsdecode(b"\xff\xfe")).write_text("x")
    archive, written = host.backup()
    left = dict(written.left)
    assert left["data/shop/key"] == left["data/shop/up"] == "it is a link"
    assert left["data/shop/fifo"] == "it is not a file"
    assert "it is nested too deeply" in left.values()
    empty.restore(archive)
    assert (empty.state / "data/shop/line\nbreak").read_text() == "x"
    assert (empty.state / "data/shop" / os.fsdecode(b"\xff\xfe")).read_text() == "x"


@pytest.mark.parametrize("name", ["apps/x", "plugins/x", "state/data/shop/x", "state/plugins.json"])
def test_nothing_is_replaced(backup: bytes, empty: Host, name: str) -> None:
    """If anything is there already, nothing at all is restored."""
    archive = io.BytesIO(backup)
    empty.write(name, b"mine")
    empty.state.mkdir(exist_ok=True)
    before = empty.tree()
    with pytest.raises(Failed, match=r"already|not empty"):
        empty.restore(archive)
    assert empty.tree() == before


@pytest.mark.parametrize(
    "name", ["apps/.restore-7", "state/.restore-7", "state/data/.restore-shop"]
)
def test_what_a_killed_restore_leaves(backup: bytes, empty: Host, name: str) -> None:
    """The next restore changes nothing and has the command that removes it; then it works."""
    archive = io.BytesIO(backup)
    empty.write(f"{name}/half", b"half")
    empty.state.mkdir(exist_ok=True)
    before = empty.tree()
    with pytest.raises(Failed, match="a restore that was killed") as failed:
        empty.restore(archive)
    assert empty.tree() == before
    assert str(failed.value).endswith(f": rm -r {empty.root / name}")
    shutil.rmtree(empty.root / name)
    empty.restore(archive)
    assert not [*empty.root.rglob(".restore-*")]


def test_what_a_killed_restore_had_placed(backup: bytes, empty: Host) -> None:
    """If it was killed between two renames, the next one also names what is in place already."""
    empty.restore(io.BytesIO(backup))
    empty.write("state/.restore-7/half", b"")
    (empty.state / "state.db").rename(empty.state / ".restore-7/state.db")
    with pytest.raises(Failed, match="a restore that was killed") as failed:
        empty.restore(io.BytesIO(backup))
    command, _, placed = str(failed.value).partition("; then move away what it had put in its ")
    assert command.endswith(f": rm -r {empty.state / '.restore-7'}")
    there = set(placed.removeprefix("place: ").split(" "))
    assert {str(empty.state / "data/shop"), str(empty.state / "plugins.json")} < there
    assert not [path for path in there if ".restore-" in path]
    for path in (*there, empty.state / ".restore-7"):
        is_folder = os.path.isdir(path) and not os.path.islink(path)
        shutil.rmtree(path) if is_folder else os.unlink(path)
    empty.restore(io.BytesIO(backup))


def test_what_is_not_empty_is_named(backup: bytes, empty: Host) -> None:
    """The error names files that `ls` does not show, and the first of many."""
    for name in (".a", "b", "c", "d"):
        empty.write(f"apps/{name}", b"mine")
    with pytest.raises(Failed, match=r"is not empty: it has '\.a', 'b', 'c', …; name an"):
        empty.restore(io.BytesIO(backup))


def test_a_full_disk(backup: bytes, tmp_path: Path) -> None:
    """A restore that runs out of space leaves nothing behind."""
    archive = io.BytesIO(backup)
    with small_disk(tmp_path / "disk", size="300k", inodes=100) as disk:
        full = Host(disk)
        with pytest.raises(Failed, match="No space left"):
            full.restore(archive)
        assert [path for path in disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("path", "to", "is_inside"),
    [
        ("shop/latest", "1.2.0", True),
        ("shop/1.2.0", "../.releases/shop/1.2.0-3f", True),
        ("shop@1.2.0", ".releases/shop/1.2.0-3f", True),
        ("a/b/c", "../../x", True),
        ("a/b", "./x//y/", True),
        ("a", "..", False),
        ("a", "../x", False),
        ("a/b", "../../x", False),
        ("a/b", "..", False),  # the folder itself, endlessly
        ("a/b", "x/../y", False),  # x may be a link
        ("a", "/etc/passwd", False),
        ("a", "", False),
        ("a", ".", False),
        ("a", "x\0y", False),
        ("a", "x" * 300, False),
    ],
)
def test_links_that_stay_inside(path: str, to: str, is_inside: bool) -> None:
    """A link may go up through real folders only, and never leaves the folder that is restored."""
    assert stays_inside(path.split("/"), to) == is_inside


# Invalid archives


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def changed(archive: io.BytesIO, change: Change) -> io.BytesIO:
    """The same archive with its members changed."""
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        found = []
        for info in tar:
            content = tar.extractfile(info)
            found.append((info, content.read() if content else b""))
    change(found)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=0) as tar:
        for info, data in found:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out


def info_of(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def hostile(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> Change:
    return lambda members: members.insert(1, (info_of(name, kind, to), b""))


def text(name: str, data: bytes) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        index = [info.name for info, _ in members].index(name)
        members[index] = (members[index][0], data)

    return change


def head(**more: object) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], json.dumps({**json.loads(members[0][1]), **more}).encode())

    return change


HOSTILE: dict[str, Change] = {
    "absolute": hostile("/etc/cron.d/x"),
    "up": hostile("apps/0/../../x"),
    "up at once": hostile("../x"),
    "dots": hostile("apps/0/./x"),
    "no name": hostile("apps/0//x"),
    "a section's folder": hostile("apps/0"),
    "another section": hostile("apps/7/x"),
    "data of nobody": hostile("data/other/x"),
    "another file of the state": hostile("state/local.key"),
    "a lock": hostile("state/lock"),
    "secrets unasked": hostile("state/secrets/shop/KEY"),
    "a link out": hostile("apps/0/l", tarfile.SYMTYPE, "/etc"),
    "a link up": hostile("apps/0/a/l", tarfile.SYMTYPE, "../../x"),
    "a link by another": hostile("apps/0/l", tarfile.SYMTYPE, "shop/latest/../../.."),
    "a link in data": hostile("data/shop/l", tarfile.SYMTYPE, "x"),
    "a link in the state": hostile("state/state.db", tarfile.SYMTYPE, "x"),
    "a hard link": hostile("apps/0/l", tarfile.LNKTYPE, "apps/0/shop/1.0.0/app.py"),
    "a device": hostile("data/shop/d", tarfile.CHRTYPE),
    "a block device": hostile("apps/0/d", tarfile.BLKTYPE),
    "a fifo": hostile("apps/0/f", tarfile.FIFOTYPE),
    "a folder in the state": hostile("state/plugins.json", tarfile.DIRTYPE),
    "other content": text("apps/0/shop/1.0.0/app.py", b"evil"),
    "one more": lambda members: members.insert(1, (info_of("apps/0/evil"), b"x")),
    "one less": lambda members: members.remove(members[-2]),
    "apart": lambda members: members.insert(-1, (info_of("apps/0/late"), b"x")),
    "no contents": lambda members: members.remove(members[-1]),
    "no head": lambda members: members.remove(members[0]),
    "contents cut": text(CONTENTS, b""),
    "contents wrong": text(CONTENTS, b"[]\n"),
    "head wrong": text(HEAD, b"[]"),
    "head of no form": head(format=2),
    "data elsewhere": head(data={"../x": {"user": None}}),
    "data of a number": head(data={"shop": {"user": 0}}),
    "apps of a text": head(apps=3),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(backup: bytes, empty: Host, name: str) -> None:
    """Hostile archives are refused before anything is written."""
    archive = changed(io.BytesIO(backup), HOSTILE[name])
    with pytest.raises(BadBackup):
        empty.restore(archive)
    assert [*empty.state.iterdir()] == []
    assert not empty.apps.exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-300],
        lambda data: data[:5000] + b"x" * 100 + data[5100:],
        lambda data: b"",
        lambda data: b"PK\3\4" + data,
        lambda data: gzip.compress(b"no tar" * 1000),
        gzip.decompress,
    ],
)
def test_damaged_archives(backup: bytes, empty: Host, harm: Callable[[bytes], bytes]) -> None:
    """However the file is damaged, the error says so, and nothing is written."""
    with pytest.raises(BadBackup):
        empty.restore(io.BytesIO(harm(backup)))
    assert [*empty.state.iterdir()] == []


def header(kind: bytes, size: bytes, name: str = "data/shop/x") -> bytes:
    """A header of this kind, whose size is what these bytes say."""
    block = bytearray(info_of(name, kind).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def attributes(text: bytes) -> bytes:
    """A header of pax with these attributes, before that of an empty file."""
    return header(b"x", b"%o" % len(text)) + text.ljust(512, b"\0") + header(b"0", b"0")


BELOW_ZERO = b"\xff" * 11 + b"\xfb"  # -5
MANY = b"\x80" + b"\0" * 5 + (1 << 31).to_bytes(6, "big")


@pytest.mark.parametrize(
    "blocks",
    [
        header(b"0", BELOW_ZERO),
        header(b"L", MANY) + b"\0" * (3 << 20),
        header(b"x", MANY) + b"\0" * (3 << 20),
        attributes(b"11 size=-5\n"),
        attributes(b"99999999999999999999 a=b\n"),
        attributes(b"13 mtime=inf\n"),
        attributes(b"26 GNU.sparse.map=a,b,c,d\n"),
        attributes(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"),
        (header(b"x", b"13") + b"11 a=bcdefg".ljust(512, b"\0")) * 3000,
        (header(b"L", b"5") + b"aaaaa".ljust(512, b"\0")) * 3000,
        header(b"0", b"0", "data/shop/" + "x/" * 65),
    ],
    ids=[
        "size", "name", "attributes", "other size", "length", "time", "sparse", "sparse file",
        "chain", "chain of names", "depth",
    ],
)  # fmt: skip
def test_headers_without_sense(backup: bytes, empty: Host, blocks: bytes) -> None:
    """Headers that only somebody hostile writes are refused, too, and at once if they are large."""
    plain = gzip.decompress(backup)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        tar.next()
        second = tar.next()
    assert second is not None
    with pytest.raises(BadBackup):
        empty.restore(io.BytesIO(gzip.compress(plain[: second.offset] + blocks, 1)))
    assert [*empty.state.iterdir()] == []


SYSTEM_PYTHON = "/usr/bin/python3"  # open to other users, as ours may not be


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists(SYSTEM_PYTHON),
    reason="only root has folders of others, and needs a Python that they can run",
)
def test_users_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of another user is read and written as that user, who is found by name; he cannot
    give away files in it that are not his; and an unknown user is reported before anything is
    done."""
    monkeypatch.setattr(sys, "executable", SYSTEM_PYTHON)
    with tempfile.TemporaryDirectory(prefix="buntime-backup-") as name:
        os.chmod(name, 0o711)
        host, empty = Host(Path(name) / "one"), Host(Path(name) / "two")
        host.write("state/data/shop/mine", b"x", 0o600)
        host.write("state/data/shop/of-root", b"secret", 0o600)
        for path in (host.root, host.state, host.state / "data"):
            path.chmod(0o711)
        nobody = pwd.getpwnam("nobody")
        for path in (host.state / "data/shop", host.state / "data/shop/mine"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        out, written = host.backup(only=frozenset(("data",)))
        assert written.left == [("data/shop/of-root", "Permission denied")]
        head = check_backup(out).head
        assert head.data == {"shop": "nobody"}
        empty.root.mkdir(mode=0o711)
        empty.state.mkdir(mode=0o711)
        empty.restore(out)
        for path in (empty.state / "data/shop", empty.state / "data/shop/mine"):
            assert path.stat().st_uid == nobody.pw_uid
        stranger = changed(out, rename_user)
        with pytest.raises(
            Failed, match="the user nobody-here, who does not exist on this machine"
        ):
            Host(Path(name) / "three").restore(stranger)


def rename_user(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    head(data={"shop": {"user": "nobody-here"}})(members)
