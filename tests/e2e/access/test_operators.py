"""Who gets the operator's pages: no client just by its address, no app, no one who guesses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Answer, fetch, workers_of
from tests.support.harness import OPERATORS_KEY, Runtime, read_all, running, write_app
from tests.support.rawclient import request

# Asks the runtime's own pages, with each key that it can find.
APP = """
import glob, http.client, json, os
from buntime import Response

def ask(port, method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    return connection.getresponse().status

def fetch(request):
    port, state = int(request.query["port"]), request.query["state"]
    keys = [""]
    for path in glob.glob(f"{state}/**", recursive=True) + [f"{state}/local.key"]:
        try:
            keys.append(open(path).read().strip())
        except OSError:
            pass
    told = []
    for key in keys:
        headers = {"X-API-Key": key} if key else {}
        told += [ask(port, "GET", path, headers) for path in ("/api/workers", "/metrics")]
        told.append(ask(port, "POST", "/api/apps/other/recycle", headers))
    return Response(json.dumps(told))
"""
OTHER = "from buntime import Response\ndef fetch(request):\n    return Response('other')\n"
PATHS = ["/api/workers", "/api/workers/stats", "/api/workers/metrics", "/metrics"]


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operators")
    write_app(folder / "apps/curious", {"app.py": APP}, ttl=60)
    write_app(folder / "apps/other", {"app.py": OTHER}, ttl=60)
    write_app(
        folder / "apps/locked",
        {"app.py": OTHER},
        ttl=60,
        visibility="protected",
        publicRoutes=["/open"],
    )
    return folder / "apps"


@pytest.fixture(scope="module")
def development(apps: Path) -> Iterator[Runtime]:
    with running(apps) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def production(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": ""}) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def keyed(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


@pytest.mark.parametrize("path", PATHS)
def test_a_bare_proxy_in_production(production: Runtime, path: str) -> None:
    """A bare nginx looks like a direct request of this machine: without a key the pages are closed,
    and their answer says what to set."""
    for host in (f"127.0.0.1:{production.port}", "localhost", "[::1]"):
        answer = fetch(production, path, headers={"Host": host, "X-API-Key": "None"})
        assert (answer.status, answer.error["code"]) == (403, "forbidden")
        assert "RUNTIME_MASTER_KEY" in answer.error["message"]
    assert fetch(production, "/api/workers/w1/recycle", method="POST").status == 403
    assert fetch(production, "/health").status == 200


@pytest.mark.parametrize("env", ["development", "production"])
def test_an_app_asks(apps: Path, tmp_path: Path, env: str) -> None:
    """An app asks from the operator's address, and gets nothing: it cannot read the key."""
    state = tmp_path / "state"
    with running(apps, env={"RUNTIME_ENV": env, "RUNTIME_STATE_DIR": str(state)}) as runtime:
        sandbox = fetch(runtime, "/api/workers").json()["sandbox"]
        if not sandbox["acts"]:
            pytest.skip("this kernel has no sandbox, and the file is the app's user's")
        fetch(runtime, "/other/")
        [before] = [worker["id"] for worker in workers_of(runtime, "other")]
        told = fetch(runtime, f"/curious/?port={runtime.port}&state={state}").json()
        assert len(told) >= 3
        assert set(told) == {401}
        assert [worker["id"] for worker in workers_of(runtime, "other")] == [before]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("GET http://localhost/api/workers", "evil.example"),
        ("GET http://localhost/api/workers", "*"),
        ("GET http://127.0.0.1/metrics", "localhost"),
        ("GET /api/workers", "localhost, evil.example"),
        ("GET /api/workers", "localhost\r\nHost: evil.example"),
        ("GET /api/workers", "evil.example"),
        ("GET /api/workers", "*"),
    ],
)
def test_hosts_that_are_not_this_machine(development: Runtime, line: str, host: str) -> None:
    """Another host is refused even with this machine's key: a page could have a proxy send it."""
    assert fetch(development, "/api/workers").status == 200
    fields = f"Host: {host}\r\nX-API-Key: {development.operators_key}\r\nConnection: close"
    answer = development.exchange(f"{line} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


def from_address(runtime: Runtime, source: str, path: str, key: str) -> bytes:
    """The status line of a request that comes from this address."""
    with socket.socket() as sock:
        sock.settimeout(10)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", runtime.port))
        sock.sendall(request(f"GET {path}", "Connection: close", f"X-API-Key: {key}"))
        return read_all(sock).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [("/api/workers", "127.0.0.2"), ("/metrics", "127.0.0.3"), ("/locked/", "127.0.0.4")],
)
def test_wrong_keys_are_slowed_down(keyed: Runtime, path: str, source: str) -> None:
    """After some wrong keys, no key from that address is checked for a while; others' still are."""

    def ask(path: str, key: str) -> Answer:
        return fetch(keyed, path, headers={"X-API-Key": key}, source=source)

    wrong = [ask(path, f"guess-{n}") for n in range(15)]
    assert [answer.status for answer in wrong] == [401] * 10 + [429] * 5
    assert int(wrong[-1].headers["Retry-After"]) in range(1, 6)
    assert ask(path, OPERATORS_KEY).status == 429
    assert from_address(keyed, "127.0.0.9", path, OPERATORS_KEY).startswith(b"HTTP/1.1 200 ")
    assert ask("/other/", "of the app").body == b"other"
    assert ask("/locked/open", "of the app").body == b"other"
    assert (
        fetch(keyed, "/locked/", source=source).status == 401
    )  # a request without a key is no guess


def test_many_right_keys(keyed: Runtime) -> None:
    """Right keys are never slowed down, however many requests send one."""
    statuses = [
        fetch(keyed, "/locked/", headers={"X-API-Key": OPERATORS_KEY}).status for _ in "x" * 50
    ]
    assert statuses == [200] * 50
