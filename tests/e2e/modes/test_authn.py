"""authn in each form of Buntime: from an invitation on the command line to apps that know who asks.

Its packages are installed once, as any user would install them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import PACKAGES, Runtime, running, wait_until, write_app
from tests.support.oidcprovider import CLIENT, SECRET, Provider, oidc_provider
from tests.support.runs import run

AUTH = "/.well-known/buntime/auth"
PASSWORD = "correct horse battery"
APP = """
from buntime import Response
def fetch(request):
    return Response.json({"who": request.headers.get("x-identity"),
                          "cookies": sorted(request.cookies)})
"""
CONFIG = """
plugins:
  authn:
    enabled: true
    options:
      providers:
        corp: {{issuer: "{url}", clientId: {client}, rolesClaim: roles, userClaim: sub}}
      clientSecrets: "{secret}"
access:
  - {{who: "role:admin", apps: [member], paths: ["/admin/**"], do: allow}}
  - {{who: anyone, apps: [member], paths: ["/admin/**"], do: deny}}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Path:
    folder = tmp_path_factory.mktemp("authn")
    for name, auth in (("member", "required"), ("guest", "optional"), ("open", "none")):
        write_app(folder / "apps" / name, {"app.py": APP}, ttl=600, auth=auth)
    text = CONFIG.format(url=provider.url, client=CLIENT, secret=SECRET)
    (folder / "config.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    env = {
        "RUNTIME_CONFIG": str(folder / "config.yaml"),
        "RUNTIME_STATE_DIR": str(folder / "state"),
        "RUNTIME_ENV": "development",
        **PACKAGES,
    }
    with running(folder / "apps", env=env) as started:
        status = lambda: httpx.get(f"{started.url}{AUTH}/me", verify=False).status_code  # noqa: E731
        wait_until(lambda: status() == 401, 60, "authn, whose packages are installed")
        yield started


def buntime(folder: Path, *words: str) -> Any:
    """What a command prints as JSON; it asks over the control socket."""
    done = run(*words, "--json", "--state-dir", folder / "state", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def signed_in(runtime: Runtime, name: str = "ann", to: str = "/member/") -> Iterator[httpx.Client]:
    with httpx.Client(base_url=runtime.url, follow_redirects=True, verify=False) as client:
        client.get(to, headers={"Sec-Fetch-Dest": "document"})
        answer = client.post(f"{AUTH}/password", data={"name": name, "password": PASSWORD})
        assert str(answer.url) == f"{runtime.url}{to}", answer.text
        yield client


def invited(runtime: Runtime, folder: Path, name: str, *words: str) -> None:
    link = buntime(folder, "users", "invite", name, *words)["link"]
    token = link.partition("token=")[2]
    form = {"token": token, "password": PASSWORD, "again": PASSWORD}
    assert httpx.post(f"{runtime.url}{AUTH}/invitation", data=form, verify=False).status_code == 200


def test_from_an_invitation_to_an_app(runtime: Runtime, folder: Path) -> None:
    """Rules see the roles; a change of them takes effect at once, and so does a forced sign-out."""
    invited(runtime, folder, "ann", "--role", "editor", "--email", "ann@example.com")
    with signed_in(runtime, to="/member/?a=1") as client:
        told = client.get("/member/").json()
        who = json.loads(told["who"])
        assert (who["user"], who["roles"], who["email"]) == ("ann", ["editor"], "ann@example.com")
        assert told["cookies"] == [], "the session is nobody else's to see"
        assert json.loads(client.get("/guest/").json()["who"])["user"] == "ann"
        assert client.get("/open/").json() == {"who": None, "cookies": []}
        assert client.get("/member/admin/").status_code == 403
        buntime(folder, "users", "set", "ann", "--role", "admin,editor")
        wait_until(lambda: client.get("/member/admin/").status_code == 200, 5, "the new role")
        shown = buntime(folder, "users", "show", "ann")
        assert [each["provider"] for each in shown["sessions"]] == ["password"]
        buntime(folder, "users", "sign-out", "ann")
        wait_until(lambda: client.get("/member/").status_code == 401, 5, "the end")
    with signed_in(runtime) as client:
        buntime(folder, "users", "set", "ann", "--disable")
        wait_until(lambda: client.get("/member/").status_code == 401, 5, "the end")
    buntime(folder, "users", "set", "ann", "--enable")
    wrong = {"name": "ann", "password": "a wrong one"}
    with httpx.Client(base_url=runtime.url, follow_redirects=True, verify=False) as client:
        client.get("/member/", headers={"Sec-Fetch-Dest": "document"})
        assert client.post(f"{AUTH}/password", data=wrong).status_code == 401


def test_by_a_provider(runtime: Runtime, provider: Provider) -> None:
    """The provider's roles count, and signing out leads to the provider."""
    provider.claims = {"roles": ["admin"], "name": "Zoë"}
    with httpx.Client(base_url=runtime.url, verify=False) as client:
        led = client.get("/member/admin/", headers={"Sec-Fetch-Dest": "document"})
        assert led.status_code == 303
        assert client.get(led.headers["location"]).status_code == 200
        url = client.get(f"{AUTH}/with/corp").headers["location"]
        back = client.get(provider.authorize(url), follow_redirects=True)
        assert str(back.url) == f"{runtime.url}/member/admin/"
        who = json.loads(back.json()["who"])
        assert (who["user"], who["name"], who["provider"]) == ("7", "Zoë", "corp")
        left = client.post(f"{AUTH}/sign-out")
        assert left.headers["location"].startswith(f"{provider.url}/end?")
        wait_until(lambda: client.get("/member/").status_code == 401, 5, "the end")


def test_what_operators_did_is_noted(runtime: Runtime, folder: Path) -> None:
    invited(runtime, folder, "bob")
    buntime(folder, "users", "remove", "bob")
    rows = buntime(folder, "audit")["entries"]
    ends = [row for row in rows if row["action"].startswith("users") and row["result"] == "done"]
    found = [(row["action"], row["subject"]) for row in ends]
    assert found[:2] == [("users.remove", "bob"), ("users.add", "a new user")]
    assert [user["name"] for user in buntime(folder, "users", "list")["users"]] in (["ann"], [])


def test_it_lasts(runtime: Runtime, folder: Path) -> None:
    """A session outlives the plugin's process."""
    invited(runtime, folder, "cid")
    with signed_in(runtime, "cid") as client:
        buntime(folder, "plugins", "reload", "authn")
        wait_until(lambda: client.get("/member/").status_code == 200, 20, "the new process")
        assert json.loads(client.get("/member/").json()["who"])["user"] == "cid"
