"""Folders as a sandbox's plan sees them, and whether they have changed."""

import os
from pathlib import Path

from buntime.server.sandbox.listing import Listing, existing


def listing(crowded: list[tuple[str, int]] | None = None) -> Listing:
    def warn(folder: str, count: int) -> None:
        assert crowded is not None
        crowded.append((folder, count))

    return Listing(warn)


def test_links_are_no_entries(tmp_path: Path) -> None:
    """A link is listed with its target, but is nothing that could be allowed."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    seen = listing()
    assert seen.entries(str(tmp_path)) == (str(tmp_path / "plain"),)
    assert sorted(seen.names(str(tmp_path))) == ["link", "plain"]
    assert seen.targets(str(tmp_path)) == (os.path.realpath(tmp_path / "plain"),)


def test_changes_are_seen(tmp_path: Path) -> None:
    """What appears in a listed folder is a change; what appears elsewhere is not."""
    (tmp_path / "a").mkdir()
    seen = listing()
    seen.entries(str(tmp_path))
    assert not seen.has_changed()
    (tmp_path / "a/file").touch()
    assert not seen.has_changed()
    (tmp_path / "b").mkdir()
    assert seen.has_changed()


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    """A missing folder has no entries; its appearance is a change."""
    seen = listing()
    assert seen.entries(str(tmp_path / "later")) == ()
    (tmp_path / "later").mkdir()
    assert seen.has_changed()


def test_crowded(tmp_path: Path) -> None:
    """Of a folder with thousands of entries, only those on the way to what is closed are listed,
    and this is reported."""
    for number in range(2001):
        os.mknod(tmp_path / str(number))
    told: list[tuple[str, int]] = []
    way = str(tmp_path / "7")
    assert listing(told).entries(str(tmp_path), {way}) == (way,)
    assert told == [(str(tmp_path), 2001)]


def test_folders_of_everybody(tmp_path: Path) -> None:
    """Of a folder that all users can write to, only entries on the way to what is closed are
    listed, and no links; other entries that come and go are no change."""
    tmp_path.chmod(0o1777)
    for name in ("other", "way"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("way")
    seen = listing()
    ways = {str(tmp_path / name) for name in ("way", "link", "later")}
    assert seen.entries(str(tmp_path), ways) == (str(tmp_path / "later"), str(tmp_path / "way"))
    assert not seen.has_changed()
    (tmp_path / "more").mkdir()
    assert not seen.has_changed()
    assert seen.names(str(tmp_path)) == ("more", "other", "way", "link")


def test_existing(tmp_path: Path) -> None:
    """Existing paths, with links resolved, each once."""
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").touch()
    paths = [str(tmp_path / name) for name in ("link", "file", "gone")]
    assert existing(paths) == (os.path.realpath(tmp_path / "file"),)
