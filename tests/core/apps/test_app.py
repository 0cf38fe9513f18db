"""Facts about an app: its key, its kind, and what follows from its manifest."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from buntime.core.apps.app import DEFAULT_ENTRYPOINTS, App, Fault, is_servable
from buntime.core.apps.manifest import Manifest, default_manifest

PLAIN = default_manifest(1024)


def make_app(
    entrypoint: str = "app.py", version: str | None = None, manifest: Manifest = PLAIN
) -> App:
    return App("shop", version, Path("/apps/shop"), entrypoint, manifest, Path("apps/shop"))


@pytest.mark.parametrize(
    ("version", "key"), [(None, "shop"), ("1.2.0", "shop@1.2.0"), ("latest", "shop@latest")]
)
def test_key(version: str | None, key: str) -> None:
    """An app's key is its name and, if its folder has one, its version."""
    assert make_app(version=version).key == key
    assert Fault("shop", version, Path("apps/shop"), "broken").key == key


@pytest.mark.parametrize("entrypoint", ["index.html", "dist/index.htm", "INDEX.HTML"])
def test_html_is_static(entrypoint: str) -> None:
    """An HTML entrypoint makes a static site, which gets a base."""
    assert make_app(entrypoint).is_static
    assert make_app(entrypoint).injects_base


@pytest.mark.parametrize("entrypoint", ["index.py", "src/app.py", "html.py"])
def test_python_is_not_static(entrypoint: str) -> None:
    """A Python entrypoint is run by workers, and its HTML is left alone."""
    assert not make_app(entrypoint).is_static
    assert not make_app(entrypoint).injects_base


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("entrypoint", ["index.html", "index.py"])
def test_the_manifest_decides_about_the_base(entrypoint: str, chosen: bool) -> None:
    """`injectBase` in the manifest wins over the kind of the entrypoint."""
    manifest = replace(PLAIN, inject_base=chosen)
    assert make_app(entrypoint, manifest=manifest).injects_base is chosen


def test_the_base_while_it_loads() -> None:
    """While an app loads, its base is its name's; a plugin has its own, and an app with hosts
    has none."""
    assert make_app(version="1.2.0").usual_base == "/shop"
    assert make_app(manifest=replace(PLAIN, hosts=("shop.example",))).usual_base == ""
    assert replace(make_app(), base="/audit").usual_base == "/audit"


def test_public_routes_come_from_the_manifest() -> None:
    """The manifest's routes are compiled with the app."""
    routes = make_app(manifest=replace(PLAIN, public_routes=(("GET", "/login"),))).public_routes
    assert routes.cover("GET", "/login")
    assert not routes.cover("POST", "/login")


def test_identity() -> None:
    """Two apps made from the same folder differ even if nothing changed: apps compare by
    identity."""
    assert make_app() != make_app()
    assert len({make_app(), make_app()}) == 2


def test_frozen() -> None:
    """Code that holds an app cannot change it for others."""
    with pytest.raises(FrozenInstanceError):
        make_app().key = "x"  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize("name", [*DEFAULT_ENTRYPOINTS, "a.htm", "deep/er.PY"])
def test_servable(name: str) -> None:
    """Python and HTML files can be entrypoints, including all the default ones."""
    assert is_servable(name)


@pytest.mark.parametrize("name", ["app", "app.pyc", "app.js", ".py", "a.py/b", "index.html.gz"])
def test_not_servable(name: str) -> None:
    """Nothing else can be an entrypoint."""
    assert not is_servable(name)
