"""Access rules and `auth`, in front of real apps, with a plugin that knows users by a cookie."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support import client
from tests.support.client import Answer
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.pluginfolders import write_plugin
from tests.support.runs import run
from tests.test_docs import examples

APP = """
from buntime import Response

def fetch(request):
    return Response.json({"path": request.path, "who": request.headers.get("x-identity")})
"""
# Knows the user by a cookie, dies when told to, and answers where people sign in.
PLUGIN = """
import os
from buntime.plugin import Continue, Response

def on_request(request):
    user = request.cookies.get("me")
    if user == "crash":
        os._exit(1)
    if user:
        return Continue(identity={"user": user, "roles": ["admin"] if user == "ann" else []})

def fetch(request):
    return Response.json({"path": request.path, "base": request.base, "query": request.url})
"""
ECHO = """
hello = fetch
def fetch(request):
    if request.path == "/echo":
        return Response.json(dict(request.headers.items()))
    return hello(request)
"""
CONFIG = """
access:
  - {who: "role:admin", apps: [ruled], paths: ["/admin/**"], do: allow}
  - {who: anyone, apps: [ruled], paths: ["/admin/**"], do: deny}
  - {who: "net:127.0.0.0/8", apps: [locked], paths: ["/local/**"], do: allow}
  - {who: "net:192.0.2.0/24", apps: [ruled], do: deny}
"""
KEY = "the key of an operator, which is long"
PAGE = (Path(__file__).parents[3] / "docs/access.md").read_text("utf-8")
DOCUMENT = {"Sec-Fetch-Dest": "document"}
SIGN_IN = "/.well-known/buntime/auth/sign-in?to="


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    apps, plugins = folder / "apps", folder / "plugins"
    files = {"app.py": APP}
    write_app(apps / "open", files, ttl=600)
    write_app(apps / "member", files, ttl=600, auth="required", publicRoutes=["/public/**"])
    write_app(apps / "guest", files, ttl=600, auth="optional")
    write_app(apps / "ruled", files, ttl=600)
    [signed] = examples(PAGE, "python")
    for name in ("signed", "other"):  # the second gets a key other than the first's
        write_app(
            apps / name, {"app.py": signed + ECHO}, ttl=600, auth="optional",
            secrets=["IDENTITY_KEY"],
        )  # fmt: skip
        (folder / "secrets" / name).mkdir(parents=True)
        (folder / "secrets" / name / "IDENTITY_KEY").write_text(f"the key of {name}, long enough")
    write_app(apps / "locked", files, ttl=600, visibility="protected")
    write_plugin(
        plugins, "people", PLUGIN, stage="identity", match={"auth": True}, signIn=True,
        cookies=["me"],
    )  # fmt: skip
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    env = {
        "RUNTIME_PLUGIN_DIRS": str(folder / "plugins"),
        "RUNTIME_STATE_DIR": str(folder / "state"),
        "RUNTIME_CONFIG": str(folder / "config.yaml"),
        "RUNTIME_SECRETS_DIR": str(folder / "secrets"),
        "RUNTIME_ENV": "production",
        "RUNTIME_TRUSTED_PROXIES": "127.0.0.1",
        "RUNTIME_MASTER_KEY": KEY,
    }
    with running(folder / "apps", env=env) as started:
        wait_until(lambda: get(started, "/member/", user="ann").status == 200, 20, "the plugin")
        yield started


def get(runtime: Runtime, target: str, user: str = "", **fields: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if user:
        headers["Cookie"] = f"me={user}"
    return client.fetch(runtime, target, headers=headers)


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


def test_an_app_that_wants_people_signed_in(runtime: Runtime) -> None:
    """The app learns who has signed in; others are sent to sign in, or get an error."""
    assert json.loads(get(runtime, "/member/x", user="bob").json()["who"])["user"] == "bob"
    assert code_of(get(runtime, "/member/x")) == (401, "sign_in_needed")
    led = get(runtime, "/member/x?a=1", **DOCUMENT)
    assert (led.status, led.headers["location"]) == (303, f"{SIGN_IN}/member/x%3Fa%3D1")
    assert led.headers["cache-control"] == "no-store"
    framed = get(runtime, "/member/x", Sec_Fetch_Dest="iframe")
    assert framed.status == 401
    assert b'target="_blank"' in framed.body
    behind = get(
        runtime, "/member/x", X_Forwarded_Prefix="/t", X_Forwarded_For="1.2.3.4", **DOCUMENT
    )
    assert behind.headers["location"] == f"/t{SIGN_IN}/t/member/x"


def test_public_routes_stay_open(runtime: Runtime) -> None:
    assert get(runtime, "/member/public/x").json()["who"] is None
    assert "bob" in get(runtime, "/member/public/x", user="bob").json()["who"]
    assert code_of(get(runtime, "/member/public/../x")) == (401, "sign_in_needed")


def test_an_app_that_is_told_if_somebody_has(runtime: Runtime) -> None:
    assert get(runtime, "/guest/").json()["who"] is None
    assert "bob" in get(runtime, "/guest/", user="bob").json()["who"]


def test_an_app_for_which_it_does_not_matter_is_not_looked_at(runtime: Runtime) -> None:
    """`match: {auth: true}`: the plugin is not asked, and so cannot be crashed from there."""
    assert get(runtime, "/open/", user="crash").json()["who"] is None


@pytest.mark.parametrize(
    ("target", "user", "status"),
    [
        ("/ruled/admin/x", "ann", 200),
        ("/ruled/admin/x", "bob", 403),
        ("/ruled/admin/x", "", 401),
        ("/ruled/admin", "bob", 403),
        ("/ruled/x", "", 200),
        ("/ruled/x", "bob", 200),
        ("/ruled/x/../admin/y", "bob", 403),
        ("/ruled/x%2f..%2fadmin", "bob", 403),
        ("/ruled/%61dmin/x", "bob", 403),
        ("/locked/local/x", "", 200),
        ("/locked/x", "", 401),
        ("/locked/local/../x", "", 401),
    ],
)
def test_rules(runtime: Runtime, target: str, user: str, status: int) -> None:
    answer = get(runtime, target, user=user)
    assert answer.status == status, answer.body
    if status == 403:
        assert answer.json()["error"]["message"] == "access is denied"


def test_a_rule_by_address_goes_by_what_a_trusted_proxy_says(runtime: Runtime) -> None:
    assert get(runtime, "/ruled/x", X_Forwarded_For="192.0.2.9").status == 403
    assert get(runtime, "/ruled/x", X_Forwarded_For="198.51.100.9").status == 200


def test_what_is_told_of_who_asks_is_signed(runtime: Runtime) -> None:
    """Apps with a key can check the identity: one for another app, or changed, is ignored."""
    assert get(runtime, "/signed/x?a=%20", user="ann").body == b"hello ann"
    assert get(runtime, "/signed/x").body == b"hello stranger"
    told = get(runtime, "/other/echo", user="ann").json()
    assert told["x-identity-signature"].startswith("t=")
    again = {name: told[name] for name in ("x-identity-signature", "x-identity", "x-request-id")}
    assert (
        client.fetch(runtime, "/signed/echo", headers=again)
        .json()
        .keys()
        .isdisjoint({"x-identity-signature", "x-identity"})
    ), "no client can send it"


def test_where_people_sign_in(runtime: Runtime) -> None:
    """The plugin answers there, at the hosts of apps too, and no hook is asked."""
    told = get(runtime, "/.well-known/buntime/auth/sign-in?to=/x").json()
    assert told["path"] == "/sign-in"
    assert told["base"] == "/.well-known/buntime/auth"
    assert told["query"].endswith("/.well-known/buntime/auth/sign-in?to=/x")
    assert get(runtime, "/.well-known/buntime/authx").status == 404


def test_a_plugin_that_is_away_closes_what_it_guards(runtime: Runtime) -> None:
    """Public routes and other apps are still served; it comes back by itself."""
    assert get(runtime, "/member/x", user="crash").status in (502, 503)
    deadline = time.monotonic() + 20
    while (answer := get(runtime, "/member/x", user="ann")).status != 200:
        assert code_of(answer) == (503, "plugin_unavailable")
        assert get(runtime, "/member/public/x").status == 200
        assert get(runtime, "/open/").status == 200
        assert time.monotonic() < deadline
        time.sleep(0.05)  # polls: it comes back after a second


def test_rules_that_are_read_again_hold_at_once(runtime: Runtime, folder: Path) -> None:
    """A file with a fault changes nothing."""
    config = folder / "config.yaml"
    config.write_text(CONFIG.replace("{who: anyone,", "{who: everybody,"))
    runtime.process.send_signal(1)
    runtime.wait_for_record("config.rejected")
    assert get(runtime, "/ruled/admin/x", user="bob").status == 403
    config.write_text(CONFIG + "  - {who: anyone, apps: [open], do: deny}\n")
    runtime.process.send_signal(1)
    wait_until(lambda: get(runtime, "/open/").status == 403, 20, "the new rule")
    config.write_text(CONFIG)
    runtime.process.send_signal(1)
    wait_until(lambda: get(runtime, "/open/").status == 200, 20, "the old rules")


def test_without_a_plugin_that_knows_people(tmp_path: Path) -> None:
    """`auth` closes the app then, with the reason; what is public stays open."""
    write_app(
        tmp_path / "apps" / "member", {"app.py": APP}, auth="required", publicRoutes=["/public/**"]
    )
    (tmp_path / "config.yaml").write_text('access: [{who: "user:x", paths: ["/x/**"], do: allow}]')
    env = {"RUNTIME_CONFIG": str(tmp_path / "config.yaml")}
    with running(tmp_path / "apps", env=env) as runtime:
        assert code_of(get(runtime, "/member/")) == (503, "sign_in_unavailable")
        assert get(runtime, "/member/public/x").status == 200


def test_why_somebody_is_let_in(runtime: Runtime, folder: Path) -> None:
    """The API explains access by the rules, for a user who is assumed to have signed in."""

    def explained(**query: str) -> tuple[bool, str]:
        told = client.fetch(
            runtime,
            "/api/access/explain?" + urlencode({"app": "ruled", "path": "/admin/x", **query}),
            headers={"X-API-Key": KEY},
        ).json()
        [rule] = [each["why"] for each in told["checks"] if each["check"] == "rule"]
        return told["isLetIn"], rule

    assert explained(user="ann", roles="admin,x") == (
        True,
        f"the rule at {folder / 'config.yaml'}:3 decides: allow role:admin at /admin/**",
    )
    assert explained(user="bob")[0] is False
    assert "to sign in" in explained()[1]
    for wrong in ("path=admin/x", "address=10.0.0", "address=here"):  # no rule would match
        path = f"/api/access/explain?app=ruled&{wrong}"
        refused = client.fetch(runtime, path, headers={"X-API-Key": KEY})
        assert (refused.status, refused.error["code"]) == (400, "bad_query")
    rules = client.fetch(runtime, "/api/access/rules", headers={"X-API-Key": KEY}).json()["rules"]
    assert [each["do"] for each in rules] == ["allow", "deny", "allow", "deny"]
    assert rules[0]["who"] == ["role:admin"]


def test_check_tells_of_an_app_for_which_nobody_can_sign_in(folder: Path) -> None:
    def check(*flags: str) -> str:
        return run("check", folder / "apps", *flags, cwd=folder).stdout

    note = "member: NOTE: auth: no plugin is enabled that signs people in"
    assert note in check("--plugin-dirs", str(folder / "nothing"))
    assert note not in check("--plugin-dirs", str(folder / "plugins"))
