"""Frameworks with their own ideas of an app's base, and apps built on them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from tests.apps.conftest import Site, run_client
from tests.support.harness import wait_until


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


@pytest.mark.app("fasthtml")
def test_fasthtml(site: Site, page: Page) -> None:
    """htmx sends its requests below the base, and the count goes up."""
    page.route("**://cdn.jsdelivr.net/**", lambda route: route.abort())
    page.goto(site.url + "/")
    before = int(page.locator("#count").inner_text())
    assert int(site.http.post(site.url + "/add").text) == before + 1
    page.click("text=About")
    expect(page).to_have_title("About")


@pytest.mark.app("strawberry")
def test_strawberry(site: Site) -> None:
    answer = site.http.post(site.url + "/", json={"query": '{ hello(name: "Ada") }'})
    assert answer.json() == {"data": {"hello": "Hello, Ada!"}}
    assert "GraphiQL" in site.get("/", headers={"Accept": "text/html"}).text


@pytest.mark.app("sqladmin")
def test_sqladmin(site: Site, page: Page) -> None:
    """A user created in the browser, with the page's style, appears in the list."""
    page.goto(site.url + "/admin/user/create")
    page.fill("input[name=name]", "Ada")
    page.click("input[name=save]")
    expect(page.locator("table")).to_contain_text("Ada")
    assert page.evaluate("getComputedStyle(document.querySelector('.navbar')).display") == "flex"


MCP_CLIENT = """
import asyncio, sys
from fastmcp import Client

async def main():
    async with Client(sys.argv[1]) as client:
        print((await client.call_tool("add", {"a": 2, "b": 3})).data)

asyncio.run(main())
"""


@pytest.mark.app("fastmcp")
def test_fastmcp(site: Site) -> None:
    """The package's own client opens a session and calls a tool."""
    assert run_client(MCP_CLIENT, site.url + "/mcp") == "5"


@pytest.mark.app("httpbin")
def test_httpbin(site: Site) -> None:
    assert site.get("/get?a=1").json()["args"] == {"a": "1"}
    assert site.get("/get").json()["url"] == site.url + "/get"
    assert site.get("/redirect/3").json()["url"] == site.url + "/get"
    assert site.get("/cookies/set?name=Ada").json() == {"cookies": {"name": "Ada"}}
    assert site.get("/gzip").json()["gzipped"] is True
    assert len(site.get("/stream/5").text.splitlines()) == 5
    assert site.http.put(site.url + "/put", content=b"x" * 100_000).json()["data"] == "x" * 100_000
