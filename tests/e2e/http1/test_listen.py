"""Several addresses to listen at: each is served, all or none are opened, all are closed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Runtime, begin, running, write_app
from tests.support.rawclient import RawClient
from tests.support.runs import environ, run

ADDRESSES = """
from buntime import Response

def fetch(request):
    return Response.json({"client": request.client, "server": request.server})
"""
HAS_IPV6 = Path("/proc/net/if_inet6").exists()


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "who", {"app.py": ADDRESSES}, ttl=600)
    return folder


def free_port() -> int:
    """A port that was free a moment ago, for both IPv4 and IPv6."""
    family = socket.AF_INET6 if HAS_IPV6 else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=HAS_IPV6) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def client_at(url: str) -> Iterator[RawClient]:
    """A client of one of the addresses in `urls`."""
    if url.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        address: Any = url.removeprefix("unix:")
    else:
        host, _, port = url.removeprefix("http://").rpartition(":")
        sock = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        address = (host.strip("[]"), int(port))
    with sock:
        sock.settimeout(15)
        sock.connect(address)
        yield RawClient(sock)


def urls_of(runtime: Runtime) -> list[str]:
    return list(runtime.wait_for_record("runtime.listening")["urls"])


def refusal(apps: Path, *listen: str) -> str:
    """The one line that a runtime prints if it does not start."""
    flags = [word for place in listen for word in ("--listen", place)]
    done = run(apps, *flags, cwd=apps)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("buntime: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_all_are_served(apps: Path, tmp_path: Path) -> None:
    """One loop serves each address; the app sees which one a request came to, the log names all of
    them, the first as `url`; nothing is left of them at the end."""
    path = tmp_path / "s"
    places = ["127.0.0.1:0", "127.0.0.1:0", f"unix:{path}", *(["[::1]:0"] if HAS_IPV6 else [])]
    with running(apps, env={"RUNTIME_LISTEN": ", ".join(places)}) as runtime:
        urls = urls_of(runtime)
        assert len(urls) == len(places)
        assert len(set(urls)) == len(urls)
        assert runtime.url == urls[0]
        for url in urls:
            with client_at(url) as client:
                told = client.get("/who/").json
            if url.startswith("unix:"):
                assert told == {"client": None, "server": None}
            else:
                host, _, port = url.removeprefix("http://").rpartition(":")
                assert told["server"] == [host.strip("[]"), int(port)]
                assert told["client"][0] == host.strip("[]")
        assert runtime.stop() == 0
        for url in urls:
            with pytest.raises((ConnectionRefusedError, FileNotFoundError)), client_at(url):
                pass
        assert not path.exists()


def test_the_flag_repeated(apps: Path, tmp_path: Path) -> None:
    """--listen can be given several times, and wins over the variable and over HOST and PORT."""
    one, other = tmp_path / "1", tmp_path / "2"
    env = {"RUNTIME_LISTEN": "127.0.0.1:1", "RUNTIME_LOG_FORMAT": "json"}
    flags = ["--listen", f"unix:{one}", f"--listen=unix:{other}", "--port", "1"]
    process = begin([str(apps), *flags], environ(env))
    try:
        assert urls_of(Runtime(process)) == [f"unix:{one}", f"unix:{other}"]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_both_families_on_one_port(apps: Path) -> None:
    """[::] beside an IPv4 address of the same port leaves IPv4 to that address."""
    port = free_port()
    env = {"RUNTIME_LISTEN": f"[::]:{port} 127.0.0.1:{port}"}
    with running(apps, env=env) as runtime:
        assert urls_of(runtime) == [f"http://[::]:{port}", f"http://127.0.0.1:{port}"]
        with client_at(f"http://127.0.0.1:{port}") as client:
            assert client.get("/who/").json["server"] == ["127.0.0.1", port]
        with client_at(f"http://[::1]:{port}") as client:
            assert client.get("/who/").json["server"] == ["::", port]


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_an_ipv6_socket_takes_ipv4(apps: Path) -> None:
    """[::] without one takes clients over IPv4, and gives them their IPv4 address."""
    with running(apps, env={"RUNTIME_LISTEN": "[::]:0"}) as runtime:
        with client_at(f"http://127.0.0.1:{runtime.port}") as client:
            assert client.get("/who/").json["client"][0] == "127.0.0.1"
        assert runtime.wait_for_record("request.access", path="/who/")["client"] == "127.0.0.1"


def test_the_mode_of_a_socket(apps: Path, tmp_path: Path) -> None:
    """A unix socket has the permissions that were asked for, whatever the umask; else 666."""
    plain, shared, own = tmp_path / "plain", tmp_path / "shared", tmp_path / "own"
    places = f"unix:{plain} unix:{shared}?mode=660 unix:{own}?mode=600"
    with running(apps, env={"RUNTIME_LISTEN": places}) as runtime:
        assert urls_of(runtime)[1] == f"unix:{shared}"
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (plain, shared, own)]
        assert modes == [0o666, 0o660, 0o600]


def test_room_is_made_at_each(apps: Path, tmp_path: Path) -> None:
    """The limit of connections counts those of all addresses; when one closes, clients that wait at
    any address are let in."""
    path = tmp_path / "s"
    env = {"RUNTIME_LISTEN": f"127.0.0.1:0 unix:{path}", "RUNTIME_CONNECTIONS_MAX": "1"}
    with running(apps, env=env) as runtime:
        tcp, unix = urls_of(runtime)
        for first, then in ((tcp, unix), (unix, tcp)):
            with client_at(first) as client:
                assert client.get("/who/").status == 200
                with client_at(then) as waiting:
                    waiting.send(b"GET /who/ HTTP/1.1\r\nHost: a\r\n\r\n")
                    client.close()
                    assert waiting.read().status == 200


def test_all_or_none(apps: Path, tmp_path: Path) -> None:
    """If one address cannot be opened, the line names it, and those before it are closed."""
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(apps, f"unix:{path}", f"127.0.0.1:{port}")
    assert f"cannot listen on 127.0.0.1 port {port}: something listens there already" in line
    assert not path.exists()


def test_a_start_that_fails_later(apps: Path, tmp_path: Path) -> None:
    """An error after the sockets were opened leaves no socket file either."""
    path = tmp_path / "s"
    words = ("--listen", f"unix:{path}", "--python", "/no/such/python")
    done = run(apps, *words, cwd=apps)
    assert done.returncode == 2
    assert "/no/such/python" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("8000", "RUNTIME_LISTEN (from --listen): '8000' is neither an address with a port"),
        ("unix:/b?mode=rw", "has an unknown option"),
        ("a..b:80", "cannot listen on a..b port 80: this machine has no such address"),
        ("unix:/no/such/folder/s", "cannot listen on unix:/no/such/folder/s: No such file"),
        ("unix:/tmp/" + "x" * 200, "path too long"),
    ],
    ids=["port", "mode", "name", "folder", "long"],
)
def test_what_cannot_be_had(apps: Path, place: str, named: str) -> None:
    """An invalid address is one line that says why."""
    assert named in refusal(apps, place)


@pytest.mark.parametrize("kind", ["file", "dangling"])
def test_what_is_no_socket(apps: Path, tmp_path: Path, kind: str) -> None:
    """A path with something other than a socket is refused, and left as it is."""
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to("nowhere")
    assert "what is there is not a socket; choose another path" in refusal(apps, f"unix:{path}")
    assert os.path.lexists(path)


def test_a_live_socket(apps: Path, tmp_path: Path) -> None:
    """A socket that somebody listens on is refused; one whose owner was killed is replaced."""
    path = tmp_path / "s"
    env = {"RUNTIME_LISTEN": f"unix:{path}"}
    with running(apps, env=env) as runtime:
        line = refusal(apps, f"unix:{path}")
        assert "something listens there already; stop it or choose another path" in line
        with client_at(runtime.url) as client:
            assert client.get("/who/").status == 200
        runtime.stop(signal.SIGKILL)
    assert path.is_socket()
    with running(apps, env=env) as runtime, client_at(runtime.url) as client:
        assert client.get("/who/").status == 200


def test_the_socket_of_a_successor_stays(apps: Path, tmp_path: Path) -> None:
    """A runtime whose socket was replaced does not remove the new one when it ends."""
    path = tmp_path / "s"
    with running(apps, env={"RUNTIME_LISTEN": f"unix:{path}"}) as runtime:
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            assert runtime.stop() == 0
            assert path.is_socket()
