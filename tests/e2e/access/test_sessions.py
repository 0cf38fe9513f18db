"""Operators' sessions: where they are, who gets one, and what each request must carry."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.commands.client import Api
from buntime.commands.targets import Target
from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, write_app
from tests.support.operators import ADMIN, Operator, address_of, signed_in

APP = """
import json
from buntime import Response

def fetch(request):
    headers = {"Set-Cookie": request.query["set"]} if "set" in request.query else {}
    return Response(json.dumps(dict(request.headers)), headers=headers)
"""


# Asks for a session as a browser on this machine gets one: by itself, by a child, and by a process
# in a session of its own whose parents have ended.
CURIOUS = r"""
import json, os, subprocess, sys
from buntime import Response

ASK = '''
import http.client, os, sys
if sys.argv[2] == "orphan":
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
try:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    connection.request("GET", "/api/session", headers={"Sec-Fetch-Site": "same-origin"})
    answer = connection.getresponse()
    told = f"{answer.status} {answer.headers.get('set-cookie')}"
except Exception as exc:
    told = repr(exc)
os.write(int(sys.argv[3]), told.encode())
'''

def fetch(request):
    reading, writing = os.pipe()
    how = request.query["how"]
    argv = [sys.executable, "-c", ASK, request.query["port"], how, str(writing)]
    subprocess.run(argv, pass_fds=[writing], env={} if how == "orphan" else None)
    return Response(os.read(reading, 1000).decode())
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
    write_app(apps / "curious", {"app.py": CURIOUS}, ttl=60, concurrency=2)
    write_app(apps / "open", {"app.py": CURIOUS}, ttl=60, concurrency=2, sandbox="off")
    with running(apps, env={"RUNTIME_ENV": "development", **ADMIN}) as runtime:
        yield runtime


@pytest.fixture
def operator(production: Runtime) -> Operator:
    return Operator(address_of(production))


def test_what_answers(production: Runtime, operator: Operator) -> None:
    """The runtime's own paths and plugins' pages, and no app; the panel answers nowhere else."""
    answers = {path: operator.ask("GET", path) for path in ("/", "/cpanel/", "/health", "/shop")}
    assert [each.status for each in answers.values()] == [302, 200, 200, 404]
    assert answers["/"].headers["location"] == "/cpanel/"
    for answer in answers.values():
        assert "frame-ancestors 'self'" in answer.headers.get_all("content-security-policy", [])[-1]
    assert fetch(production, "/shop").status == 200
    assert fetch(production, "/cpanel/").status == 404


def test_signing_in_and_out(operator: Operator) -> None:
    """A key begins a session with its rights, and signing out ends it."""
    assert operator.ask("GET", "/api/session").status == 401
    assert operator.ask("POST", "/api/session", {"key": "wrong"}).status == 401
    told = operator.sign_in(OPERATORS_KEY)
    assert told["caller"]["source"] == "master"
    assert (told["environment"], told["users"]) == ("production", False)
    assert operator.look() == {**told, "expiresAt": operator.look()["expiresAt"]}
    assert operator.ask("GET", "/api/workers").status == 200
    cookie = dict(operator.cookies)
    assert operator.ask("DELETE", "/api/session").status == 204
    assert operator.cookies == {}
    operator.cookies = cookie
    assert operator.ask("GET", "/api/workers").status == 401


def test_what_a_write_bears(operator: Operator) -> None:
    """A write needs the token, and an Origin that is exactly this address."""
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
    without: dict[str, str | None] = {"Sec-Fetch-Site": None}  # plain HTTP from elsewhere
    assert operator.ask("POST", "/api/apps/shop/recycle", fields=without).status == 202


def test_reads_of_other_pages(operator: Operator) -> None:
    """A page at another port, though it has the cookie too, can read nothing with it."""
    operator.sign_in(OPERATORS_KEY)
    for site, status in (("same-site", 403), ("cross-site", 403), ("none", 200)):
        answer = operator.ask("GET", "/api/workers", fields={"Sec-Fetch-Site": site})
        assert answer.status == status
    answer = operator.ask("GET", "/api/workers", fields={"Origin": "http://127.0.0.1:1"})
    assert answer.status == 403


def test_sessions_elsewhere(production: Runtime, operator: Operator) -> None:
    """At the apps' address no session counts, and none begins."""
    operator.sign_in(OPERATORS_KEY)
    there = Operator(production.url)
    there.cookies, there.csrf = operator.cookies, operator.csrf
    assert there.ask("GET", "/api/workers").status == 401
    assert there.ask("GET", "/api/session").status == 401
    answer = there.ask("POST", "/api/session", {"key": OPERATORS_KEY})
    assert (answer.status, answer.error["code"]) == (403, "not_here")


def test_hosts(operator: Operator) -> None:
    """A foreign name that resolves to this machine opens nothing; an IP address is accepted."""
    for host, status in (("evil.example", 421), ("127.0.0.1.evil.example", 421), ("10.0.0.9", 200)):
        assert operator.ask("GET", "/cpanel/", fields={"Host": host}).status == status


def test_first_visit_in_development(development: Runtime) -> None:
    """A user of this machine needs no key, at either address; one who uses another name does."""
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


@pytest.mark.parametrize("how", ["child", "orphan"])
@pytest.mark.parametrize("app", ["curious", "open"])
def test_apps_in_development(development: Runtime, app: str, how: str) -> None:
    """What an app starts gets no session, though it asks from this machine like a browser."""
    for url in (development.url, address_of(development)):
        port = url.rpartition(":")[2]
        answer = fetch(development, f"/{app}/?how={how}&port={port}")
        assert answer.body == b"401 None"
    assert development.wait_for_record("session.refused")["reason"] == "an app has started it"


def test_where_a_browser_is_led(development: Runtime, production: Runtime) -> None:
    """In development `/` leads to the panel, for browsers on this machine."""
    html = {"Accept": "text/html,*/*"}
    answer = fetch(development, "/", headers=html)
    assert (answer.status, answer.headers["location"]) == (302, "/cpanel/")
    assert fetch(development, "/").status == 404
    assert fetch(development, "/", headers={**html, "Host": "evil.example"}).status == 404
    assert fetch(development, "/nothing", headers=html).status == 404
    assert fetch(production, "/", headers=html).status == 404


def made_link(state: Path) -> str:
    """A sign-in link of the runtime with this state folder, made by its control socket."""
    told = Api(Target(name="it", socket=str(state / "control.sock"))).post("/api/session/links")
    return str(told["url"])


def test_links(tmp_path: Path) -> None:
    """A link signs in once, and is in no log. Sessions outlive the runtime, but not their key."""
    write_app(tmp_path / "apps/shop", {"app.py": APP}, ttl=60)
    state = tmp_path / "state"
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": "", "RUNTIME_STATE_DIR": str(state)}
    with running(tmp_path / "apps", env={**env, **ADMIN}) as runtime:
        url = made_link(state)
        base, _, rest = url.partition("/.well")
        operator, path = Operator(base), f"/.well{rest}"
        assert base == address_of(runtime)
        for fields in ({"Sec-Purpose": "prefetch"}, {"Host": "evil.example"}):
            assert operator.ask("GET", path, fields=fields).status in (403, 421)
        assert operator.ask("HEAD", path).status == 403
        elsewhere = Operator(runtime.url)
        assert elsewhere.ask("GET", path).status == 404
        answer = operator.ask("GET", path, fields={"Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200
        assert b'http-equiv="refresh" content="0; url=/cpanel/"' in answer.body
        assert operator.look()["caller"]["name"] == "link"
        for again in (path, f"{path}x", path.partition("?")[0]):
            used = Operator(base).ask("GET", again)
            assert (used.status, used.error["code"]) == (403, "link_used")
        token = path.partition("token=")[2]
        assert not [each for each in runtime.records if token in str(each)]
        made = operator.ask("POST", "/api/keys", {"name": "ann", "roles": ["viewer"]}).json()
        ann = Operator(base)
        assert ann.sign_in(made["key"])["caller"]["name"] == "ann"
        assert ann.ask("POST", "/api/apps/shop/recycle").error["code"] == "not_allowed"
        made = operator.ask("POST", "/api/keys", {"name": "bob", "roles": ["viewer"]}).json()
        key_of_bob = made["key"]
        bob = Operator(base)
        bob.sign_in(key_of_bob)
    with running(tmp_path / "apps", env={**env, **ADMIN}) as runtime:
        url = address_of(runtime)
        for each in (operator, ann, bob):
            each.move(url)
            each.look()
        other = signed_in(runtime, key_of_bob)
        assert other.ask("DELETE", "/api/session?all=1").status == 204
        assert bob.ask("GET", "/api/workers").status == 401
        bob.sign_in(key_of_bob)
        assert operator.ask("DELETE", "/api/keys/ann").status == 200
        assert ann.ask("GET", "/api/workers").status == 401
        assert bob.ask("GET", "/api/workers").status == 200
        for token in [*operator.cookies.values(), *bob.cookies.values()]:
            kept = b"".join(path.read_bytes() for path in state.glob("state.db*"))
            assert token.encode() not in kept


def test_cookies_that_are_the_runtimes(production: Runtime) -> None:
    """No app sees the cookie of a session, or sets one."""
    sent = {"Cookie": "a=1; bt=secret; __Host-bt=secret; b=2"}
    told = fetch(production, "/shop/", headers=sent).json()
    assert told["cookie"] == "a=1; b=2"
    told = fetch(production, "/shop/", headers={"Cookie": "bt=secret"}).json()
    assert "cookie" not in told
    for name in ("bt", "__Host-bt", "=bt"):
        answer = fetch(production, f"/shop/?set={name}%3Dx%3B+Path%3D/%3B+Secure")
        assert answer.headers["set-cookie"] is None


def too_large(url: str, host: str, field: str) -> tuple[int, str | None]:
    """The status and Clear-Site-Data of a request with more fields than a head may have."""
    place = url.removeprefix("http://")
    connection = http.client.HTTPConnection(place, timeout=10)
    with contextlib.closing(connection):
        connection.putrequest("GET", "/cpanel/", skip_host=True)
        connection.putheader("Host", host)
        for number in range(20):
            connection.putheader(field, f"n{number}=" + "x" * 4000)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Clear-Site-Data"]


def test_too_many_cookies(tmp_path: Path) -> None:
    """Where operators come, browsers delete the cookies with which apps would keep them out; at
    other hosts, and for other fields, nothing is deleted."""
    host = "panel.example.com"
    with running(tmp_path, env={**ADMIN, "RUNTIME_ADMIN_HOST": host}) as runtime:
        own = address_of(runtime)
        delete = '"cookies"'
        assert too_large(own, own.removeprefix("http://"), "Cookie") == (431, delete)
        assert too_large(runtime.url, host, "Cookie") == (431, delete)
        assert too_large(runtime.url, "shop.example.com", "Cookie") == (431, None)
        assert too_large(own, host, "X-Other") == (431, None)
