"""The API client: what it sends where, what it accepts, and what its errors advise."""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from buntime.commands import client as client_module
from buntime.commands import connections
from buntime.commands.apierrors import ApiError
from buntime.commands.client import Api, name_in_path
from buntime.commands.logins import Login
from buntime.commands.targets import Target, remote
from tests.support.scriptedserver import (
    DISCOVERY,
    Request,
    Server,
    answer,
    discovered,
    make_certificate,
    serving,
)

KEY = "bt_key"
REFUSED = {"error": {"code": "unauthorized", "message": "no\x1b[31m", "requestId": "r-1"}}


def api_of(server: Server, path: str = "", key: str = KEY) -> Api:
    return Api(remote(Login(server.url + path, key)))


def failed(api: Api, path: str = "/api/apps") -> ApiError:
    with pytest.raises(ApiError) as caught:
        api.get(path)
    return caught.value


def test_json() -> None:
    """Paths, queries, values and the key are sent; the answer comes back unchanged. The look for
    the API shares a connection with the first request."""
    with serving(discovered(lambda request: answer({"got": request.target}))) as server:
        api = api_of(server)
        assert api.get("/api/apps", limit=5, cursor=None) == {"got": "/api/apps?limit=5"}
        assert server.connections == 1
        assert api.get("/api/a") == {"got": "/api/a"}
        path = f"/api/apps/{name_in_path('@acme/shop@^1')}/recycle"
        assert api.post(path, {"a": 1}, dryRun=True) == {
            "got": "/api/apps/@acme/shop@%5E1/recycle?dryRun=1"
        }
        assert server.connections == 3
    found, first, _, posted = server.requests
    assert found.target == DISCOVERY
    assert "x-api-key" not in found.fields  # no key before it is known who answers
    assert first.fields["x-api-key"] == KEY
    assert (posted.body, posted.fields["content-type"]) == (b'{"a": 1}', "application/json")
    assert KEY not in repr(api.target)


@pytest.mark.parametrize("told", ["/hosting/api", "/api"])
def test_below_a_path(told: str) -> None:
    """The API is found below the URL's path, whether or not a proxy passes that path on."""
    with serving(discovered(lambda _: answer({}), told)) as server:
        api_of(server, "/hosting/").get("/api/apps")
    assert [request.target for request in server.requests] == [
        f"/hosting{DISCOVERY}",
        "/hosting/api/apps",
    ]


def test_lines() -> None:
    """Each line of an answer is a value, given as it comes; a plain JSON answer is one value."""
    lines = b'{"step": "received"}\n\n{"step": "active"}\n'
    with serving(discovered(lambda _: answer(lines, kind="x-ndjson"))) as server:
        told = list(api_of(server).lines("POST", "/api/apps/shop/rollback"))
        assert told == [{"step": "received"}, {"step": "active"}]
        assert server.requests[-1].fields["accept"] == "application/x-ndjson"
    with serving(discovered(lambda _: answer({"step": "active"}))) as server:
        assert list(api_of(server).lines("POST", "/api/x")) == [{"step": "active"}]


CUT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
HTML = answer(b"<h1>no</h1>", 404, {"Content-Type": "text/html"})


@pytest.mark.parametrize(
    ("reply", "code", "exit_code", "says"),
    [
        (answer(REFUSED, 401), "unauthorized", 4, "is not one of its keys: make one on the host"),
        (answer(REFUSED, 403), "unauthorized", 4, "no"),
        (answer(REFUSED, 404), "unauthorized", 1, "no"),
        (answer(REFUSED, 500), "unauthorized", 1, "no"),
        (
            answer({}, 301, {"Location": "https://x/api"}),
            "redirected",
            3,
            "redirects to https://x/api",
        ),
        (answer(b"<html>", 413), "proxy", 3, "client_max_body_size"),
        (answer(b"<html>", 502), "proxy", 3, "gets no answer from Buntime"),
        (answer(b"<html>", 504), "proxy", 3, "may still be under way"),
        (answer(b"<html>", 401), "proxy", 3, "a password of its own"),
        (answer({"error": "x"}, 418), "not_a_buntime", 3, "/api/apps is answered with 418"),
        (answer(b"[1", 200), "not_json", 3, "not JSON"),
        (answer(b"[" * 100_000, 200), "not_json", 3, "not JSON"),
        (CUT, "cut", 3, "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "cut", 3, "complete"),
        (b"SSH-2.0-OpenSSH\r\n", "cut", 3, "complete"),
        (b"", "cut", 3, "check before you try again"),
    ],
)
def test_errors(reply: bytes, code: str, exit_code: int, says: str) -> None:
    """Each way to fail says what to do, and has its exit code."""
    with serving(discovered(lambda _: reply)) as server:
        error = failed(api_of(server))
    assert (error.code, error.exit_code) == (code, exit_code)
    assert says in error.message
    assert server.url in error.message


def test_a_download_that_is_broken_off() -> None:
    """It is not under way any more, and the runtime's log says why."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with serving(discovered(lambda _: head + b"3\r\nabc\r\n")) as server:
        out = io.BytesIO()
        with pytest.raises(ApiError, match=r"so nothing is kept of it.*: buntime logs \+runtime"):
            api_of(server).download("/api/data/backup", out, media="application/gzip")


def test_errors_of_the_api() -> None:
    """The API's errors are kept as they came, with the request's id."""
    with serving(discovered(lambda _: answer(REFUSED, 401))) as server:
        error = failed(api_of(server, key=""))
    assert (error.to_json(), error.request_id) == (REFUSED, "r-1")
    assert "no key was sent" in error.message


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (HTML, "not_a_buntime"),
        (answer({"name": "other", "api": "/api"}), "not_a_buntime"),
        (answer({"name": "buntime", "api": "//evil"}), "not_a_buntime"),
        (answer({"name": "buntime", "api": 1}), "not_a_buntime"),
        (answer([1]), "not_a_buntime"),
        (answer(b"x"), "not_a_buntime"),
        (answer({}, 308, {"Location": f"https://x{DISCOVERY}"}), "redirected"),
    ],
)
def test_what_is_no_buntime(reply: bytes, code: str) -> None:
    """A server that does not say that it is a Buntime never gets the key."""
    with serving(lambda _: reply) as server:
        error = failed(api_of(server))
    assert error.code == code
    assert server.asked() == []
    assert all("x-api-key" not in request.fields for request in server.requests)
    assert code != "redirected" or "redirects to https://x," in error.message


@pytest.mark.parametrize(
    ("name", "size", "code"),
    [("_ANSWER_MAX_BYTES", 1000, "answer_too_large"), ("_ANSWER_S", -1.0, "cut")],
)
def test_bounds(name: str, size: float, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is too large or takes too long is cut off."""
    monkeypatch.setattr(client_module, name, size)
    monkeypatch.setattr(Api, "_discover", lambda _: "/api")
    with serving(lambda _: answer(b"x" * 100_000)) as server:
        assert failed(api_of(server)).code == code


def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long is cut off."""
    monkeypatch.setattr(client_module, "_LINE_MAX_BYTES", 1000)
    endless = answer(b"x" * 100_000, kind="x-ndjson")
    with serving(discovered(lambda _: endless)) as server, pytest.raises(ApiError) as caught:
        list(api_of(server).lines("GET", "/api/logs"))
    assert caught.value.code == "cut"


def test_lines_that_are_cut() -> None:
    """The lines that came are given, then the error."""
    reply = answer(b'{"step": "received"}\n{"st', kind="x-ndjson").replace(
        b"Length: 25", b"Length: 99"
    )
    with serving(discovered(lambda _: reply)) as server:
        lines = api_of(server).lines("POST", "/api/x")
        assert next(lines) == {"step": "received"}
        with pytest.raises(ApiError) as caught:
            next(lines)
    assert caught.value.code == "cut"


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is not waited for forever."""
    monkeypatch.setattr(client_module, "_READ_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        error = failed(Api(remote(Login(url, KEY))))
    assert error.code == "cut"
    assert "does not answer in time" in error.message


def test_nobody_there() -> None:
    """A refused connection names the address, and says how to name another one."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    error = failed(Api(remote(Login(f"http://127.0.0.1:{port}", KEY))))
    assert (error.code, error.exit_code) == ("unreachable", 3)
    assert f"cannot reach http://127.0.0.1:{port}: Connection refused" in error.message


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrusted certificate is an error until its authority is named; so is TLS to a plain
    server."""
    cert, key = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    script: Callable[[Request], bytes] = discovered(lambda _: answer({"ok": True}))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with serving(script, tls=tls) as server:
        error = failed(api_of(server))
        assert (error.code, error.exit_code) == ("untrusted_certificate", 3)
        assert "SSL_CERT_FILE=ca.pem" in error.message
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert api_of(server).get("/api/apps") == {"ok": True}
    with serving(script) as server:
        error = failed(Api(remote(Login(server.url.replace("http:", "https:"), KEY))))
        assert (error.code, "is it http:// there?" in error.message) == ("unreachable", True)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_were_chosen(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a user names the trusted authorities, no others are trusted."""
    for each in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "none"))
    trusted = ssl.create_default_context().cert_store_stats()
    assert connections._tls().cert_store_stats() == trusted


@pytest.mark.parametrize("deep", ["", "a" * 60 + "/" + "b" * 60])
def test_the_socket_of_a_state_folder(
    tmp_path: Path, deep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unix socket is asked in the same way, even if its path is too long for an address."""
    folder = tmp_path / deep
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    with serving(discovered(lambda _: answer({"ok": True})), path=Path("control.sock")) as server:
        api = Api(Target(name="here", socket=str(folder / "control.sock")))
        assert api.get("/api/apps") == {"ok": True}
    assert {request.fields["host"] for request in server.requests} == {"localhost"}
    error = failed(Api(Target(name="here", socket=str(tmp_path / "none.sock"))))
    assert (error.code, error.message.count("does it run?")) == ("unreachable", 1)
