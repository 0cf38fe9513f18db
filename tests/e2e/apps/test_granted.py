"""Secrets: an app gets those that were granted to it, and they are found nowhere else."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.server.state.secretfiles import SecretFiles
from tests.support.client import Answer, fetch
from tests.support.fence import needs_sandbox
from tests.support.harness import ROOT, Runtime, running, wait_until, write_app
from tests.support.pluginfolders import write_plugin
from tests.support.runs import run
from tests.test_docs import examples

WORKERS_START_AFRESH = True  # /proc shows what a start has given to workers

DOC = (ROOT / "docs/secrets.md").read_text("utf-8")
SHOWN, HIDDEN = "a-value-in-the-environment", "a-value-in-no-environment"
PREVIOUS = "a-value-that-was"

APP = """
import os
from buntime import Response, secret
AT_IMPORT = secret("KEY"), secret("HIDDEN"), os.environ["KEY"], os.environ.get("HIDDEN")

def fetch(request):
    scope = dict(globals())
    exec(request.text(), scope)
    return Response.json(scope.get("result"))
"""
[EXAMPLE] = examples(DOC, "python")
MANIFEST = examples(DOC, "yaml")[0]
# Another app, which looks wherever it can.
SPY = """
import os
from buntime import Response
WANTED = [b"a-value-in-the-environment", b"a-value-in-no-environment"]

def holds(path):
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 22)
    except OSError:
        return False
    return any(each in data for each in WANTED)

def fetch(request):
    found = [path for path in map(str, request.query["paths"].split(",")) if holds(path)]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        shown = [f"/proc/{pid}/{name}" for name in ("environ", "cmdline")]
        found += [path for path in shown if holds(path)]
        try:
            open(f"/proc/{pid}/mem", "rb").close()
            if pid == request.query["worker"]:
                found.append("mem")
        except OSError:
            pass
    return Response.json(found)
"""
WATCHES = """
from buntime import secret
from buntime.plugin import plugin
SECRET = secret("KEY")
def on_request(request):
    plugin.log.info(f"asked {dir(request)} {request.headers}")
def on_worker_spawn(event):
    plugin.log.info(f"spawned {event}")
"""


class Place:
    def __init__(self, root: Path, runtime: Runtime) -> None:
        self.root = root
        self.runtime = runtime
        self.files = SecretFiles(str(root / "state"))

    def run(self, code: str, app: str = "shop") -> Any:
        answer = fetch(self.runtime, f"/{app}/", method="POST", body=code.encode())
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("granted").resolve()
    secrets = {"KEY": {}, "HIDDEN": {"env": False}}
    write_app(root / "apps/shop", {"app.py": APP}, ttl=600, secrets=secrets)
    write_app(root / "apps/once", {"app.py": APP}, secrets=secrets)
    write_app(root / "apps/strict", {"app.py": APP}, ttl=600, sandbox="strict", secrets=secrets)
    write_app(root / "apps/spy", {"app.py": SPY}, ttl=600)
    write_app(root / "apps/lacks", {"app.py": APP}, ttl=600, secrets=["KEY", "LACKING"])
    broken = 'import os\nfrom buntime import secret\nKEY = secret("KEY")\nraise RuntimeError(1)\n'
    write_app(root / "apps/broken", {"app.py": broken}, ttl=600, secrets=["KEY"])
    write_plugin(root / "plugins", "watch", WATCHES, secrets=["KEY"])
    write_app(root / "apps/example", {"app.py": EXAMPLE})
    (root / "apps/example/buntime.yaml").write_text(MANIFEST)
    files = SecretFiles(str(root / "state"))
    (root / "state").mkdir()
    for name in ("DATABASE_URL", "STRIPE_KEY"):
        files.set("example", name, "seven-7")
    for holder in ("shop", "once", "strict", "lacks", "broken", "plugin:watch"):
        files.set(holder, "KEY", SHOWN)
        files.set(holder, "HIDDEN", HIDDEN)
    (root / "mounted").mkdir()
    (root / "mounted/nobody.KEY").write_text(SHOWN)
    env = {
        "RUNTIME_STATE_DIR": str(root / "state"),
        "RUNTIME_SECRETS_DIR": str(root / "mounted"),
        "RUNTIME_PLUGIN_DIRS": str(root / "plugins"),
        "RUNTIME_LOG_FILE": str(root / "log"),
    }
    with running(root / "apps", env=env) as runtime:
        yield Place(root, runtime)


def test_the_example_of_the_docs(place: Place) -> None:
    """The example runs exactly as written."""
    assert fetch(place.runtime, "/example/").body == b"a key of 7 characters"


@pytest.mark.parametrize("app", ["shop", "once", "strict"])
def test_an_app_gets_what_was_granted(place: Place, app: str) -> None:
    """Secrets are in os.environ and in `secret` from the import on, hidden ones only in
    `secret`."""
    assert place.run("result = AT_IMPORT", app) == [SHOWN, HIDDEN, SHOWN, None]
    code = "import subprocess; result = subprocess.check_output('env', text=True)"
    inherited = place.run(code, app)
    assert f"KEY={SHOWN}" in inherited
    assert HIDDEN not in inherited


def test_one_that_was_not_granted(place: Place) -> None:
    """A secret that was not granted raises an error that says what to do."""
    code = "try:\n secret('OTHER')\nexcept LookupError as exc:\n result = str(exc)"
    assert "name it in `secrets` of its manifest" in place.run(code)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")
def test_the_process_does_not_show_them(place: Place) -> None:
    """Secrets are neither in the environment that a worker was started with nor in its command
    line; and the manifest that it gets has only their names."""
    pid = place.run("result = os.getpid()")
    for name in ("environ", "cmdline"):
        data = Path(f"/proc/{pid}/{name}").read_bytes()
        assert SHOWN.encode() not in data
        assert HIDDEN.encode() not in data
    config = place.run("result = os.environ['WORKER_CONFIG']")
    assert json.loads(config)["secrets"] == {"KEY": {}, "HIDDEN": {"env": False}}
    assert SHOWN not in config


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")
@needs_sandbox
def test_another_app_does_not_find_them(place: Place) -> None:
    """Another app finds them neither in files nor in others' processes."""
    worker = place.run("result = os.getpid()")
    paths = [str(path) for path in (place.root / "state/secrets").rglob("*") if path.is_file()]
    assert len(paths) >= 10
    paths.append(str(place.root / "mounted/nobody.KEY"))
    answer = fetch(place.runtime, f"/spy/?worker={worker}&paths={','.join(paths)}")
    assert answer.json() == []


def test_no_frame_of_a_worker_has_them(place: Place) -> None:
    """A traceback with the locals of each frame, as debug pages show, contains none."""
    code = """
import sys
OWN = ("AT_IMPORT", "scope", "result")
result = ""
for frame in sys._current_frames().values():
    while frame is not None:
        result += repr({k: v for k, v in frame.f_locals.items() if k not in OWN})
        frame = frame.f_back
"""
    told = place.run(code).replace("AT_IMPORT", "")
    assert "fetch" in told
    assert HIDDEN not in told


def test_what_an_app_lacks_is_told(place: Place) -> None:
    """The boot error names a missing secret and the command, on the page and in the log."""
    answer = fetch(place.runtime, "/lacks/")
    words = "the secret LACKING is not set; set it with: buntime secrets set lacks LACKING"
    assert answer.status == 500
    assert words in answer.body.decode()
    record = place.runtime.wait_for_record("app.boot_failed", app="lacks")
    assert words in record["error"]
    assert record["hint"] == "buntime show lacks --errors"


def test_a_change_loads_the_app_anew(place: Place) -> None:
    """A secret that is set while the runtime runs takes effect without a request to the app."""
    write_app(
        place.root / "apps/changing",
        {"app.py": 'from buntime import Response, secret\nV = secret("KEY")\n'
                   "def fetch(request): return Response(V)\n"},
        prewarm=1,
        secrets=["KEY"],
    )  # fmt: skip
    assert fetch(place.runtime, "/changing/").status == 500
    (place.root / "mounted/changing.KEY").write_text(PREVIOUS)
    place.runtime.process.send_signal(signal.SIGHUP)

    def answers(value: str) -> bool:
        return fetch(place.runtime, "/changing/").body == value.encode()

    wait_until(lambda: answers(PREVIOUS))
    (place.root / "mounted/changing.KEY").write_text("another")
    place.runtime.process.send_signal(signal.SIGHUP)
    wait_until(lambda: answers("another"))


def put(place: Place, path: str, value: object, method: str = "PUT") -> Answer:
    body = None if method == "DELETE" else json.dumps({"value": value}).encode()
    return fetch(place.runtime, f"/api/{path}", method=method, body=body)


def test_the_api(place: Place) -> None:
    """Secrets are set, listed and removed, and no answer has a value; an app gets what was set."""
    set_to = put(place, "apps/@acme/api/secrets/KEY", SHOWN)
    assert (set_to.status, set_to.json()) == (
        200,
        {
            "holder": "@acme/api",
            "name": "KEY",
            "replaced": False,
            "isKnown": False,
            "isUsed": False,
        },
    )
    source = 'from buntime import Response, secret\ndef fetch(_): return Response(secret("KEY"))\n'
    write_app(place.root / "apps/@acme/api", {"app.py": source}, ttl=600, secrets=["KEY", "MORE"])
    path = "apps/@acme/api/secrets"
    wait_until(lambda: fetch(place.runtime, f"/api/{path}").json()["missing"] == ["MORE"])
    again = put(place, f"{path}/MORE", PREVIOUS).json()
    assert (again["isKnown"], again["isUsed"]) == (True, True)
    wait_until(lambda: fetch(place.runtime, "/@acme/api/").body == SHOWN.encode())
    assert put(place, f"{path}/KEY?dryRun=1", "other").json()["replaced"]
    assert put(place, f"{path}/KEY", "other").json()["replaced"]
    wait_until(lambda: fetch(place.runtime, "/@acme/api/").body == b"other")
    told = fetch(place.runtime, f"/api/{path}").json()
    assert [(each["name"], each["origin"], each["isUsed"]) for each in told["secrets"]] == [
        ("KEY", "state", True),
        ("MORE", "state", True),
    ]
    assert put(place, f"{path}/MORE", None, "DELETE").status == 200
    assert put(place, f"{path}/MORE", None, "DELETE").error["code"] == "secret_not_found"
    assert put(place, f"{path}/KEY?preview=1", "theirs").json()["holder"] == "@acme/api@preview"
    assert b"buntime secrets set @acme/api MORE" in fetch(place.runtime, "/@acme/api/").body
    told = put(place, "plugins/watch/secrets/OTHER", "x").json()
    assert (told["holder"], told["isKnown"], told["isUsed"]) == ("plugin:watch", True, False)
    assert put(place, "plugins/watch/secrets/KEY", PREVIOUS).json()["isUsed"]
    place.runtime.wait_for_record("plugin.reloading", plugin="watch")


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("apps/shop/secrets/LD_PRELOAD", "hunter2", "bad_name"),
        ("apps/shop/secrets/lower", "hunter2", "bad_name"),
        ("apps/shop/secrets/KEY", {"hunter2": 1}, "bad_value"),
        ("apps/shop/secrets/KEY", "hunter2\0", "bad_value"),
        ("apps/shop/secrets/KEY", "hunter2" * 10_000, "bad_value"),
        ("apps/shop/secrets/KEY", "hunter2" * 100_000, "body_too_large"),
        ("apps/..%2fshop/secrets/KEY", "hunter2", "app_not_found"),
        ("apps/mounted/secrets/KEY", "hunter2", "secret_mounted"),
    ],
)
def test_what_the_api_refuses(place: Place, path: str, value: object, code: str) -> None:
    """Bad names and values, and secrets kept elsewhere, are refused, with no value in the error."""
    (place.root / "mounted/mounted.KEY").write_text("theirs")
    if code == "secret_mounted":
        place.runtime.process.send_signal(signal.SIGHUP)
        place.runtime.wait_for_record("secret.changed", holder="mounted")
    answer = put(place, path, value)
    assert answer.error["code"] == code
    assert b"hunter2" not in answer.body


def test_nothing_tells_a_value(place: Place) -> None:
    """No log, error page, API answer or metric contains a value; nor does `buntime config show`."""
    key = {"X-API-Key": str(place.runtime.operators_key)}
    told: list[Answer] = [
        fetch(place.runtime, path, headers=key)
        for path in (
            "/api/workers", "/api/plugins", "/api/apps", "/api/apps/shop", "/api/apps/broken",
            "/api/apps/shop/secrets", "/api/audit", "/api/logs?app=shop", "/api/config",
            "/api/openapi.json", "/metrics", "/broken/", "/lacks/", "/nowhere/",
        )
    ]  # fmt: skip
    assert [each.status for each in told[:11]] == [200] * 11
    place.runtime.wait_for_record("plugin.output")
    everything = str([(each.headers.items(), each.body) for each in told])
    everything += str(place.runtime.records) + (place.root / "log").read_text()
    kept = [path for path in (place.root / "state").rglob("*") if path.is_file()]
    others = [path for path in kept if "secrets" not in path.parts]
    assert {"state.db", "logs"} <= {
        path.relative_to(place.root / "state").parts[0] for path in others
    }
    everything += "".join(path.read_text("latin-1") for path in others)
    for value in (SHOWN, HIDDEN, PREVIOUS):
        assert value not in everything
    env = {"RUNTIME_STATE_DIR": str(place.root / "state")}
    shown = run("config", "show", "--json", cwd=place.root, env=env)
    assert (shown.returncode, SHOWN in shown.stdout + shown.stderr) == (0, False)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has such a call")
def test_a_worker_with_secrets_is_closed(place: Place) -> None:
    """A worker is closed to others of its user, and to memory dumps; what it starts is not."""
    code = """
import ctypes, resource, subprocess, sys
dumpable = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
result = [ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), list(resource.getrlimit(resource.RLIMIT_CORE)),
          subprocess.check_output([sys.executable, "-c", dumpable], text=True)]
"""
    assert place.run(code) == [0, [0, 0], "1\n"]


PICKY = """
from buntime import Response, secret
VALUE = secret("KEY")
if VALUE == "wrong":
    raise RuntimeError("the database refuses")
def fetch(request): return Response(VALUE)
"""


def test_what_serves_serves_on(tmp_path: Path) -> None:
    """In production a value that an app cannot load with, or a removed one, stops nothing; the next
    good one is used, even without a request."""
    write_app(tmp_path / "apps/shop", {"app.py": PICKY}, ttl=600, secrets=["KEY"])
    (tmp_path / "mounted").mkdir()
    file = tmp_path / "mounted/shop.KEY"
    env = {"RUNTIME_ENV": "production", "RUNTIME_SECRETS_DIR": str(tmp_path / "mounted")}
    file.write_text("right")
    with running(tmp_path / "apps", env=env) as runtime:
        assert fetch(runtime, "/shop/").body == b"right"
        for value in ("wrong", None):
            file.unlink() if value is None else file.write_text(value)
            runtime.process.send_signal(signal.SIGHUP)
            record = runtime.wait_for_new("app.change_boot_failed")
            assert record["app"] == "shop"
            assert fetch(runtime, "/shop/").body == b"right"
        file.write_text("better")
        runtime.process.send_signal(signal.SIGHUP)
        runtime.wait_for_new("app.changed")
        assert fetch(runtime, "/shop/").body == b"better"


DUMPS = """
import os, resource, sys
sys.path.insert(0, {root!r})
from buntime.confine import close_process
kept = b"{value}" * 1000
_, most = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
if {closes}:
    close_process()
os.abort()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has such a call")
@pytest.mark.parametrize("closes", [False, True])
def test_a_core_dump(tmp_path: Path, closes: bool) -> None:
    """The kernel dumps no process that has closed itself, whatever its limit is."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("nothing leaves dumps here")
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("dumps go elsewhere here")
    code = DUMPS.format(root=str(ROOT), value=SHOWN, closes=closes)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGABRT
    dumps = list(tmp_path.glob("core*"))
    assert [SHOWN.encode() in each.read_bytes() for each in dumps] == ([] if closes else [True])
