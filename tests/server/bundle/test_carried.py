"""The plugins included in Buntime, and folders in an archive that cannot be unpacked in place."""

from __future__ import annotations

import zipfile
from pathlib import Path

from buntime.server.bundle.archive import copy_out
from buntime.server.bundle.carried import _plugins_of, carried_plugins
from tests.support.harness import ROOT

FILES = {
    "__main__.py": "",
    "content/plugins/kv/buntime.yaml": "name: kv",
    "content/plugins/kv/page/index.html": "page",
    "content/plugins-of-others/x": "",
    "content/buntime/__init__.py": "",
}


def make_archive(folder: Path) -> Path:
    path = folder / "buntime.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return path


def test_they_lie_beside_the_package() -> None:
    """In a checkout it is the folder `plugins` beside `buntime`."""
    assert carried_plugins() == ROOT / "plugins"


def test_in_an_archive(tmp_path: Path) -> None:
    """From an archive they are copied, once, to a folder that nobody else can write to."""
    package = make_archive(tmp_path) / "content/buntime"
    folder = _plugins_of(package)
    assert _plugins_of(package) == folder
    assert (folder / "kv/buntime.yaml").read_text() == "name: kv"
    assert (folder / "kv/page/index.html").read_text() == "page"
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["kv"]


def test_nothing_to_copy(tmp_path: Path) -> None:
    """A folder that is not in the archive is not created."""
    archive = make_archive(tmp_path)
    assert copy_out(archive / "content/apps", tmp_path / "copy") is False
    assert copy_out(tmp_path / "nowhere/apps", tmp_path / "copy") is False
    assert not (tmp_path / "copy").exists()
