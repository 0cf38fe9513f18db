"""Flask, FastAPI and Celery, as their own pages show them."""

from __future__ import annotations

import re

import pytest
from websockets.sync.client import connect

from tests.apps.conftest import Site
from tests.support.harness import wait_until


@pytest.mark.app("flask")
def test_flask(site: Site) -> None:
    """Its session is in a cookie below the base, and its style sheet is found."""
    assert "stranger" in site.get("/").text
    assert "Ada" in site.http.post(site.url + "/sign-in", data={"name": "Ada"}).text
    assert "Ada" in site.get("/").text
    assert {cookie.path for cookie in site.http.cookies.jar} == {site.base}
    style = re.search(r'href="([^"]+)"', site.get("/").text)
    assert style is not None
    assert style[1] == f"{site.base}/static/style.css"
    assert site.get("/static/style.css").headers["content-type"].startswith("text/css")


@pytest.mark.app("fastapi")
def test_fastapi(site: Site) -> None:
    """Its lifespan has begun; links and documentation pages stay below the base."""
    assert site.get("/").json() == {"here": site.url + "/items/tea"}
    assert site.get("/items/tea").json() == {"tea": 3}
    assert f"{site.base}/openapi.json" in site.get("/docs").text
    assert site.get("/openapi.json").json()["servers"] == [{"url": site.base}]
    with connect(site.socket("/echo")) as socket:
        socket.send("hello")
        assert socket.recv(timeout=10) == "hello"


@pytest.mark.app("celery")
def test_celery(site: Site) -> None:
    """The worker beside the app does a task that the app has put into the queue."""
    assert site.http.post(site.url + "/shout/tea").status_code == 202
    wait_until(lambda: site.get("/shout/tea").text == "TEA", what="the task")
