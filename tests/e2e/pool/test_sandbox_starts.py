"""A Python or package that an app brings runs in the app's sandbox from its start."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import SHARED, fetch
from tests.support.fence import KERNEL, needs_sandbox
from tests.support.harness import PACKAGES, Runtime, running, write_app
from tests.support.wheels import make_source

WORKERS_START_AFRESH = True  # the sandbox is that of a whole start, below the runtime

# A Python that `strict` allows: the app's own links to it.
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""

pytestmark = [
    needs_sandbox,
    pytest.mark.skipif(not SYSTEM_PYTHON, reason="the system has no Python"),
]

EACH = pytest.mark.parametrize("level", ["standard", "strict"])

# What a program tries at its start, and writes to TRACE.
TRIES = """
import json, os, signal, socket
def tried(act):
    try:
        return type(act()).__name__
    except OSError as exc:
        return type(exc).__name__
def port():
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 1))
pid = RUNTIME
with open("TRACE", "a") as trace:
    trace.write(json.dumps({"kind": KIND, "result": [tried(act) for act in (
        lambda: open("ROOT/apps/victim/app.py"),
        lambda: open("ROOT/state/key"),
        lambda: open("ROOT/beside", "w"),
        lambda: os.listdir("ROOT/apps"),
        lambda: open(f"/proc/{pid}/environ").read(),
        lambda: open(f"/proc/{pid}/oom_score_adj", "w").close(),
    )], "signal": tried(lambda: os.kill(pid, 0)), "port": tried(port)}) + "\\n")
"""
# A Python that an app has put in the place of its own. When the runtime asks what it needs, it also
# names folders that are closed to the app.
PYTHON = """#!REAL -IS
import subprocess, sys
RUNTIME = __import__("os").getppid()
KIND = "look" if "-c" in sys.argv else "worker"
TRIES
if KIND == "look":
    said = subprocess.run(["REAL", *sys.argv[1:]], capture_output=True, text=True).stdout
    answer = json.loads(said.rpartition("buntime-probe:")[2])
    answer["executable"] = sys.argv[0]
    answer["path"] += ["ROOT/apps/victim", "ROOT/state/data", "ROOT/state", "ROOT/apps"]
    print("buntime-probe:" + json.dumps(answer))
else:
    os.execv("REAL", ["REAL", *sys.argv[1:]])
"""
BUILD = """
KIND = "build"
import os
RUNTIME = int(open(f"/proc/{os.getsid(0)}/stat").read().rpartition(")")[2].split()[1])
TRIES
"""
APP = """
import os
from buntime import Response
def fetch(request):
    try:
        return Response(open(request.query["file"]).read())
    except OSError as exc:
        return Response(type(exc).__name__)
"""
DENIED = ["PermissionError"] * 6
FREE = ["TextIOWrapper"] * 3 + ["list", "str", "NoneType"]


class Place:
    """A runtime's folders, with an app to spy on, and a trace of what each app's programs
    report."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._traces: dict[str, Path] = {}
        write_app(root / "apps/victim", {"app.py": "SECRET = 1\n" + APP}, ttl=60)
        (root / "state/data").mkdir(parents=True)
        (root / "state/key").write_text("secret")

    def code(self, name: str, template: str) -> str:
        trace = self._traces.setdefault(name, SHARED / f"{self.root.name}-{name}")
        trace.touch()
        told = {"TRIES": TRIES, "REAL": SYSTEM_PYTHON, "ROOT": self.root, "TRACE": trace}
        for word, value in told.items():
            template = template.replace(word, str(value))
        return template

    def add(self, name: str, place: str, **manifest: object) -> None:
        """Add an app, which appears at once with all its files."""
        folder = write_app(self.root / name, {"app.py": APP}, **manifest)
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.code(name, PYTHON))
        path.chmod(0o755)
        folder.rename(self.root / "apps" / name)

    def told(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._traces[name].read_text().splitlines()]

    def forget(self) -> None:
        for trace in self._traces.values():
            trace.unlink()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="starts-") as name:
        made = Place(Path(name).resolve())
        yield made
        made.forget()


@pytest.fixture(scope="module")
def runtime(place: Place) -> Iterator[Runtime]:
    """It finds the apps as they come."""
    env = {"RUNTIME_STATE_DIR": str(place.root / "state"), "PIP_NO_INDEX": "1"}
    env |= {**PACKAGES, "PIP_CONFIG_FILE": os.devnull}
    with running(place.root / "apps", env=env) as started:
        yield started


def check(told: list[dict[str, object]], kinds: set[str]) -> None:
    """Each kind of program has run, and all were denied what is not the app's."""
    assert {each["kind"] for each in told} == kinds
    for each in told:
        assert each["result"] == DENIED, each
        assert each["signal"] == ("PermissionError" if KERNEL.abi >= 6 else "NoneType")
        assert each["port"] == "PermissionError"


@pytest.mark.parametrize(
    ("level", "ttl", "key"),
    [
        ("standard", 0, "venv"),
        ("standard", 60, "venv"),
        ("standard", 0, "python"),
        ("strict", 60, "venv"),
        ("strict", 0, "python"),
    ],
)
def test_an_app_s_own_python(
    place: Place, runtime: Runtime, level: str, ttl: int, key: str
) -> None:
    """An app's own Python may do no more than the app, both when it is examined and in a worker."""
    app = f"own-{level}-{ttl}-{key}"
    name, manifest = (".venv/bin/python", {}) if key == "venv" else ("mine", {"python": "./mine"})
    place.add(app, name, sandbox=level, ttl=ttl, **manifest)
    path = f"/{app}/?file={place.root}/apps/{app}/app.py"
    assert fetch(runtime, path).body.decode() == APP
    check(place.told(app), {"look", "worker"})


@EACH
def test_what_it_says_opens_nothing(place: Place, runtime: Runtime, level: str) -> None:
    """Folders that an app's own Python claims to need do not open if they are closed to the app."""
    place.add(f"says-{level}", ".venv/bin/python", sandbox=level, ttl=60)
    for file in ("apps/victim/app.py", "state/key"):
        answer = fetch(runtime, f"/says-{level}/?file={place.root}/{file}")
        assert answer.body == b"PermissionError"


def test_a_link_opens_nothing(place: Place, runtime: Runtime) -> None:
    """If the app's Python is a link into another app's folder, that folder stays closed."""
    place.add("other", "lib/bin/python")
    (place.root / "apps/other/lib/data").write_text("other's")
    python = place.root / "links/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(place.root / "apps/other/lib/bin/python")
    write_app(place.root / "links", {"app.py": APP}, ttl=60)
    (place.root / "links").rename(place.root / "apps/links")
    answer = fetch(runtime, f"/links/?file={place.root}/apps/other/lib/data")
    assert answer.status == 500 or answer.body == b"PermissionError"


def test_off(place: Place, runtime: Runtime) -> None:
    """Without a sandbox, the Python starts without one."""
    place.add("off", ".venv/bin/python", sandbox="off", ttl=60)
    assert fetch(runtime, f"/off/?file={place.root}/state/key").body == b"secret"
    assert {tuple(each["result"]) for each in place.told("off")} == {tuple(FREE)}  # type: ignore[arg-type]


@EACH
def test_a_package_that_is_built(place: Place, runtime: Runtime, level: str) -> None:
    """A package for an app is built in the app's sandbox, which has what the build needs."""
    app = f"built-{level}"
    files = {
        "app.py": "import tiny\n" + APP,
        "requirements.lock": "./pkg\n",
        **{f"pkg/{name}": text for name, text in make_source(place.code(app, BUILD)).items()},
    }
    write_app(place.root / app, files, autoInstall=True, sandbox=level, ttl=60)
    (place.root / app).rename(place.root / "apps" / app)
    answer = fetch(runtime, f"/{app}/?file={place.root}/apps/victim/app.py")
    assert (answer.status, answer.body) == (200, b"PermissionError")
    check(place.told(app), {"build"})
