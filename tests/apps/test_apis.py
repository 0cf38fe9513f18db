"""APIs that are described by schemas, and apps that answer what they were asked."""

from __future__ import annotations

import pytest

from tests.apps.conftest import Site, run_client


@pytest.mark.app("strawberry")
def test_strawberry(site: Site) -> None:
    answer = site.http.post(site.url + "/", json={"query": '{ hello(name: "Ada") }'})
    assert answer.json() == {"data": {"hello": "Hello, Ada!"}}
    assert "GraphiQL" in site.get("/", headers={"Accept": "text/html"}).text


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
