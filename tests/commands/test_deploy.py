"""`buntime deploy` and related commands, against a server that answers as a runtime does."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import ssl
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.commands import following
from buntime.commands import upload as upload_module
from buntime.commands.cli import main
from buntime.commands.deploy import Named, named_by_folder
from tests.support.scriptedserver import (
    Request,
    Server,
    answer,
    discovered,
    make_certificate,
    serving,
)

AT = "2026-11-27T00:00:00.000Z"
ACTIVE = {"step": "active", "at": AT, "url": "https://apps.example.com/shop"}
GOOD = [
    {"step": "received", "at": AT},
    {"step": "installing", "line": "Collecting flask\x1b[31m"},
    ACTIVE,
]
BROKEN: list[Any] = [
    {"step": "received", "at": AT},
    {
        "failed": "booted",
        "at": AT,
        "error": {"code": "boot_failed", "message": "the app does not load"},
        "stack": "Traceback\n  File x\nValueError: no luck",
        "log": ["starting", "about to fail"],
    },
]
ONE = {
    "app": "shop",
    "active": "1.9.0",
    "versions": [{"version": each} for each in ("1.9.0", "1.10.3", "2.0.0-rc.1", None)],
    "maintenance": None,
}


def ndjson(lines: list[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Runtime:
    """A runtime's answers: `lines` to requests that change something, `told` to those that read."""

    def __init__(self) -> None:
        self.lines: list[Any] = GOOD
        self.told: object = ONE
        self.status = 200
        self.fields: dict[str, str] = {}

    def __call__(self, request: Request) -> bytes:
        if request.method == "GET":
            return answer(self.told, 404 if self.told is None else 200)
        return answer(ndjson(self.lines), self.status, self.fields, "x-ndjson")


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def server(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The default target of commands; the working folder is that of an app, `shop`."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text("def fetch(request): ...\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with serving(discovered(runtime)) as server:
        monkeypatch.setenv("BUNTIME_TO", server.url)
        monkeypatch.setenv("BUNTIME_KEY", "bt_key")
        yield server


def ran(*words: str) -> int:
    return main(list(words), mode="checkout")


def test_a_deploy(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is packed and sent with its digest; steps are shown, and at the end the URL."""
    assert ran("deploy", "--version", "1.2.0") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith(f"shop@1.2.0 to {server.url}: 1 file, 24 bytes, packed ")
    assert [line.split()[-1] for line in out.splitlines()[1:]] == [
        "received", "flask\\x1b[31m", ACTIVE["url"],
    ]  # fmt: skip
    assert err == ""
    put = server.requests[-1]
    assert (put.method, put.target) == ("PUT", "/api/apps/shop/versions/1.2.0")
    assert put.fields["content-digest"].startswith("sha-256=:")
    assert put.fields["accept"] == "application/x-ndjson"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(put.body))) as tar:
        assert tar.getnames() == ["app/app.py"]


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ((), "/api/apps/shop/versions/1.10.4?ifChanged=1"),
        (("--app", "@acme/x"), "/api/apps/@acme/x/versions/1.10.4?ifChanged=1"),
        (("--preview", "pr-12", "--ttl", "3d"),
         "/api/apps/shop/versions/0.0.0-preview.pr-12?preview=pr-12&ttl=3d"),
        (("--version", "2.0.0+b.1", "--replace", "--dry-run"),
         "/api/apps/shop/versions/2.0.0+b.1?replace=1&dryRun=1"),
    ],
)  # fmt: skip
def test_names_and_versions(server: Server, words: tuple[str, ...], target: str) -> None:
    """Without a version given, the next one is one above the highest release."""
    assert ran("deploy", *words) == 0
    assert server.asked()[-1] == ("PUT", target)


def test_the_first_version(server: Server, runtime: Runtime) -> None:
    """An app that does not exist yet begins with 1.0.0."""
    runtime.told = None
    server_script = server._script

    def missing(request: Request) -> bytes:
        if request.method == "GET" and request.target == "/api/apps/shop":
            told = {"error": {"code": "app_not_found", "message": "no", "requestId": "1"}}
            return answer(told, 404)
        return server_script(request)

    server._script = missing
    assert ran("deploy") == 0
    assert server.asked()[-1] == ("PUT", "/api/apps/shop/versions/1.0.0?ifChanged=1")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/src/shop", Named("shop", None)),
        ("/src/shop@1.2.0", Named("shop", "1.2.0")),
        ("/src/shop/1.2.0", Named("shop", "1.2.0")),
        ("/src/@acme/shop", Named("@acme/shop", None)),
        ("/src/@acme/shop/1.2.0", Named("@acme/shop", "1.2.0")),
        ("/src/@acme/shop@1.2.0", Named("@acme/shop", "1.2.0")),
        ("/src/shop/latest", Named("latest", None)),
    ],
)
def test_folders_that_say_their_name(path: str, named: Named) -> None:
    """A folder named as the runtime serves it gives name and version."""
    assert named_by_folder(path) == named


def test_a_deploy_that_fails(
    server: Server, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed deploy shows the reason, the stack and the last log lines: exit code 1."""
    runtime.lines = BROKEN
    assert ran("deploy", "--version", "1.2.0") == 1
    failed = "the deploy of shop@1.2.0 failed at booted: the app does not load"
    assert capsys.readouterr().err.splitlines() == [
        "Traceback", "  File x", "ValueError: no luck", "",
        "The last lines that it printed:", "starting", "about to fail",
        f"buntime: error: {failed}; what served before, if anything, goes on serving",
    ]  # fmt: skip


def test_json(server: Server, runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints the lines as they came, and nothing else on stdout."""
    runtime.lines = BROKEN
    assert ran("deploy", "--version", "1.2.0", "--json") == 1
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == BROKEN


def test_a_refusal_of_the_head(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A body is not sent if its head alone is refused."""
    told = {"error": {"code": "no_right", "message": "this key may not", "requestId": "r-7"}}
    server.early = lambda _: answer(told, 403)
    assert ran("deploy", "--version", "1.2.0", "--json") == 4
    out, err = capsys.readouterr()
    assert json.loads(out) == told
    assert err == f"buntime: error: {server.url}: this key may not (request r-7)\n"
    assert server.requests[-1].body == b""


def test_a_proxy_that_takes_less(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy's 413 during the body is reported with what to change in the proxy."""
    (tmp_path / "shop/large").write_bytes(bytes(range(256)) * 80_000)
    server.early = lambda _: answer(b"<html>too large", 413, {"Content-Type": "text/html"})
    assert ran("deploy", "--version", "1.2.0") == 3
    assert "client_max_body_size" in capsys.readouterr().err


def test_who_does_not_know_100_continue(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without support for 100-continue gets the body after a moment."""
    monkeypatch.setattr(upload_module, "_CONTINUE_S", 0.02)
    server.early = lambda _: b""
    assert ran("deploy", "--version", "1.2.0") == 0
    assert server.requests[-1].body


def test_a_connection_that_is_cut(
    server: Server,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If the connection breaks, the deploy is followed by its URL; no step is shown twice."""
    monkeypatch.setattr(following, "_AGAIN_S", 0.0)
    runtime.lines = GOOD[:1]
    runtime.fields = {"Location": "/hosting/api/deploys/d-1", "Content-Length": "999"}
    told = {"id": "d-1", "state": "running", "steps": [{"step": "begun"}, GOOD[0]]}
    looks = iter([told, {**told, "state": "done", "steps": [*told["steps"], ACTIVE]}])  # type: ignore[misc]  # a list
    script = server._script

    def later(request: Request) -> bytes:
        if request.target == "/api/deploys/d-1":
            return answer(next(looks))
        return script(request)

    server._script = later
    assert ran("deploy", "--version", "1.2.0") == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "received", "active",
    ]  # fmt: skip


def test_an_end_that_nobody_tells(server: Server, runtime: Runtime) -> None:
    """An answer that breaks off does not count as a finished deploy."""
    runtime.lines = GOOD[:1]
    assert ran("deploy", "--version", "1.2.0") == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("a", "b"), "deploy takes one folder"),
        (("nowhere",), "there is no folder nowhere"),
        (("nowhere.zip",), "there is no folder nowhere.zip, nor such an archive"),
        (("app.py",), "app.py is no folder, nor an archive"),
        (("--ttl", "1d"), "--ttl is for a preview"),
        (("--app", "../x"), "is not a name for an app"),
        (("--version", "soon"), "is not a version"),
        (
            ("--preview", "a_b"),
            "--preview: 'a_b' is not the name of a preview; use up to 40 letters",
        ),
        (("--preview", "a", "--version", "1.0.0"), "give one"),
    ],
)
def test_faulty_lines(
    server: Server, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong command line is an error before anything is sent."""
    assert ran("deploy", *words) == 2
    assert says in capsys.readouterr().err
    assert server.requests == []


def test_secrets_are_named(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that look like secrets are left out and named."""
    (tmp_path / "shop/.env").write_text("KEY=1")
    assert ran("deploy", "--version", "1.2.0") == 0
    assert "left out because they look like secrets: .env; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "words", "named"),
    [
        ("blog-1.4.0.tar.gz", (), "blog/versions/1.4.0"),
        ("blog.zip", ("--version", "2.0.0"), "blog/versions/2.0.0"),
        ("shop-v7.tgz", (), "shop/versions/1.10.4?ifChanged=1"),
        ("blog-1.4.0.tgz", ("--app", "wiki", "--version", "3.0.0"), "wiki/versions/3.0.0"),
    ],
)
def test_an_archive(
    server: Server, tmp_path: Path, file: str, words: tuple[str, ...], named: str
) -> None:
    """An archive is sent as it is; its name and version are those of the file, or of flags."""
    (tmp_path / file).write_bytes(b"as it is")
    assert ran("deploy", str(tmp_path / file), *words) == 0
    sent = server.requests[-1]
    assert (sent.target, sent.body) == (f"/api/apps/{named}", b"as it is")
    assert sent.fields["content-length"] == "8"
    digest = b64encode(hashlib.sha256(b"as it is").digest()).decode()
    assert sent.fields["content-digest"] == f"sha-256=:{digest}:"


def test_data_are_named(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that look like data are packed and named on stderr."""
    (tmp_path / "shop/data.db").write_text("rows")
    assert ran("deploy", "--version", "1.2.0") == 0
    told = capsys.readouterr()
    assert "look like what a program has written: data.db; " in told.err
    assert "2 files" in told.out


def test_over_tls(
    runtime: Runtime, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same over TLS, where readable bytes need not be part of the answer."""
    cert, key = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    (tmp_path / "shop/large").write_bytes(bytes(range(256)) * 4000)
    with serving(discovered(runtime), tls=tls) as safe:
        assert ran("deploy", "--version", "1.2.0", "--to", safe.url) == 0
        assert len(safe.requests[-1].body) == int(safe.requests[-1].fields["content-length"])


# Rollback, activate, remove


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("rollback", "shop"), ("POST", "/api/apps/shop/rollback")),
        (("rollback", "shop", "--dry-run"), ("POST", "/api/apps/shop/rollback?dryRun=1")),
        (("activate", "shop@1.2.0"), ("POST", "/api/apps/shop/versions/1.2.0/activate")),
        (("activate", "@acme/shop", "1.2.0"),
         ("POST", "/api/apps/@acme/shop/versions/1.2.0/activate")),
    ],
)  # fmt: skip
def test_other_versions(
    server: Server,
    runtime: Runtime,
    words: tuple[str, ...],
    asked: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """These commands read the app first, for its ETag, and show their steps as a deploy does."""
    runtime.lines = [{"step": "checked", "at": AT}, ACTIVE]
    assert ran(*words) == 0
    app = "@acme/shop" if "@acme" in asked[1] else "shop"
    assert server.asked() == [("GET", f"/api/apps/{app}"), asked]
    assert capsys.readouterr().out.endswith(f"active  {ACTIVE['url']}\n")
    runtime.lines = BROKEN
    assert ran(*words) == 1


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("remove", "shop@1.2.0", "--yes"), "/api/apps/shop/versions/1.2.0"),
        (("remove", "@acme/shop", "1.2.0", "--yes"), "/api/apps/@acme/shop/versions/1.2.0"),
        (("remove", "shop@1.2.0", "--dry-run"), "/api/apps/shop/versions/1.2.0?dryRun=1"),
    ],
)
def test_removing(server: Server, runtime: Runtime, words: tuple[str, ...], asked: str) -> None:
    """Removing needs a version, since without one it is unclear what is meant."""
    runtime.lines = [{"removed": ["1.2.0"]}]
    assert ran(*words) == 0
    assert server.asked() == [("DELETE", asked)]
    assert ran("remove", "shop", "--yes") == 2


def test_removing_asks(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal it asks; elsewhere it needs --yes. Nothing changes before that."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert ran("remove", "shop@1.0.0") == 2
    assert "elsewhere add --yes" in capsys.readouterr().err
    for typed, code in (("n\n", 1), ("", 1)):
        terminal = io.StringIO(typed)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        assert ran("remove", "shop@1.0.0") == code
    assert "Remove shop@1.0.0 (1.9.0 is active) from http://127.0.0.1" in capsys.readouterr().err
    assert {method for method, _ in server.asked()} == {"GET"}
