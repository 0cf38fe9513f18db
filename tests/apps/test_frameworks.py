"""Frameworks with their own ideas of an app's base: the same app written with each of them."""

from __future__ import annotations

import pytest
from websockets.sync.client import connect

from tests.apps.conftest import Site


def drive_shop(site: Site, *, here: str | None = None) -> None:
    """The same four routes, written with each framework: JSON in and out, a link, a WebSocket."""
    assert site.get("/").json() == {"here": here or f"{site.base}/items/7"}
    assert site.get("/items/7").json() == {"item": 7}
    assert site.get("/items/7/none").status_code == 404
    answer = site.http.post(site.url + "/items", json={"number": 8})
    assert answer.json() == {"number": 8}
    assert answer.is_success
    with connect(site.socket("/echo")) as socket:
        socket.send("hello")
        assert socket.recv(timeout=10) == "hello"


@pytest.mark.app("litestar")
def test_litestar(site: Site) -> None:
    """Its links are absolute, with the host as the client sees it."""
    drive_shop(site, here=site.url + "/items/7")


@pytest.mark.app("quart")
def test_quart(site: Site) -> None:
    drive_shop(site)


@pytest.mark.app("falcon")
def test_falcon(site: Site) -> None:
    drive_shop(site)


@pytest.mark.app("sanic")
def test_sanic(site: Site) -> None:
    """Sanic knows no base: its links lack it, but its routes are found."""
    drive_shop(site, here="/items/7")
