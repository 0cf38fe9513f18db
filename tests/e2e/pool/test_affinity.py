"""`affinity: cookie`: a client's requests go to the worker that answered its first."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from buntime.core.http1.sessioncookie import NAME
from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, read_all, running, wait_until, write_app
from tests.support.pluginfolders import wait_for_state, write_plugin
from tests.support.rawsocket import CLOSE, socket_of

SOURCE = """
import os
from buntime import Response

def fetch(request):
    request.bytes()
    if request.path == "/die-in-" + "ONE":
        os._exit(1)
    answer = Response.json({
        "pid": os.getpid(),
        "cookie": request.headers.get("cookie"),
        "which": "ONE",
    })
    answer.headers.add("Set-Cookie", "mine=1")
    return answer

def websocket(ws):
    ws.accept()
    ws.send(str(os.getpid()))
    for message in ws:
        pass
"""
PLUGIN = """
def on_request(request):
    assert "bt-affinity" not in request.headers.get("cookie", "")

def on_response(request, response):
    response.headers["x-seen"] = "yes"
"""
AFFINE = {"ttl": "1h", "affinity": "cookie", "workers": 2, "concurrency": 4}


class Got(NamedTuple):
    pid: int
    cookie: str  # `bt-affinity=...`, if one was set
    line: str  # the whole Set-Cookie line
    seen: str | None
    which: str


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("affinity")


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    folder = apps / "apps"
    files = {"app.py": SOURCE, "files/a.txt": "a"}
    write_app(folder / "shop@1.0.0", files, maxRequests=20, static={"/files": "files"}, **AFFINE)
    write_app(folder / "front", {"app.py": SOURCE}, **AFFINE)
    write_app(folder / "hosted", {"app.py": SOURCE}, hosts=["hosted.example"], **AFFINE)
    write_app(folder / "deployed@1.0.0", {"app.py": SOURCE}, **AFFINE)
    write_app(folder / "plain", {"app.py": SOURCE}, ttl="1h")
    write_app(folder / "narrow", {"app.py": SOURCE}, **{**AFFINE, "concurrency": 1})
    write_app(folder / "brief", {"app.py": SOURCE}, maxRequests=2, affinityMax="0.3s", **AFFINE)
    write_plugin(apps / "plugins", "watcher", PLUGIN, stage="content")
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_PLUGIN_DIRS": str(apps / "plugins"),
        "RUNTIME_DEFAULT_APP": "front",
        "RUNTIME_TRUSTED_PROXIES": "127.0.0.1",
    }
    with running(folder, env=env) as started:
        wait_for_state(started, "watcher", "serving")
        yield started


def ask(runtime: Runtime, path: str = "/shop/", cookie: str = "", **fields: str) -> Got:
    if cookie:
        fields["Cookie"] = cookie
    answer = fetch(runtime, path, headers=fields)
    assert answer.status == 200, answer.body
    assert answer.headers["x-seen"] == "yes"
    mine, *others = answer.headers.get_all("set-cookie") or []
    assert mine.startswith("mine=1")
    line = "".join(others)
    told = answer.json()
    return Got(told["pid"], line.partition(";")[0], line, told["cookie"], told["which"])


def kept_by(runtime: Runtime, app: str) -> list[int]:
    return [each["pid"] for each in workers_of(runtime, app, status="keeping")]


def test_a_client_stays_with_its_worker(runtime: Runtime) -> None:
    """A client keeps its worker until that ends, past maxRequests, when others go elsewhere."""
    first = ask(runtime)
    assert first.line.endswith("; Path=/shop; HttpOnly; SameSite=Lax")
    for _ in range(25):
        again = ask(runtime, cookie=f"a=b; {first.cookie}; c=d")
        assert (again.pid, again.line, again.seen) == (first.pid, "", "a=b; c=d")
    wait_until(lambda: kept_by(runtime, "shop") == [first.pid], what="its replacement")
    other = ask(runtime)
    assert other.pid != first.pid
    assert other.cookie not in ("", first.cookie)
    assert ask(runtime, cookie=first.cookie).pid == first.pid
    fields = f"Cookie: {first.cookie}"
    with socket_of(runtime, "/shop/ws", fields) as socket:
        assert socket.read().payload == str(first.pid).encode()
        assert NAME.encode() not in socket.head
    with socket_of(runtime, "/shop/ws") as socket:
        assert socket.read().payload == str(other.pid).encode()
        assert NAME.encode() in socket.head
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not kept_by(runtime, "shop"), what="its end")
    later = ask(runtime, cookie=first.cookie)
    assert later.pid == other.pid
    assert later.cookie
    assert ask(runtime, cookie=later.cookie).line == ""


def test_each_base_has_its_own(runtime: Runtime) -> None:
    """A pin, a host of the app, a proxy's prefix, TLS: a cookie counts where it was set."""
    pinned = ask(runtime, "/shop@1/")
    assert pinned.line.endswith("; Path=/shop@1; HttpOnly; SameSite=Lax")
    assert ask(runtime, "/shop@1/", pinned.cookie).line == ""
    assert ask(runtime, "/shop/", pinned.cookie).cookie
    hosted = ask(runtime, "/", Host="hosted.example")
    assert hosted.line.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert ask(runtime, "/deep/path", hosted.cookie, Host="hosted.example").line == ""
    proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/tools"}
    line = ask(runtime, "/shop/", **proxied).line
    assert line.endswith("; Path=/tools/shop; HttpOnly; SameSite=Lax; Secure")


def test_it_reaches_no_app(runtime: Runtime) -> None:
    """No app sees the cookie, nor that of an app at `/`; a false one is removed as well."""
    front = ask(runtime, "/")
    assert ask(runtime, "/", front.cookie).line == ""
    both = f"{ask(runtime).cookie}; {front.cookie}"
    assert ask(runtime, "/shop/", both)[2:4] == ("", None)
    plain = ask(runtime, "/plain/", f"a=b; {front.cookie}")
    assert (plain.seen, plain.line) == ("a=b", "")
    assert ask(runtime, "/shop/", f"{NAME}=false; a=b").seen == "a=b"


@pytest.mark.parametrize("value", ["", "x", "A" * 32, "A" * 8000, '"; x="', "ÿ" * 32, "=" * 32])
def test_a_false_one_changes_nothing(runtime: Runtime, value: str) -> None:
    """A client with a false cookie is treated as a new one."""
    assert ask(runtime, cookie=f"{NAME}={value}").cookie


def test_after_its_time(runtime: Runtime) -> None:
    """A worker that has stayed for `affinityMax` closes its WebSockets (1012), and its clients get
    another worker and another cookie."""
    first = ask(runtime, "/brief/")
    fields = f"Cookie: {first.cookie}"
    with socket_of(runtime, "/brief/ws", fields) as socket:
        assert socket.read().payload == str(first.pid).encode()
        wait_until(lambda: ask(runtime, "/brief/").pid != first.pid, what="its replacement")
        closed = socket.read()
        assert (closed.opcode, closed.payload[:2]) == (CLOSE, (1012).to_bytes(2, "big"))
    with socket_of(runtime, "/brief/ws", fields) as socket:
        assert socket.read().payload != str(first.pid).encode()
        assert NAME.encode() in socket.head


@pytest.mark.parametrize("dies", [False, True])
def test_a_worker_that_is_full(runtime: Runtime, dies: bool) -> None:
    """A client's next request waits for its full worker, though another is idle; if the worker dies
    meanwhile, another one answers. The metrics count the waiting request."""
    first = ask(runtime, "/narrow/")
    head = f"Host: x\r\nConnection: close\r\nCookie: {first.cookie}\r\n"
    with runtime.connect() as busy, runtime.connect() as waits:
        busy.sendall(f"POST /narrow/ HTTP/1.1\r\n{head}Content-Length: 1\r\n\r\n".encode())
        wait_until(lambda: workers_of(runtime, "narrow", pid=first.pid, inHand=1))
        other = ask(runtime, "/narrow/")
        assert other.pid != first.pid
        waits.sendall(f"GET /narrow/ HTTP/1.1\r\n{head}\r\n".encode())
        wait_until(lambda: queued_for(runtime, "narrow") == 1, what="the request in the queue")
        assert b'buntime_queue_requests{app="narrow",version=""} 1.0' in metrics_page(runtime)
        if dies:
            os.kill(first.pid, signal.SIGKILL)
            assert b" 502 " in read_all(busy)
        else:
            busy.sendall(b"x")
            assert f'"pid":{first.pid}' in read_all(busy).decode().replace(" ", "")
        answer = read_all(waits).decode().replace(" ", "")
    assert f'"pid":{other.pid if dies else first.pid}' in answer
    assert (NAME in answer) == dies
    assert queued_for(runtime, "narrow") == 0


def queued_for(runtime: Runtime, app: str) -> int:
    apps = fetch(runtime, "/api/workers").json()["apps"]
    return next(int(each["queued"]) for each in apps if each["app"] == app)


def metrics_page(runtime: Runtime) -> bytes:
    return fetch(runtime, "/metrics").body


def test_files_set_none(runtime: Runtime) -> None:
    """A file that the runtime serves itself needs no worker and sets no cookie."""
    answer = fetch(runtime, "/shop/files/a.txt")
    assert (answer.body, answer.headers.get_all("set-cookie")) == (b"a", None)


def test_a_deploy(runtime: Runtime, apps: Path) -> None:
    """Clients from before the deploy keep the old code, others get the new."""
    before = ask(runtime, "/deployed/")
    source = SOURCE.replace("ONE", "TWO")
    write_app(apps / "aside", {"app.py": source}, **AFFINE).rename(apps / "apps/deployed@2.0.0")
    wait_until(lambda: ask(runtime, "/deployed/").which == "TWO", what="the new version")
    again = ask(runtime, "/deployed/", before.cookie)
    assert (again.pid, again.which, again.line) == (before.pid, "ONE", "")
    assert ask(runtime, "/deployed/die-in-ONE", before.cookie).which == "TWO"
    assert ask(runtime, "/deployed/", before.cookie).which == "TWO"
    second = ask(runtime, "/deployed/")
    replaced = apps / "apps/deployed@2.0.0"
    (replaced / "app.py").write_text(SOURCE.replace("ONE", "THREE"), "utf-8")
    os.utime(replaced / "buntime.yaml")
    wait_until(lambda: ask(runtime, "/deployed/").which == "THREE", what="the new code")
    assert ask(runtime, "/deployed/", second.cookie)[0:3:2] == (second.pid, "")
    assert second.pid in kept_by(runtime, "deployed")
