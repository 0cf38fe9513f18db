"""Who reaches which app and which page of the runtime: by visibility, publicRoutes and key."""

from __future__ import annotations

import itertools
import json
import posixpath
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.support import client
from tests.support.client import Answer
from tests.support.harness import Runtime, running, write_app

KEY = "k3y of the operator"
APP = """
from buntime import Response

def fetch(request):
    return Response.json({"path": request.path, "url": request.url})
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"SECRET" if "secret" in environ["PATH_INFO"] else b"fine"]
"""
_numbers = itertools.count()
ROUTES = {"ALL": ["/public/**", "/"], "GET": ["/read/*"], "POST": ["/write"]}

# Targets below an app's base that name /secret, or something like it, if read in one way.
ATTACKS = [
    "/secret",
    "/secret/",
    "//secret",
    "/public/../secret",
    "/public/..%2fsecret",
    "/public/..%2Fsecret",
    "/public%2f..%2fsecret",
    "/public/%2e%2e/secret",
    "/public/%2E%2E/secret",
    "/public/.%2e/secret",
    "/public/%252e%252e/secret",
    "/public/..;/secret",
    "/public/..;x=1/secret",
    "/public;/../secret",
    "/public/x/../../secret",
    "/public/./../secret",
    "/public/..\\secret",
    "/public/%5c..%5csecret",
    "/public\\..\\secret",
    "/public//../secret",
    "/public/%00/../secret",
    "/public/%c0%ae%c0%ae/secret",
    "/public/%ff/../secret",
    "/./secret",
    "/x/../secret",
    "/%2e/secret",
    "/%73ecret",
    "/secret?/public/",
    "/secret?x=/public/x",
    "/secret%3f/public/",
    "/secret%23/public/",
    "/secret;/public/",
    "/../public/../secret",
    "/../locked/secret",
    "/PUBLIC/secret",
    "/publicsecret",
    "/read/a/secret",
    "/read/../secret",
    "/read/%2e%2e%2fsecret",
]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "open", {"app.py": APP}, ttl=60)
    write_app(apps / "locked", {"app.py": APP}, ttl=60, visibility="protected")
    write_app(apps / "routed", {"app.py": APP}, ttl=60, visibility="protected", publicRoutes=ROUTES)
    write_app(apps / "wsgi", {"app.py": WSGI}, ttl=60, visibility="protected", publicRoutes=ROUTES)
    write_app(apps / "versioned@1.2.0", {"app.py": APP}, ttl=60, visibility="protected")
    write_app(
        apps / "site",
        {"index.html": "index", "secret": "SECRET", "public/index.html": "page"},
        visibility="protected",
        publicRoutes=ROUTES,
    )
    write_app(apps / "locked-site", {"index.html": "SECRET"}, visibility="protected")
    write_app(apps / "hidden@1.0.0", {"app.py": APP}, ttl=60, visibility="internal")
    write_app(apps / "hidden-site", {"index.html": "x"}, visibility="internal")
    env = {"RUNTIME_MASTER_KEY": KEY, "RUNTIME_ENV": "production"}
    with running(apps, env=env) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime without a key, whose API has another path."""
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "open", {"app.py": APP}, ttl=60)
    write_app(apps / "locked", {"app.py": APP}, ttl=60, visibility="protected", publicRoutes=["/a"])
    env = {"RUNTIME_API_PREFIX": "/_", "RUNTIME_ENV": "development"}
    with running(apps, env=env) as runtime:
        yield runtime


def fetch(runtime: Runtime, path: str, **more: Any) -> Answer:
    """Asks from a new address each time, as wrong keys are counted by address."""
    number = next(_numbers)
    source = f"127.1.{number // 250}.{number % 250 + 1}" if sys.platform == "linux" else ""
    return client.fetch(runtime, path, source=source, **more)


def raw(runtime: Runtime, target: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body for a target that no client library would send unchanged."""
    head = f"{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = runtime.exchange(head.encode("latin-1"))
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


def check_locked(answer: Answer) -> None:
    assert (answer.status, answer.error["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.error["requestId"] == answer.headers["x-request-id"]


# ---- visibility


def test_public_app_is_open(runtime: Runtime) -> None:
    """A public app answers anyone, with the right key, a wrong key or none."""
    for headers in ({}, {"X-API-Key": KEY}, {"X-API-Key": "wrong"}):
        assert fetch(runtime, "/open/x", headers=headers).json()["path"] == "/x"


@pytest.mark.parametrize(
    "path", ["/locked/", "/locked", "/locked/x", "/versioned/", "/versioned@1/", "/locked-site/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_protected_app_is_locked(runtime: Runtime, path: str, method: str) -> None:
    """A protected app answers 401 to any request without the key, under each of its bases."""
    check_locked(fetch(runtime, path, method=method))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"x-api-key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"Authorization": "Basic eDp5", "X-API-Key": KEY},
    ],
)
@pytest.mark.parametrize("path", ["/locked/x", "/versioned@1.2.0/x", "/routed/x", "/locked-site/"])
def test_key_opens_a_protected_app(runtime: Runtime, path: str, headers: dict[str, str]) -> None:
    """The key opens a protected app, as X-API-Key or as Authorization: Bearer."""
    assert fetch(runtime, path, headers=headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY.upper()},
        {"X-API-Key": f"Bearer {KEY}"},
        {"X-API-Key-2": KEY},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Cookie": f"X-API-Key={KEY}"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"X-Original-URL": "/open/", "X-Rewrite-URL": "/open/"},
        {"X-HTTP-Method-Override": "OPTIONS"},
        {"X-Base": "/open"},
    ],
)
def test_what_opens_nothing(runtime: Runtime, headers: dict[str, str]) -> None:
    """No other key, no other place for the key, and no other header opens an app."""
    check_locked(fetch(runtime, "/locked/", headers=headers))
    check_locked(fetch(runtime, f"/locked/?x-api-key={KEY[:3]}", headers=headers))


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": KEY}])
@pytest.mark.parametrize("path", ["/hidden/", "/hidden@1.0.0/", "/hidden-site/", "/hidden"])
def test_internal_app_looks_like_none(runtime: Runtime, path: str, headers: dict[str, str]) -> None:
    """An internal app is 404 from outside, even with the key, in the same words as no app."""
    hidden = fetch(runtime, path, headers=headers)
    nobody = fetch(runtime, path.replace("hidden", "nobody"), headers=headers)
    assert hidden.status == nobody.status == 404
    told = json.dumps({**hidden.error, "requestId": ""}).replace("hidden", "nobody")
    assert json.loads(told) == {**nobody.error, "requestId": ""}
    assert hidden.headers.keys() == nobody.headers.keys()


# ---- publicRoutes


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "/"),
        ("POST", "/public/"),
        ("GET", "/public/a/b"),
        ("DELETE", "/public/a"),
        ("GET", "/public/a?x=/secret"),
        ("GET", "/read/a"),
        ("HEAD", "/read/a"),
        ("POST", "/write"),
        ("GET", "/p%75blic/a%20b"),
    ],
)
def test_public_route_needs_no_key(runtime: Runtime, method: str, rest: str) -> None:
    """What `publicRoutes` covers is open, for the methods it names."""
    assert fetch(runtime, f"/routed{rest}", method=method).status == 200


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("POST", "/read/a"),
        ("GET", "/write"),
        ("HEAD", "/write"),
        ("GET", "/read/"),
        ("GET", "/read/a/b"),
        ("GET", "/public"),
        ("ALL", "/read/a"),
    ],
)
def test_other_routes_need_the_key(runtime: Runtime, method: str, rest: str) -> None:
    """What `publicRoutes` does not cover is locked, also if only for another method."""
    answer = fetch(runtime, f"/routed{rest}", method=method)
    assert answer.status == 401


@pytest.mark.parametrize("rest", ATTACKS)
@pytest.mark.parametrize("app", ["routed", "wsgi", "site"])
def test_no_spelling_gets_behind_the_lock(runtime: Runtime, app: str, rest: str) -> None:
    """However a path is spelled, what is behind the lock is not served without the key."""
    status, body = raw(runtime, f"/{app}{rest}")
    assert b"SECRET" not in body
    if status == 200:
        seen = json.loads(body)["path"] if app == "routed" else unquote(rest.partition("?")[0])
        assert posixpath.normpath(seen).startswith("/public")
        assert "secret" not in posixpath.normpath(seen).split("/")
    else:
        assert status in (400, 401, 404)


@pytest.mark.parametrize(
    "target",
    [
        "//locked/",
        "/./locked/",
        "/open/../locked/",
        "/open/%2e%2e/locked/",
        "/open/..%2flocked/",
        "/%6cocked/",
        "/locked%2f",
        "/LOCKED/",
        "/locked;x/",
        "/locked@/",
        "/locked@latest/",
        "/locked@*/",
        "/locked@%5E1/",
        "/locked?/open/",
        "http://x/locked/",
        "http://x/open/../locked/",
        "/open/\\..\\locked/",
        "/@x/../locked/",
        "/api/../locked/",
        "/health/../locked/",
        "/.well-known/../locked/",
    ],
)
def test_no_spelling_of_its_name_unlocks_an_app(runtime: Runtime, target: str) -> None:
    """However an app is named, it stays locked, or the target is a path of another app."""
    status, body = raw(runtime, target)
    if status == 200:
        assert json.loads(body)["url"].partition("//x")[2].startswith("/open")
    else:
        assert status in (400, 401, 404)


# ---- without a key


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "None"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer null"},
    ],
)
def test_without_a_key_a_protected_app_stays_locked(
    keyless: Runtime, headers: dict[str, str]
) -> None:
    """As long as no key is set a protected app answers 401, except for its public routes."""
    check_locked(fetch(keyless, "/locked/", headers=headers))
    assert fetch(keyless, "/locked/a", headers=headers).status == 200


# ---- the runtime's own pages


WORKERS = ["/api/workers", "/api/workers/", "/api/workers/stats", "/api/workers/metrics"]


@pytest.mark.parametrize("path", WORKERS)
def test_operators_pages_need_the_key_that_is_set(runtime: Runtime, path: str) -> None:
    """If a key is set, `/api/workers` and what is below need it, also from this machine."""
    check_locked(fetch(runtime, path))
    check_locked(fetch(runtime, path, method="POST"))
    check_locked(fetch(runtime, path, headers={"X-API-Key": "wrong"}))
    assert fetch(runtime, path, headers={"X-API-Key": KEY}).status == 200
    assert fetch(runtime, path, headers={"Authorization": f"Bearer {KEY}"}).status == 200
    # With the key it does not matter which way the request came.
    headers = {"X-API-Key": KEY, "X-Forwarded-For": "10.0.0.1"}
    assert fetch(runtime, path, headers=headers).status == 200


@pytest.mark.parametrize("path", [f"/_{path}" for path in WORKERS])
def test_operators_pages_are_for_this_machine_without_a_key(keyless: Runtime, path: str) -> None:
    """If no key is set, they are open in development to direct requests of this machine with the
    key from its file, not to proxied ones."""
    assert fetch(keyless, path).status == 200
    check_locked(fetch(keyless, path, headers={"X-API-Key": "wrong"}))
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "x-forwarded-host"):
        answer = fetch(keyless, path, headers={name: "127.0.0.1"})
        assert (answer.status, answer.error["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "path",
    ["/health", "/api/health", "/api/health/live", "/api/health/ready", "/.well-known/buntime"],
)
def test_health_and_discovery_are_open(runtime: Runtime, path: str) -> None:
    """Health and discovery need no key, and answer behind proxies too."""
    assert fetch(runtime, path).status == 200
    assert fetch(runtime, path, headers={"X-Forwarded-For": "10.0.0.1"}).status == 200


def test_api_prefix_moves_the_api(keyless: Runtime) -> None:
    """With RUNTIME_API_PREFIX the API is below it and nowhere else; discovery says where."""
    assert fetch(keyless, "/_/api/health").json()["status"] == "ok"
    assert fetch(keyless, "/_/api/workers").status == 200
    for path in ("/api/health", "/api/workers", "/api/health/live", "/_/apix", "/_/workers", "/_"):
        answer = fetch(keyless, path)
        assert (answer.status, answer.error["code"]) == (404, "app_not_found")
    assert fetch(keyless, "/.well-known/buntime").json()["api"] == "/_/api"
    assert fetch(keyless, "/health").status == 200


@pytest.mark.parametrize(
    "target",
    [
        "//api/workers",
        "/./api/workers",
        "/open/../api/workers",
        "/%61pi/workers",
        "/api%2fworkers",
        "/API/workers",
        "/api//workers",
        "/api/./workers",
        "/api/x/../workers",
        "/api/health/../workers",
        "/api/workers;x",
        "/api/workers%3f",
        "/api/workers%00",
        "http://x/api/workers",
        "/health/../api/workers",
    ],
)
def test_no_spelling_opens_an_operators_page(runtime: Runtime, target: str) -> None:
    """However the path is spelled, no list of workers is given without the key."""
    status, body = raw(runtime, target)
    assert b'"workers"' not in body
    assert status in (400, 401, 404) or (status == 200 and b'"path"' in body)
