"""Sessions over the loopback of a runtime that is not root, beside an app that has a secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import (
    OPERATORS_KEY,
    ROOT,
    UNDER_TEST,
    Runtime,
    running,
    wait_until,
    write_app,
)
from tests.support.operators import ADMIN, address_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

IS_ROOT = os.geteuid() == 0
NOBODY = 65534
# The tests' own Python may be closed to other users.
PYTHON = (IS_ROOT and shutil.which("python3", path="/usr/bin:/usr/local/bin")) or sys.executable
PACKAGES = str(Path(pytest.__file__).resolve().parents[1])
ENV = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"}
# What a browser asks: to sign in with a key, or what a cookie allows. Prints a JSON list.
ASK = """
import http.client, json, sys
port, key, cookie = sys.argv[1:]
fields = {"Sec-Fetch-Site": "same-origin", "Cookie": cookie}
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
if key:
    fields |= {"Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json"}
    connection.request("POST", "/api/session", json.dumps({"key": key}), fields)
    answer = connection.getresponse()
    answer.read()
    cookie = (answer.headers.get("set-cookie") or "").partition(";")[0]
connection.request("GET", "/api/workers", None, {"Sec-Fetch-Site": "same-origin", "Cookie": cookie})
print(json.dumps([cookie, connection.getresponse().status]))
"""
VAULT = (
    "import subprocess, sys\nfrom buntime import Response\n"
    f"ASK = {ASK!r}\n"
    """
def fetch(request):
    query = request.query
    if "port" not in query:
        return Response("locked")
    argv = [sys.executable, "-c", ASK, query["port"], "", query["cookie"]]
    return Response(subprocess.run(argv, capture_output=True, text=True).stdout)
"""
)


def as_user(*argv: str) -> list[str]:
    """The command that runs `argv` as the runtime's user."""
    if not IS_ROOT:
        return [*argv]
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the runtime's user, as pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="loopback-"))
    write_app(folder / "apps" / "vault", {"app.py": VAULT}, ttl=60, secrets=["PIN"])
    for path in (folder / "state", folder / "cache"):
        path.mkdir()
    if IS_ROOT:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def runtime(place: Path) -> Iterator[Runtime]:
    tried = subprocess.run(
        as_user(PYTHON, "-c", "import h11, yaml, buntime.server.runtime"),
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    if UNDER_TEST or tried.returncode:
        pytest.skip(f"no runtime of another user can be started: {tried.stderr[-300:]}")
    env = {
        **ENV,
        "HOME": str(place),
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": OPERATORS_KEY,
        "RUNTIME_STATE_DIR": str(place / "state"),
        "XDG_CACHE_HOME": str(place / "cache"),
        **ADMIN,
    }
    with running(place / "apps", env=env, start=as_user(PYTHON, str(ROOT / "buntime.py"))) as found:
        yield found


def opened(runtime: Runtime) -> None:
    """Gives the app its secret, and so a worker that no process of its user can look into."""
    body = json.dumps({"value": "1234"}).encode()
    fields = {"X-API-Key": OPERATORS_KEY, "Content-Type": "application/json"}
    path = "/api/apps/vault/secrets/PIN"
    assert fetch(runtime, path, method="PUT", headers=fields, body=body).status in (200, 201, 204)
    wait_until(lambda: fetch(runtime, "/vault/").status == 200, what="the app has its secret")


def test_a_browser_of_the_runtimes_own_user(runtime: Runtime) -> None:
    """A browser gets a session, which an app cannot use, though its worker has the same user."""
    opened(runtime)
    port = address_of(runtime).rpartition(":")[2]
    line = as_user(PYTHON, "-c", ASK, port, OPERATORS_KEY, "")
    told = subprocess.run(line, env=ENV, capture_output=True, text=True, check=True, timeout=60)
    cookie, status = json.loads(told.stdout)
    assert cookie.startswith("bt=")
    assert status == 200
    answer = fetch(runtime, f"/vault/?port={port}&cookie={cookie}")
    assert json.loads(answer.body) == [cookie, 401]
    runtime.wait_for_record("session.refused")
