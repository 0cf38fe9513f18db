"""What `check` counts in a site's folder is what is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.errors import ClientFault
from buntime.server.bundle.cachefolder import remove
from buntime.server.sites.published import list_published
from buntime.server.sites.site import StaticSite
from tests.support.disks import little_recursion, nest

FILES = (
    "index.html app.js docs/a.html .env .git/config .well-known/x.txt __pycache__/a.pyc "
    "lib/tool.py data/users.sqlite server.key notes.md backup.sql~ buntime.yaml vendor/.hidden/x.js"
).split()


def site_of(folder: Path, entrypoint: str | None = None) -> App:
    manifest = replace(default_manifest(1000), entrypoint=entrypoint)
    return App("site", None, folder.resolve(), entrypoint or "index.html", manifest, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "env.txt").symlink_to(".env")
    (tmp_path / "out.txt").symlink_to("/etc/hosts")
    (tmp_path / "dead.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    return tmp_path


@pytest.mark.parametrize("entrypoint", [None, "index.html"])
def test_as_served(folder: Path, entrypoint: str | None) -> None:
    """The files that are counted are those that are served."""
    app = site_of(folder, entrypoint)
    code = entrypoint is not None
    site = StaticSite(str(folder), "index.html", code=code)
    served = 0
    for path in (path for path in folder.rglob("*") if path.is_file()):
        try:
            site.answer("GET", f"/{path.relative_to(folder)}", [], "/site", 0.0).close()
        except ClientFault:
            continue
        served += 1
    found = list_published(app)
    assert found.files == served
    expected = ["backup.sql~", "data/users.sqlite", "server.key"]
    assert list(found.doubtful) == sorted(expected + ["lib/tool.py"] * code)


def test_a_built_site(folder: Path) -> None:
    """If the entrypoint is in a subfolder, that folder counts."""
    assert list_published(site_of(folder, "docs/a.html")) == (1, ())


def test_folders_that_are_nested_deeply(tmp_path: Path) -> None:
    """Everything in nested folders counts."""
    (tmp_path / "index.html").write_text("x")
    nest(tmp_path, 300)
    try:
        with little_recursion(200):
            assert list_published(site_of(tmp_path)).files == 300 + 1
    finally:
        remove(str(tmp_path / "d"))
