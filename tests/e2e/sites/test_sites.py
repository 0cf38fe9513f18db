"""Static sites through a running runtime: what comes over the socket, and what never does."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import os
import re
import socket
import statistics
import time
from array import array
from collections.abc import Iterator
from email import message_from_bytes
from functools import cache
from pathlib import Path

import pytest

from tests.support.harness import Runtime, look_into, running, wait_until, write_app
from tests.support.hostile import SECRET, corpus_paths, fill
from tests.support.rawclient import Cut, RawClient, client_of, request

MB = 1024 * 1024
PAGE = "<!doctype html><html><head><title>x</title></head><body>page</body></html>"
SCRIPT = "run();\n" * 100
ECHO = """
from buntime import Response
def fetch(request):
    return Response(f"app {request.method} {request.path}")
"""
BIG_SIZE = 8 * MB  # more than the kernel holds for a client that does not read
BROWSER = ("Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate")


@cache
def big_bytes() -> bytes:
    """Bytes in which no two places look alike."""
    return array("Q", range(BIG_SIZE // 8)).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a site, and one full of what clients must not see."""
    apps = tmp_path_factory.mktemp("apps")
    for version in ("1.0.0", "2.0.0"):
        write_app(
            apps / "site" / version,
            {
                "index.html": PAGE.replace("page", f"page of {version}"),
                "app.js": SCRIPT,
                "docs/index.html": f"{PAGE}<!-- docs -->",
                "empty.txt": "",
            },
        )
    home = apps / "site" / "2.0.0"
    (home / "app.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (home / "big.bin").write_bytes(big_bytes())
    hostile = write_app(
        apps / "hostile",
        {"index.html": PAGE, "app.js": SCRIPT, "docs/guide.html": PAGE},
    )
    (hostile / "empty-folder").mkdir()
    fill(hostile)
    write_app(
        apps / "django",
        {
            "app.py": ECHO,
            "out/css/a.css": "a{}",
            "out/tool.py": "secret",
            "out/big.bin": "x" * 99_999,
        },
        static={"/static": "out", "/more": "elsewhere"},
        headers={"/static/**": {"Cache-Control": "max-age=60"}},
        ttl=600,
    )
    (apps / "django/elsewhere").symlink_to("/etc")
    (apps / "django/out/link").symlink_to("/etc/passwd")
    (apps / "django/out/code").symlink_to("../app.py")
    shut = {"index.py": ECHO, "out/a.css": "a{}", "out/open/b.css": "b{}"}
    write_app(
        apps / "shut", shut, static={"/static": "out"}, visibility="protected",
        publicRoutes=["/static/open/**"], ttl=600,
    )  # fmt: skip
    return apps


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    with running(folder) as runtime:
        yield runtime


@pytest.fixture
def client(runtime: Runtime) -> Iterator[RawClient]:
    with client_of(runtime) as client:
        yield client


# Pages


def test_a_page(client: RawClient) -> None:
    """The newest version's page is served below the site's name, with a base for its links."""
    reply = client.get("/site/")
    assert (reply.status, reply.get("content-type")) == (200, "text/html; charset=utf-8")
    text = reply.body.decode()
    assert "page of 2.0.0" in text
    assert '<base href="/site/">' in text


def test_a_version(client: RawClient) -> None:
    """A pinned version has its own files, and a base that keeps its links in it."""
    text = client.get("/site@1/").body.decode()
    assert "page of 1.0.0" in text
    assert '<base href="/site@1/">' in text
    assert client.get("/site@1/big.bin").status == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/site", "/site/"),
        ("/site?a=1&b", "/site/?a=1&b"),
        ("/site@1.0.0", "/site@1.0.0/"),
        ("/site/docs", "/site/docs/"),
        ("/site/docs?a", "/site/docs/?a"),
    ],
)
def test_folders_get_their_slash(client: RawClient, target: str, location: str) -> None:
    """A folder without its slash is a redirect that stays in the site and keeps the query."""
    reply = client.get(target)
    assert (reply.status, reply.get("location"), reply.body) == (308, location, b"")
    assert client.get(location).status == 200


def test_navigations_and_parts(client: RawClient) -> None:
    """A navigation to an unknown path gets the page; a missing script is a 404, as JSON for
    programs and as a page for people."""
    assert b"page of 2.0.0" in client.get("/site/users/1", *BROWSER).body
    assert client.get("/site/users/1").code == "not_found"
    reply = client.get("/site/missing.js", "Accept: text/html")
    assert (reply.status, reply.get("content-type")) == (404, "text/html; charset=utf-8")
    assert client.get("/site/").status == 200


def test_head(client: RawClient) -> None:
    """HEAD has the fields of GET and no body, for small files and big ones."""
    for name in ("", "app.js", "big.bin", "empty.txt"):
        client.send(request(f"HEAD /site/{name}"))
        head = client.read("HEAD")
        reply = client.get(f"/site/{name}")
        ours = {"date", "x-request-id"}
        assert head.body == b""
        assert [pair for pair in head.fields if pair[0] not in ours] == [
            pair for pair in reply.fields if pair[0] not in ours
        ]
        assert reply.get("content-length") == str(len(reply.body))


def test_other_methods(client: RawClient) -> None:
    """A method that a site does not answer is a 405 that lists the others; the client may go on."""
    client.send(request("DELETE /site/app.js"))
    reply = client.read()
    assert (reply.status, reply.get("allow")) == (405, "GET, HEAD")
    assert client.get("/site/app.js").status == 200


def test_packed_files(client: RawClient) -> None:
    """A .gz beside the file is sent to clients that accept it, and caches are told."""
    packed = client.get("/site/app.js", "Accept-Encoding: gzip, br;q=0.1")
    plain = client.get("/site/app.js")
    assert packed.get("content-encoding") == "gzip"
    assert gzip.decompress(packed.body) == plain.body == SCRIPT.encode()
    assert packed.get("vary") == plain.get("vary") == "Accept-Encoding"
    assert packed.get("etag") != plain.get("etag")
    assert packed.get("content-type") == plain.get("content-type")


# Conditions


@pytest.mark.parametrize("name", ["", "app.js", "big.bin"])
def test_what_a_client_has_is_not_sent_again(client: RawClient, name: str) -> None:
    """304 to a client that has the file, by ETag or by time, without a body; the connection then
    stays open."""
    first = client.get(f"/site/{name}")
    for field in (
        f"If-None-Match: {first.get('etag')}",
        f'If-None-Match: "other", {first.get("etag")}',
        f"If-Modified-Since: {first.get('last-modified')}",
    ):
        if first.get("last-modified") or "Modified" not in field:
            reply = client.get(f"/site/{name}", field)
            assert (reply.status, reply.body) == (304, b"")
            assert reply.get("etag") == first.get("etag")
    assert client.get(f"/site/{name}", 'If-None-Match: "other"').body == first.body
    assert client.get(f"/site/{name}", 'If-Match: "other"').status == 412


def test_a_changed_file_is_sent_anew(runtime: Runtime, folder: Path, client: RawClient) -> None:
    """A file changed on the disk is served, with another ETag, to clients with the old one too."""
    path = folder / "site" / "2.0.0" / "changing.txt"
    path.write_text("old")
    first = client.get("/site/changing.txt")
    assert first.body == b"old"
    path.write_text("a new one")
    field = f"If-None-Match: {first.get('etag')}"
    wait_until(lambda: client.get("/site/changing.txt", field).body == b"a new one")
    path.unlink()
    wait_until(lambda: client.get("/site/changing.txt").status == 404)


# Ranges


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("100-199", 100, 199),
        ("1000000-", 1_000_000, BIG_SIZE - 1),
        ("-10", BIG_SIZE - 10, BIG_SIZE - 1),
        (f"{BIG_SIZE - 1}-99999999999", BIG_SIZE - 1, BIG_SIZE - 1),
    ],
)
def test_a_range(client: RawClient, asked: str, first: int, last: int) -> None:
    """One range is a 206 with exactly these bytes, from a file that is sent by the kernel."""
    reply = client.get("/site/big.bin", f"Range: bytes={asked}")
    assert (reply.status, reply.get("content-range")) == (206, f"bytes {first}-{last}/{BIG_SIZE}")
    assert reply.body == big_bytes()[first : last + 1]


@pytest.mark.parametrize("name", ["big.bin", "app.js"])
def test_several_ranges(client: RawClient, name: str) -> None:
    """Several ranges are parts of one answer, each with its place, from a file or from memory."""
    whole = client.get(f"/site/{name}").body
    reply = client.get(f"/site/{name}", "Range: bytes=0-4, 300-309, -3")
    assert (reply.status, reply.get("content-length")) == (206, str(len(reply.body)))
    head = f"Content-Type: {reply.get('content-type')}\r\n\r\n".encode()
    parts = message_from_bytes(head + reply.body).get_payload()
    size = len(whole)
    assert [(part["Content-Range"], part.get_payload(decode=True)) for part in parts] == [
        (f"bytes 0-4/{size}", whole[:5]),
        (f"bytes 300-309/{size}", whole[300:310]),
        (f"bytes {size - 3}-{size - 1}/{size}", whole[-3:]),
    ]


def test_ranges_that_cannot_be(client: RawClient) -> None:
    """A range beyond the end is a 416 that gives the size; an invalid one is ignored."""
    reply = client.get("/site/app.js", "Range: bytes=700-")
    assert (reply.status, reply.get("content-range")) == (416, "bytes */700")
    for asked in ("bytes=5-3", "lines=1-2", "bytes=a-b"):
        assert client.get("/site/app.js", f"Range: {asked}").status == 200


def test_if_range(client: RawClient) -> None:
    """A client that has the rest of this very file gets a part, any other client gets all of it."""
    etag = client.get("/site/big.bin", "Range: bytes=0-0").get("etag")
    asked = "Range: bytes=5-9"
    assert client.get("/site/big.bin", asked, f"If-Range: {etag}").status == 206
    assert client.get("/site/big.bin", asked, 'If-Range: "other"').status == 200


# Big files


def test_a_big_file(runtime: Runtime, client: RawClient) -> None:
    """8 MB arrive unchanged, are logged in full, and later requests are answered in order."""
    client.send(
        request("GET /site/big.bin", "X-Request-ID: the-first-big-one")
        + request("GET /site/app.js")
        + request("GET /site/big.bin")
    )
    wanted = hashlib.sha256(big_bytes()).hexdigest()
    assert hashlib.sha256(client.read().body).hexdigest() == wanted
    assert client.read().body == SCRIPT.encode()
    assert hashlib.sha256(client.read().body).hexdigest() == wanted
    record = runtime.wait_for_record("request.access", request_id="the-first-big-one")
    assert (record["status"], record["bytes"]) == (200, BIG_SIZE)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are read from /proc")
def test_a_client_that_leaves_mid_file(runtime: Runtime) -> None:
    """A file is closed when its client is gone, just as after it has been sent."""
    before = open_files(runtime)
    for _ in range(5):
        with slow_client(runtime) as client:
            client.send(request("GET /site/big.bin") + request("GET /site/big.bin"))
            client.sock.recv(1000)
    with client_of(runtime) as client:
        client.get("/site/big.bin", "Connection: close")
        client.expect_end()
    wait_until(lambda: open_files(runtime) == before, what="the files to be closed")


def open_files(runtime: Runtime) -> list[str]:
    """The regular files that the runtime has open."""
    links = []
    for link in (look_into(runtime.process.pid) / "fd").iterdir():
        try:
            links.append(os.readlink(link))
        except OSError:
            continue
    return sorted(link for link in links if link.endswith(".bin"))


@contextlib.contextmanager
def slow_client(runtime: Runtime) -> Iterator[RawClient]:
    """A client whose kernel holds little before it reads."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.settimeout(15)
        sock.connect(("127.0.0.1", runtime.port))
        yield RawClient(sock)


def test_a_file_that_shrinks_while_it_is_sent(runtime: Runtime, folder: Path) -> None:
    """A file that shrinks ends the connection: the answer never looks complete."""
    path = folder / "site" / "2.0.0" / "shrinking.bin"
    path.write_bytes(big_bytes())
    with slow_client(runtime) as client:
        client.send(request("GET /site/shrinking.bin"))
        taken = len(client.receive())
        os.truncate(path, 1000)
        with contextlib.suppress(Cut):  # a reset would do as well
            while data := client.receive():
                taken += len(data)
        assert 0 < taken < BIG_SIZE
    with client_of(runtime) as client:
        assert client.get("/site/app.js").status == 200
    assert not [record for record in runtime.records if record["event"] == "runtime.internal_error"]


def test_stalled_downloads_do_not_slow_the_others(runtime: Runtime, client: RawClient) -> None:
    """Thirty clients that do not read their file cost the others no time."""
    before_s = typical_s(client)
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(slow_client(runtime)) for _ in range(30)]
        for each in stalled:
            each.send(request("GET /site/big.bin"))
        for each in stalled:
            each.sock.recv(1)  # it has begun
        assert typical_s(client) < 3 * before_s + 0.003
        for each in stalled[:2]:  # and they get all of it when they read
            taken = 1
            while taken < BIG_SIZE:
                taken += len(each.receive())


def typical_s(client: RawClient) -> float:
    """The median time of a small request."""
    times = []
    for _ in range(100):
        begun = time.monotonic()
        assert client.get("/site/app.js").status == 200
        times.append(time.monotonic() - begun)
    return statistics.median(times)


def test_a_site_has_no_worker(runtime: Runtime, client: RawClient) -> None:
    """The runtime serves sites itself: no process is started for one."""
    assert client.get("/site/").status == 200
    own = (f"{name}: {value}" for name, value in runtime.operators_fields("/api/workers").items())
    workers = client.get("/api/workers", *own).json["workers"]
    assert "site" not in [worker["app"] for worker in workers]


# What clients must not see


def paths_and_bases() -> list[str]:
    """Each path of the corpus below the site, below a version of it, and as it is."""
    return [base + path for path in corpus_paths() for base in ("/hostile", "/hostile@latest", "")]


def test_traversal(runtime: Runtime) -> None:
    """No path leads out of a site or to its hidden files, whatever a client sends: it is a 404, or
    no request at all, and for a person at most the page."""
    with client_of(runtime) as client:
        page = client.get("/hostile/").body
        assert client.get("/hostile/docs/guide.html").status == 200
        pinned = client.get("/hostile@latest/")
        pages = (page, pinned.body) if pinned.status == 200 else (page,)
    targets = paths_and_bases()
    assert len(targets) > 360
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(client_of(runtime))
        for target, fields in itertools.product(targets, ((), BROWSER)):
            client.send(request(f"GET {target}".encode().decode("latin-1"), *fields))
            reply = client.read()
            if reply.get("connection") == "close":
                client = stack.enter_context(client_of(runtime))
            assert SECRET.encode() not in reply.body, target
            assert reply.status in (400, 404) or (fields and reply.body in pages), target
            assert "root:" not in reply.body.decode("latin-1"), target
            assert not re.search("evil", reply.get("location") or ""), target


def test_what_the_corpus_is_after_is_there(folder: Path) -> None:
    """The corpus proves something: its secrets exist."""
    hostile = folder / "hostile"
    assert SECRET in (hostile / "link-up" / "secret.txt").read_text()
    assert SECRET in (hostile / "link-here" / ".env").read_text()
    assert "root:" in (hostile / "link-root" / "etc" / "passwd").read_text()


# Files of a Python app


def test_files_of_an_app(client: RawClient) -> None:
    """The runtime serves them itself, large ones too; everything else goes to the app."""
    got = client.get("/django/static/css/a.css")
    assert (got.status, got.body, got.get("content-type")) == (
        200,
        b"a{}",
        "text/css; charset=utf-8",
    )
    assert got.get("cache-control") == "max-age=60"
    assert client.get("/django/st%61tic/css/a.css").body == b"a{}"
    assert len(client.get("/django/static/big.bin").body) == 99_999
    assert client.get("/django/statics").body == b"app GET /statics"
    assert client.get("/django/static/nowhere").status == 404
    assert client.get("/django/static").get("location") == "/django/static/"


@pytest.mark.parametrize(
    "path",
    ["/static/tool.py", "/static/link", "/static/code", "/static/%2e%2e/app.py", "/more/passwd",
     "/static/..%2fapp.py", "/static/%5c../app.py", "/static//css/a.css", "/static/.hidden"],
)  # fmt: skip
def test_what_no_file_of_an_app_is(client: RawClient, path: str) -> None:
    """Links away, code, and paths that climb are 404, or left to the app."""
    got = client.get(f"/django{path}")
    assert got.status in (400, 404) or got.body.startswith(b"app GET"), got.body
    assert b"root:" not in got.body
    assert b"secret" not in got.body
    assert b"def fetch" not in got.body


def test_files_of_an_app_that_needs_a_key(client: RawClient) -> None:
    """What keeps others out of the app keeps them out of its files, except for public routes."""
    assert client.get("/shut/static/a.css").status == 401
    assert client.get("/shut/static/open/../a.css").status in (400, 401)
    assert client.get("/shut/static/open/%2e%2e/a.css").status == 401
    got = client.get("/shut/static/open/b.css")
    assert (got.status, got.body) == (200, b"b{}")
    assert "private" in str(got.get("cache-control"))
