"""The script of jobs and of `helm test`, run by bash against a server."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.chart.cases import one, pods, rendered
from tests.chart.helm import CHART

SCRIPT = (CHART / "files/request.sh").read_text("utf-8")


class _Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names, and keeps the requests."""

    def do_POST(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextmanager
def answering() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, path: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {"METHOD": "POST", "SERVER": "127.0.0.1", "PORT": str(port), "REQUEST_HOST": "a.example"}
    env |= {"REQUEST_PATH": path, "TIMEOUT": "5", "SUCCESS": "2[0-9][0-9]", **more}
    return subprocess.run(
        ["bash", "-c", SCRIPT], env=env, capture_output=True, text=True, check=False
    )


def test_a_request(tmp_path: Path) -> None:
    """Only 2xx is success; the key is sent, without the newline of its file."""
    (tmp_path / "key").write_text("secret\n", "utf-8")
    with answering() as server:
        port = server.server_address[1]
        assert ask(port, "/204", KEY_FILE=str(tmp_path / "key")).returncode == 0
        assert ask(port, "/302").returncode == 1
        assert ask(port, "/500").stdout.startswith("POST /500: 500")
        [(_, first), (_, second), _] = server.seen  # type: ignore[attr-defined]
    assert (first["X-API-Key"], first["Host"]) == ("secret", "a.example")
    assert "X-API-Key" not in second


def test_nobody_answers() -> None:
    """If nothing listens, the script fails."""
    with answering() as server:
        port = server.server_address[1]
    assert ask(port, "/204").returncode != 0


@pytest.mark.parametrize("name", ["defaults", "everything"])
def test_pods_run_that_script(name: str) -> None:
    """Jobs and test pods run the script and ask the Service; values are only in variables."""
    service = one(rendered(name), "Service", "apps-buntime")["spec"]["ports"][0]["port"]
    found = [pod for title, pod in pods(rendered(name)) if title.startswith(("Pod", "CronJob"))]
    assert found
    for pod in found:
        [container] = pod["spec"]["containers"]
        assert container["command"] == ["bash", "-c", SCRIPT]
        given = {each["name"]: each["value"] for each in container["env"]}
        assert given["SERVER"] == "apps-buntime.web.svc"
        assert given["PORT"] == str(service)
