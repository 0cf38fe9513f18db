"""Two apps on two hosts and one sign-in, at a real provider, in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.support.chromium import launched, needs_chromium
from tests.support.client import fetch
from tests.support.harness import PACKAGES, Runtime, running, wait_until, write_app
from tests.support.nodepackages import needs_npm, node_modules

SOURCE = Path(__file__).parent / "oidc"
APP = """
from buntime import Response
def fetch(request):
    who = request.headers.get("x-identity", "nobody")
    return Response.html(f"<!doctype html><title>NAME</title><pre>{who}</pre>")
"""
AUTH = "/.well-known/buntime/auth"

pytestmark = [needs_npm, needs_chromium]


class Provider:
    """A process of oidc-provider."""

    def __init__(self, folder: Path) -> None:
        script = shutil.copy(SOURCE / "server.mjs", folder)
        (folder / "node_modules").symlink_to(node_modules(SOURCE))  # beside it Node finds them
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(["node", script], stdin=pipe, stdout=pipe, text=True)
        self.url = str(json.loads(self._line())["url"])

    def know(self, origin: str) -> None:
        """Allows browsers to be sent back to this origin."""
        said = {
            "redirectUris": [f"{origin}{AUTH}/callback"],
            "postLogoutUris": [f"{origin}{AUTH}/signed-out"],
        }
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(said)}\n")
        self.process.stdin.flush()
        assert self._line() == "ready\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    provider = Provider(tmp_path_factory.mktemp("provider"))
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("signin")
    for name in ("shop", "wiki"):
        write_app(
            folder / "apps" / name, {"app.py": APP.replace("NAME", name)}, ttl=600,
            auth="required", hosts=[f"{name}.localhost"],
        )  # fmt: skip
    config = folder / "config.yaml"
    config.write_text("plugins: {}\n")
    env = {
        "RUNTIME_CONFIG": str(config),
        "RUNTIME_STATE_DIR": str(folder / "state"),
        **PACKAGES,
    }
    with running(folder / "apps", env=env) as started:
        origin = f"http://login.localhost:{started.port}"
        corp = {"issuer": provider.url, "clientId": "buntime", "rolesClaim": "realm.roles"}
        options = {
            "publicUrl": origin,
            "hosts": ["shop.localhost", "wiki.localhost"],
            "passwords": False,
            "providers": {"corp": corp},
            "clientSecrets": "a secret of the client",
        }
        text = json.dumps({"plugins": {"authn": {"enabled": True, "options": options}}})
        config.write_text(text)  # JSON is YAML
        provider.know(origin)
        started.process.send_signal(1)
        wait_until(
            lambda: fetch(started, f"{AUTH}/me").status == 401, 60, "authn, with its packages"
        )
        yield started


@pytest.fixture(scope="module")
def page(runtime: Runtime) -> Iterator[Page]:
    with launched() as browser:
        yield browser.new_page()


def url(runtime: Runtime, name: str, path: str = "/") -> str:
    return f"http://{name}.localhost:{runtime.port}{path}"


def sessions(page: Page) -> dict[str, str]:
    """The cookies by which each host knows who the user is."""
    cookies = page.context.cookies()
    return {each["domain"]: each["value"] for each in cookies if each["name"] == "bt-user"}


def who(page: Page) -> dict[str, object]:
    return dict(json.loads(page.inner_text("pre")))


def test_two_apps_and_one_sign_in(runtime: Runtime, provider: Provider, page: Page) -> None:
    """Neither the second app nor a reload asks again; signing out of one app signs out of both."""
    page.goto(url(runtime, "shop", "/cart?id=1"))
    assert page.url.startswith(provider.url), "nobody is asked by which way, as there is one"
    page.fill("input[name=login]", "boss")
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.click("button[type=submit]")  # consents that the apps learn who the user is
    page.wait_for_url(url(runtime, "shop", "/cart?id=1"))
    told = who(page)
    assert (told["user"], told["roles"]) == ("boss@example.com", ["admin"])
    before = sessions(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    assert (page.title(), page.url) == ("shop", url(runtime, "shop", "/cart?id=1"))
    assert who(page) == told
    assert asked == [page.url], "nobody is led anywhere"
    assert sessions(page) == before

    page.goto(url(runtime, "wiki", "/page"))
    assert (page.url, page.title()) == (url(runtime, "wiki", "/page"), "wiki")
    assert who(page) == told
    assert page.go_back() is not None
    assert (page.title(), who(page)) == ("shop", told)

    cookies = page.context.cookies()
    ours = [each for each in cookies if each["name"] == "bt-user"]
    assert {each["domain"] for each in ours} == {
        f"{n}.localhost" for n in ("login", "shop", "wiki")
    }
    assert all(each["httpOnly"] and each["sameSite"] == "Lax" for each in ours)
    assert page.evaluate("document.cookie") == ""

    page.goto(url(runtime, "wiki", f"{AUTH}/sign-out"))
    page.click("text=Sign out >> nth=-1")
    page.wait_for_url(f"{provider.url}/**")
    page.click("button[name=logout]")
    page.wait_for_url(url(runtime, "login", f"{AUTH}/signed-out*"))
    assert page.title() == "You are signed out"
    for name in ("shop", "wiki"):
        page.goto(url(runtime, name))
        assert page.url.startswith(provider.url), "signed out there too"
