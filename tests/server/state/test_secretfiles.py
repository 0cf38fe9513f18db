"""The files in which secrets are stored."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buntime.server.state.secretfiles import (
    IN_STATE,
    MOUNTED,
    Found,
    SecretFiles,
    Stored,
    not_set,
    secret_json,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def files(state: Path) -> SecretFiles:
    return SecretFiles(str(state))


def told(found: Found) -> dict[str, dict[str, tuple[str, str]]]:
    return {
        holder: {name: (each.value, each.origin) for name, each in there.items()}
        for holder, there in found.items()
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_what_was_set_is_read(files: SecretFiles, state: Path) -> None:
    """Only the runtime can read the file, whatever the umask; a second value replaces the first."""
    before = os.umask(0)
    try:
        files.set("@acme/shop", "KEY", "one")
        files.set("@acme/shop", "KEY", "two\n")
    finally:
        os.umask(before)
    file = state / "secrets/@acme+shop/KEY"
    assert [mode(each) for each in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]
    assert os.listdir(file.parent) == ["KEY"]
    assert told(files.read(None)) == {"@acme/shop": {"KEY": ("two", IN_STATE)}}
    [stored] = files.read(None)["@acme/shop"].values()
    assert stored.set_s == file.stat().st_mtime
    assert "two" not in repr(stored)


def test_what_is_removed_is_gone(files: SecretFiles, state: Path) -> None:
    """A removed secret is gone, and so is its folder if nothing else is in it."""
    assert not files.remove("shop", "KEY")
    files.set("shop", "KEY", "one")
    assert files.remove("shop", "KEY")
    assert files.read(None) == {}
    assert os.listdir(state / "secrets") == []


def test_nothing_is_there(files: SecretFiles) -> None:
    """Without a folder there are no secrets."""
    assert files.read(None) == {}


@contextmanager
def little_room() -> Iterator[None]:
    """Files of up to 1 KiB can be written, as on a disk that is almost full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_value(files: SecretFiles, state: Path) -> None:
    """Half of the new value exists for a moment under another name, and is removed."""
    files.set("shop", "KEY", "old")
    with little_room(), pytest.raises(OSError, match="secrets/shop"):
        files.set("shop", "KEY", "x" * 2000)
    assert files.read(None)["shop"]["KEY"].value == "old"
    assert os.listdir(state / "secrets/shop") == ["KEY"]


def test_something_in_the_way(files: SecretFiles, state: Path) -> None:
    """What is in the way is an error that names it, and nothing is left of the attempt."""
    (state / "secrets/shop/KEY").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="secrets/shop"):
        files.set("shop", "KEY", "new")
    assert os.listdir(state / "secrets/shop") == ["KEY"]


def test_a_link_is_followed_nowhere_in_the_state_folder(files: SecretFiles, state: Path) -> None:
    """A link in place of a file or folder is neither read nor written through."""
    (state / "elsewhere").mkdir()
    (state / "elsewhere/KEY").write_text("theirs")
    (state / "secrets").mkdir()
    (state / "secrets/blog").symlink_to(state / "elsewhere")
    files.set("shop", "KEY", "one")
    (state / "secrets/shop/OTHER").symlink_to(state / "elsewhere/KEY")
    found = files.read(None)
    assert told(found) == {"shop": {"KEY": ("one", IN_STATE), "OTHER": ("", IN_STATE)}}
    assert "is a link" in found["shop"]["OTHER"].fault
    with pytest.raises(OSError, match="is not a folder"):
        files.set("blog", "KEY", "ours")
    assert (state / "elsewhere/KEY").read_text() == "theirs"


def test_kubernetes(files: SecretFiles, tmp_path: Path) -> None:
    """A volume's names are links into ..data, which is swapped; its own entries are not secrets."""
    mounted = tmp_path / "mounted"
    shop = mounted / "shop"
    (shop / "..2026_01").mkdir(parents=True)
    (shop / "..2026_01/KEY").write_text("one\n")
    (shop / "..data").symlink_to("..2026_01")
    (shop / "KEY").symlink_to("..data/KEY")
    (mounted / "@acme+blog.KEY").write_text("flat")
    (mounted / "plugin+audit.KEY").write_text("of a plugin")
    for name in ("README.md", ".hidden.KEY", "shop.lower", "..x.KEY"):
        (mounted / name).write_text("none")
    assert told(files.read(str(mounted))) == {
        "@acme/blog": {"KEY": ("flat", MOUNTED)},
        "plugin:audit": {"KEY": ("of a plugin", MOUNTED)},
        "shop": {"KEY": ("one", MOUNTED)},
    }
    (shop / "..2026_02").mkdir()
    (shop / "..2026_02/KEY").write_text("two")
    (shop / "..next").symlink_to("..2026_02")
    (shop / "..next").rename(shop / "..data")
    assert told(files.read(str(mounted)))["shop"] == {"KEY": ("two", MOUNTED)}


def test_what_is_mounted_wins(files: SecretFiles, tmp_path: Path) -> None:
    """A mounted secret overrides the operators' one of the same name."""
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted/shop.KEY").write_text("mounted")
    files.set("shop", "KEY", "set")
    files.set("shop", "OTHER", "set")
    assert told(files.read(str(tmp_path / "mounted"))) == {
        "shop": {"KEY": ("mounted", MOUNTED), "OTHER": ("set", IN_STATE)}
    }


def test_a_volume_that_has_gone(files: SecretFiles, tmp_path: Path) -> None:
    """A missing volume is an error, since it says nothing about the secrets that were in it."""
    with pytest.raises(FileNotFoundError):
        files.read(str(tmp_path / "mounted"))


@pytest.mark.parametrize("kind", ["fifo", "huge", "binary", "empty", "nul"])
def test_what_is_no_value(files: SecretFiles, tmp_path: Path, kind: str) -> None:
    """An invalid value is a fault of that secret alone, is never quoted, and is never waited
    for."""
    path = tmp_path / "shop.KEY"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        contents = {"huge": b"x" * 65537, "binary": b"\xff\xfe", "empty": b"\n", "nul": b"a\0b"}
        path.write_bytes(contents[kind])
    (tmp_path / "shop.OTHER").write_text("well")
    found = files.read(str(tmp_path))["shop"]
    assert found["OTHER"].value == "well"
    assert found["KEY"].value == ""
    assert str(path) in found["KEY"].fault
    assert found["KEY"].is_lasting


@needs_root
def test_root_writes_for_the_runtimes_user(files: SecretFiles, state: Path) -> None:
    """A secret set as root for a runtime of another user belongs to that user."""
    os.chown(state, 65534, 65534)
    files.set("shop", "KEY", "one")
    for path in ("secrets", "secrets/shop", "secrets/shop/KEY"):
        assert ((state / path).stat().st_uid, (state / path).stat().st_gid) == (65534, 65534)


def test_words() -> None:
    """A missing secret is named with the command to set it."""
    assert not_set("shop", {"KEY": ""}) == (
        "the secret KEY is not set; set it with: buntime secrets set shop KEY"
    )
    assert not_set("@acme/shop", {"A": "", "B": "/x: empty"}) == (
        "the secrets A, B are not set; set each with: buntime secrets set @acme/shop A; "
        "B: /x: empty"
    )


def test_time() -> None:
    """The time at which a secret was set has the form of all times in the API."""
    told = secret_json("KEY", Stored("value", 1_767_225_600.0, "state"))
    assert told == {"name": "KEY", "origin": "state", "setAt": "2026-01-01T00:00:00Z"}


def test_the_page() -> None:
    """docs/secrets.md shows what an app that lacks a secret is told."""
    page = (Path(__file__).parents[3] / "docs/secrets.md").read_text("utf-8")
    assert f"buntime.yaml: secrets: {not_set('shop', {'STRIPE_KEY': ''})}\n" in page
