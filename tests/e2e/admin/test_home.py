"""`/` in a browser of this machine: the panel, or without it a page about the apps."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.harness import Runtime, running, write_app

BROWSER = {"accept": "text/html,*/*"}
FETCH = "from buntime import Response\ndef fetch(request):\n    return Response('hi')\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_app(folder / "apps/shop@1.0.0", {"app.py": FETCH})
    write_app(folder / "apps/broken", {"app.py": "fetch = 1", "buntime.yaml": "tll: <b>"})
    write_app(folder / "apps/late", {"app.py": "import nothing_of_this_name"})
    write_app(folder / "apps/site", {"index.html": "<p>hello"})
    (folder / "buntime.config.yaml").write_text("plugins:\n  cpanel: {enabled: false}\n")
    return folder


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    env = {"RUNTIME_ENV": "development", "RUNTIME_CONFIG": str(folder / "buntime.config.yaml")}
    with running(folder / "apps", env=env) as runtime:
        yield runtime


def test_the_page(runtime: Runtime) -> None:
    """It lists apps with their state and their faults, before and after their first request."""
    httpx.get(f"{runtime.url}/shop/", verify=False)
    httpx.get(f"{runtime.url}/late/", verify=False)
    answer = httpx.get(f"{runtime.url}/", headers=BROWSER, verify=False)
    assert answer.status_code == 200
    assert "script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '<a href="/shop/">shop</a><td>1.0.0<td>' in answer.text
    assert '<a href="/site/">site</a><td><td>static<' in answer.text
    assert "unknown key" in answer.text
    assert "nothing_of_this_name" in answer.text
    assert "<b>" not in answer.text
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**BROWSER, "x-forwarded-for": "203.0.113.7"},
        {**BROWSER, "host": "evil.example"},
    ],
)
def test_for_whom_it_is_not(runtime: Runtime, fields: dict[str, str]) -> None:
    """Programs, proxied requests and other host names get the 404 as usual."""
    answer = httpx.get(f"{runtime.url}/", headers=fields, verify=False)
    assert (answer.status_code, "shop" in answer.text) == (404, False)


def test_in_production(folder: Path) -> None:
    """In production there is no such page."""
    env = {"RUNTIME_CONFIG": str(folder / "buntime.config.yaml")}
    with running(folder / "apps", env={**env, "RUNTIME_ENV": "production"}) as runtime:
        assert httpx.get(f"{runtime.url}/", headers=BROWSER, verify=False).status_code == 404


def test_the_default_app(folder: Path) -> None:
    """With an app at `/`, that app answers."""
    env = {"RUNTIME_CONFIG": str(folder / "buntime.config.yaml"), "RUNTIME_DEFAULT_APP": "shop"}
    with running(folder / "apps", env={**env, "RUNTIME_ENV": "development"}) as runtime:
        assert httpx.get(f"{runtime.url}/", headers=BROWSER, verify=False).text == "hi"


def test_with_the_panel(folder: Path) -> None:
    """With the panel a browser is redirected there."""
    with running(folder / "apps", env={"RUNTIME_ENV": "development"}) as runtime:
        answer = httpx.get(f"{runtime.url}/", headers=BROWSER, verify=False)
        assert (answer.status_code, answer.headers["location"]) == (302, "/cpanel/")
