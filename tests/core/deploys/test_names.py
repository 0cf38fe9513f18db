"""Names of releases."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.versions import is_version
from buntime.core.deploys.names import (
    Release,
    app_of_folder,
    check_names,
    check_unreserved,
    flat_link_target,
    folder_of_app,
    is_preview,
    leads_to,
    link_target,
    preview_version,
    split_folder,
)
from buntime.core.errors import ClientFault

DIGEST = "3f2a81c09d4e" + "0" * 52
NAMES = st.from_regex(
    r"(@[a-z0-9_~-][a-z0-9._~-]{0,7}/)?[a-z0-9_~-][a-z0-9._~-]{0,7}", fullmatch=True
)
VERSIONS = st.from_regex(r"[0-9]\.[0-9]\.[0-9](-[a-z]{1,4}\.[1-9])?(\+[a-z]{1,3})?", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(NAMES, VERSIONS, DIGESTS)
def test_links_lead_to_the_release(name: str, version: str, digest: str) -> None:
    """Both kinds of links point from their place to the release, and show which one it is."""
    release = Release(name, version, digest)
    linked = posixpath.normpath(f"/srv/{name}/{link_target(release)}")
    beside = posixpath.normpath(f"/srv/{posixpath.dirname(name)}/{flat_link_target(release)}")
    assert linked == beside == f"/srv/{release.path}"
    assert leads_to(link_target(release)) == leads_to(flat_link_target(release)) == release.folder
    assert split_folder(release.folder) == (version, digest[:12])
    assert app_of_folder(folder_of_app(name)) == name


@pytest.mark.parametrize(
    "target", ["1.2.0", "../1.2.0", "/srv/apps/shop-1.2.0", "../.releases/shop/notes", ""]
)
def test_other_links(target: str) -> None:
    """Links that people make by hand point to no release."""
    assert leads_to(target) is None


@pytest.mark.parametrize("version", ["latest", "1.2", "", "^1", "1.2.0/../x", "01.2.3"])
def test_versions_that_cannot_be_deployed(version: str) -> None:
    """A deployed version must be a full one, and never "latest"."""
    with pytest.raises(ClientFault) as told:
        check_names("shop", version)
    assert (told.value.status, told.value.code) == (400, "bad_version")


@pytest.mark.parametrize("name", [".releases", "a/b", "@a", "..", "", "x" * 300])
def test_names_that_cannot_be_deployed(name: str) -> None:
    """A name that no request can reach cannot be deployed."""
    with pytest.raises(ClientFault) as told:
        check_names(name, "1.0.0")
    assert (told.value.status, told.value.code) == (400, "bad_app_name")


@pytest.mark.parametrize("name", ["api", "health", "metrics"])
def test_paths_of_the_runtime(name: str) -> None:
    """An app that could not be reached is refused; a scope has a path of its own."""
    with pytest.raises(ClientFault, match=f"/{name} is the runtime's own path") as told:
        check_unreserved(name)
    assert (told.value.status, told.value.code) == (400, "bad_app_name")
    check_unreserved(f"@acme/{name}")


@given(st.from_regex(r"[0-9A-Za-z][0-9A-Za-z-]{0,39}", fullmatch=True))
def test_previews(name: str) -> None:
    """A preview gets a valid version or its name is refused: "007" is not a valid identifier."""
    if name.isdigit() and name != str(int(name)):
        with pytest.raises(ClientFault, match="is not the name of a preview"):
            preview_version(name)
    else:
        assert is_version(preview_version(name))
        assert is_preview(preview_version(name))


def test_no_preview() -> None:
    """Other versions are not previews."""
    assert not is_preview("0.0.0")
    assert not is_preview(None)
