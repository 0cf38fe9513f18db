"""Operators' sessions: where they are, who has them, and what each request by one must bear."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, write_app
from tests.support.operators import ADMIN, Operator, address_of

APP = """
import json
from buntime import Response

def fetch(request):
    headers = {"Set-Cookie": request.query["set"]} if "set" in request.query else {}
    return Response(json.dumps(dict(request.headers)), headers=headers)
"""


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "shop", {"app.py": APP}, ttl=60)
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": OPERATORS_KEY, **ADMIN}
    with running(apps, env=env) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "shop", {"app.py": APP}, ttl=60)
    with running(apps, env={"RUNTIME_ENV": "development", **ADMIN}) as runtime:
        yield runtime


@pytest.fixture
def operator(production: Runtime) -> Operator:
    return Operator(address_of(production))


def test_what_answers(production: Runtime, operator: Operator) -> None:
    """The runtime's own paths and plugins' pages, and no app; the panel nowhere else."""
    answers = {path: operator.ask("GET", path) for path in ("/", "/cpanel/", "/health", "/shop")}
    assert [each.status for each in answers.values()] == [302, 200, 200, 404]
    assert answers["/"].headers["location"] == "/cpanel/"
    for answer in answers.values():
        assert "frame-ancestors 'self'" in answer.headers.get_all("content-security-policy", [])[-1]
    assert fetch(production, "/shop").status == 200
    assert fetch(production, "/cpanel/").status == 404


def test_signing_in_and_out(operator: Operator) -> None:
    """A key begins a session with its rights, and its end is the end."""
    assert operator.ask("GET", "/api/session").status == 401
    assert operator.ask("POST", "/api/session", {"key": "wrong"}).status == 401
    told = operator.sign_in(OPERATORS_KEY)
    assert told["caller"]["source"] == "master"
    assert told["environment"] == "production"
    assert operator.look() == {**told, "expiresAt": operator.look()["expiresAt"]}
    assert operator.ask("GET", "/api/workers").status == 200
    cookie = dict(operator.cookies)
    assert operator.ask("DELETE", "/api/session").status == 204
    assert operator.cookies == {}
    operator.cookies = cookie
    assert operator.ask("GET", "/api/workers").status == 401


def test_what_a_write_bears(operator: Operator) -> None:
    """The token, and an Origin that is this very address."""
    operator.sign_in(OPERATORS_KEY)
    port = int(operator.netloc.rpartition(":")[2])
    wrong: list[tuple[dict[str, str | None], str]] = [
        ({"X-Buntime-Csrf": None}, "csrf"),
        ({"X-Buntime-Csrf": "x" * 43}, "csrf"),
        ({"Origin": None}, "cross_site"),
        ({"Origin": "null"}, "cross_site"),
        ({"Origin": f"http://127.0.0.1:{port - 1}"}, "cross_site"),
        ({"Sec-Fetch-Site": "same-site"}, "cross_site"),
        ({"Sec-Fetch-Site": "cross-site"}, "cross_site"),
        ({"Sec-Fetch-Site": "none"}, "cross_site"),
    ]
    for fields, code in wrong:
        answer = operator.ask("POST", "/api/apps/shop/recycle", fields=fields)
        assert (answer.status, answer.error["code"]) == (403, code), fields
    assert operator.ask("POST", "/api/apps/shop/recycle").status == 202
    without: dict[str, str | None] = {"Sec-Fetch-Site": None}  # plain HTTP beyond this machine
    assert operator.ask("POST", "/api/apps/shop/recycle", fields=without).status == 202


def test_reads_of_other_pages(operator: Operator) -> None:
    """A page of another port, to which the cookie goes too, can have nothing read by it."""
    operator.sign_in(OPERATORS_KEY)
    for site, status in (("same-site", 403), ("cross-site", 403), ("none", 200)):
        answer = operator.ask("GET", "/api/workers", fields={"Sec-Fetch-Site": site})
        assert answer.status == status
    answer = operator.ask("GET", "/api/workers", fields={"Origin": "http://127.0.0.1:1"})
    assert answer.status == 403


def test_sessions_elsewhere(production: Runtime, operator: Operator) -> None:
    """Where apps are no session counts, and none begins."""
    operator.sign_in(OPERATORS_KEY)
    there = Operator(production.url)
    there.cookies, there.csrf = operator.cookies, operator.csrf
    assert there.ask("GET", "/api/workers").status == 401
    assert there.ask("GET", "/api/session").status == 401
    answer = there.ask("POST", "/api/session", {"key": OPERATORS_KEY})
    assert (answer.status, answer.error["code"]) == (403, "not_here")


def test_hosts(operator: Operator) -> None:
    """A name that somebody could have lead here opens nothing; an address is itself."""
    for host, status in (("evil.example", 421), ("127.0.0.1.evil.example", 421), ("10.0.0.9", 200)):
        assert operator.ask("GET", "/cpanel/", fields={"Host": host}).status == status


def test_first_visit_in_development(development: Runtime) -> None:
    """Who is on this machine needs no key, at either address; who comes by another name does."""
    for url in (development.url, address_of(development)):
        operator = Operator(url)
        assert operator.ask("GET", "/cpanel/").status == 200
        assert operator.look()["caller"]["source"] == "local"
        assert operator.ask("POST", "/api/apps/shop/recycle").status == 202
        stranger = Operator(url)
        for fields in ({"Host": "evil.example"}, {"X-Forwarded-For": "192.0.2.1"}):
            assert stranger.ask("GET", "/api/session", fields=fields).status in (401, 403, 421)
        assert (
            stranger.ask("GET", "/api/session", fields={"Sec-Fetch-Site": "same-site"}).status
            == 403
        )
        assert stranger.cookies == {}


def test_cookies_that_are_the_runtimes(production: Runtime) -> None:
    """No app sees the cookie of a session, nor sets one."""
    sent = {"Cookie": "a=1; bt=secret; __Host-bt=secret; b=2"}
    told = fetch(production, "/shop/", headers=sent).json()
    assert told["cookie"] == "a=1; b=2"
    told = fetch(production, "/shop/", headers={"Cookie": "bt=secret"}).json()
    assert "cookie" not in told
    for name in ("bt", "__Host-bt", "=bt"):
        answer = fetch(production, f"/shop/?set={name}%3Dx%3B+Path%3D/%3B+Secure")
        assert answer.headers["set-cookie"] is None
