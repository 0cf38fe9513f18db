"""The files that a manifest publishes, answered in the same way by the runtime and
`buntime.testing`."""

from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import parse_manifest
from buntime.core.errors import ClientFault
from buntime.server.sites.ofapp import mounts_of, site_of
from buntime.server.sites.site import StaticSite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "public").mkdir()
    (tmp_path / "index.html").write_text("<html><head></head>")
    (tmp_path / "tool.py").write_text("x")
    (tmp_path / "public/app.css").write_text("a {}")
    return tmp_path


def app_of(folder: Path, entrypoint: str, text: str = "") -> App:
    manifest, warnings = parse_manifest(
        text.encode(), path="buntime.yaml", body_default=1000, body_max=1000
    )
    assert not warnings
    return App("shop", None, folder.resolve(), entrypoint, manifest, folder)


def ask(site: StaticSite | None, path: str) -> tuple[int, dict[str, str]]:
    """Status and fields of an answer."""
    assert site is not None
    with_body = site.answer("GET", path, [], "/shop", 0.0)
    with_body.close()
    return with_body.status, dict(with_body.headers)


def test_a_site(folder: Path) -> None:
    """An app that is only files is one site, and publishes no folders besides."""
    app = app_of(folder, "index.html", "headers: {'/**': {X-From: site}}\n")
    status, fields = ask(site_of(app, recheck_s=0), "/public/app.css")
    assert (status, fields["x-from"]) == (200, "site")
    assert mounts_of(app, recheck_s=0) == {}


def test_folders_of_an_app_with_code(folder: Path) -> None:
    """Only the named folder is published, at its path; rules for files use whole paths."""
    text = "static: {/assets: public}\nheaders: {'/assets/*': {X-From: mount}}\n"
    app = app_of(folder, "tool.py", text)
    assert site_of(app, recheck_s=0) is None
    mounts = mounts_of(app, recheck_s=0)
    assert [*mounts] == ["/assets"]
    status, fields = ask(mounts["/assets"], "/app.css")
    assert (status, fields["x-from"]) == (200, "mount")
    with pytest.raises(ClientFault):
        ask(mounts["/assets"], "/tool.py")


@pytest.mark.parametrize(("entrypoint", "path"), [("index.html", "/"), ("tool.py", "/app.css")])
def test_files_for_some_people(folder: Path, entrypoint: str, path: str) -> None:
    """Files that are not for everybody are kept out of shared caches."""
    for visibility in ("public", "protected"):
        text = f"visibility: {visibility}\n"
        if entrypoint == "tool.py":
            text += "static: {/assets: public}\n"
        app = app_of(folder, entrypoint, text)
        site = site_of(app, recheck_s=0) or mounts_of(app, recheck_s=0)["/assets"]
        cache = ask(site, path)[1]["cache-control"]
        assert ("private" in cache) == (visibility == "protected"), cache
