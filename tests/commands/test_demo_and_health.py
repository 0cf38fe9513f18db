"""`buntime demo` serves the examples; `buntime health` says whether a runtime takes requests."""

from __future__ import annotations

import contextlib
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from buntime.commands.arguments import Command
from buntime.commands.demo import copy_examples
from buntime.commands.demo import run as run_demo
from buntime.core.settings.load import Settings
from tests.support.harness import STOP_S, Runtime, begin, running
from tests.support.runs import environ, run

EXAMPLES = {
    "chat",
    "clock",
    "guestbook",
    "hello@1.0.0",
    "hello@2.0.0",
    "mirror",
    "pulse",
    "site",
    "todos",
}

ASKS = "is it running and listening there?"


@contextlib.contextmanager
def demo(tmp_path: Path, *flags: str) -> Iterator[Runtime]:
    words = ["demo", *flags, "--port", "0", "--log-format", "json"]
    process = begin(words, environ(), cwd=tmp_path)
    try:
        yield Runtime(process)
    finally:
        process.terminate()
        process.wait(STOP_S)
        assert process.stdout is not None
        process.stdout.close()


def test_demo(tmp_path: Path) -> None:
    """The examples are served to this machine only; `health` reports success until the end."""
    with demo(tmp_path) as runtime:
        record = runtime.wait_for_record("runtime.listening")
        assert (set(record["apps"]), record["env"]) == (EXAMPLES, "development")
        assert runtime.url.startswith("http://127.0.0.1:")
        assert "world" in httpx.get(f"{runtime.url}/hello/", verify=False).text
        assert httpx.get(f"{runtime.url}/site/", verify=False).status_code == 200
        done = run("health", runtime.url, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
        done = run("health", cwd=tmp_path, env={"PORT": str(runtime.port)})
        assert (done.returncode, done.stdout) == (0, "ok\n")
        assert runtime.stop() == 0
    done = run("health", runtime.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"buntime: cannot reach 127.0.0.1 port {runtime.port}: Connection refused; {ASKS}\n"
    )


def test_demo_takes_no_folders(tmp_path: Path) -> None:
    """A folder given to `demo` is an error."""
    done = run("demo", "apps", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "demo takes no folders" in done.stderr


def test_examples_from_an_archive(tmp_path: Path) -> None:
    """All examples that exist only within the .pyz are copied out of it."""
    archive = tmp_path / "x.pyz"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("content/apps/hello/1.0.0/index.py", "a")
        made.writestr("content/apps/site/index.html", "b")
        made.writestr("content/buntime/__init__.py", "c")
    copy_examples(archive / "content/apps", tmp_path / "copy")
    assert {str(p.relative_to(tmp_path / "copy")): p.read_text()
            for p in (tmp_path / "copy").rglob("*.*") if p.is_file()} == {
        "hello/1.0.0/index.py": "a", "site/index.html": "b"}  # fmt: skip


def test_demo_from_an_archive(tmp_path: Path) -> None:
    """A copy is served while the demo runs, and is removed at its end."""
    archive = tmp_path / "x.pyz"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("content/apps/site/index.html", "b")
    served: list[Path] = []

    def serve(settings: Settings, read: Callable[[], Settings]) -> int:
        served.extend(map(Path, settings.worker_dirs))
        assert (served[0] / "site/index.html").read_text() == "b"
        assert settings == read()
        return 7

    asked = Command("demo", {"env": "production"})
    assert run_demo(asked, "pyz", serve, archive / "content/apps") == 7
    assert not served[0].exists()


def test_health_of_a_unix_socket(tmp_path: Path) -> None:
    """Settings say where to ask, and below which prefix; `.env` counts too."""
    path = tmp_path / "s"
    (tmp_path / "apps").mkdir()
    settings = {"RUNTIME_LISTEN": f"unix:{path}", "RUNTIME_API_PREFIX": "/_"}
    with running(tmp_path / "apps", env=settings):
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (tmp_path / ".env").write_text(lines)
        assert run("health", cwd=tmp_path).stdout == "ok\n"
        (tmp_path / ".env").unlink()
        assert run("health", "--listen", f"unix:{path}", cwd=tmp_path).returncode == 1
        done = run("health", f"unix:{path}", "--api-prefix", "/_", cwd=tmp_path)
        assert done.stdout == "ok\n"
    done = run("health", f"unix:{path}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        f"buntime: cannot reach unix:{path}: No such file or directory; {ASKS}\n",
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered /api/health/ready with 503"),
        (b"SSH-2.0-OpenSSH\r\n", "answered /api/health/ready with no HTTP"),
        (b"", "answered /api/health/ready with no HTTP"),
    ],
)
def test_unhealthy(tmp_path: Path, answer: bytes, told: str) -> None:
    """An answer other than 200 gives exit code 1, and is printed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock = server.accept()[0]
            with sock:
                sock.recv(4096)
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        done = run("health", f"http://127.0.0.1:{server.getsockname()[1]}", cwd=tmp_path)
        thread.join()
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr


@pytest.mark.parametrize("url", ["https://x", "127.0.0.1:80", "http://", "http://x:99999", "unix:"])
def test_faulty_urls(tmp_path: Path, url: str) -> None:
    """A URL that cannot be asked is a usage error, not bad health."""
    done = run("health", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not an address to ask" in done.stderr
