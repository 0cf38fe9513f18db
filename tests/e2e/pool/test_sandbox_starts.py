"""A Python or package that an app brings runs in the app's sandbox from its start."""

from __future__ import annotations

import contextlib
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
BACKEND = """
import zipfile
KIND = "build"
import os
RUNTIME = int(open(f"/proc/{os.getsid(0)}/stat").read().rpartition(")")[2].split()[1])
TRIES
def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "VALUE = 'tiny'")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "tiny-1.0-py3-none-any.whl"
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
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
    """A runtime's folders, with an app to spy on, and a trace of what programs report."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trace = SHARED / f"{root.name}-trace"
        self.trace.touch()
        write_app(root / "apps/victim", {"app.py": "SECRET = 1\n" + APP}, ttl=60)
        (root / "state/data").mkdir(parents=True)
        (root / "state/key").write_text("secret")

    def code(self, template: str) -> str:
        told = {"TRIES": TRIES, "REAL": SYSTEM_PYTHON, "ROOT": self.root, "TRACE": self.trace}
        for name, value in told.items():
            template = template.replace(name, str(value))
        return template

    def add(self, name: str, place: str, **manifest: object) -> None:
        folder = write_app(self.root / "apps" / name, {"app.py": APP}, **manifest)
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.code(PYTHON))
        path.chmod(0o755)

    def told(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.trace.read_text().splitlines()]


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="starts-") as name:
        made = Place(Path(name).resolve())
        yield made
        made.trace.unlink()


def served(place: Place, **env: str) -> contextlib.AbstractContextManager[Runtime]:
    env = {"RUNTIME_STATE_DIR": str(place.root / "state"), **env}
    return running(place.root / "apps", env=env)


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
def test_an_app_s_own_python(place: Place, level: str, ttl: int, key: str) -> None:
    """An app's own Python may do no more than the app, both when it is examined and in a worker."""
    name, manifest = (".venv/bin/python", {}) if key == "venv" else ("mine", {"python": "./mine"})
    place.add("shop", name, sandbox=level, ttl=ttl, **manifest)
    with served(place) as runtime:
        path = f"/shop/?file={place.root}/apps/shop/app.py"
        assert fetch(runtime, path).body.decode() == APP
    check(place.told(), {"look", "worker"})


@EACH
def test_what_it_says_opens_nothing(place: Place, level: str) -> None:
    """Folders that an app's own Python claims to need do not open if they are closed to the app."""
    place.add("shop", ".venv/bin/python", sandbox=level, ttl=60)
    with served(place) as runtime:
        for file in ("apps/victim/app.py", "state/key"):
            assert fetch(runtime, f"/shop/?file={place.root}/{file}").body == b"PermissionError"


def test_a_link_opens_nothing(place: Place) -> None:
    """If the app's Python is a link into another app's folder, that folder stays closed."""
    place.add("other", "lib/bin/python")
    folder = write_app(place.root / "apps/shop", {"app.py": APP}, ttl=60)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(place.root / "apps/other/lib/bin/python")
    (place.root / "apps/other/lib/data").write_text("other's")
    with served(place) as runtime:
        answer = fetch(runtime, f"/shop/?file={place.root}/apps/other/lib/data")
        assert answer.status == 500 or answer.body == b"PermissionError"


def test_off(place: Place) -> None:
    """Without a sandbox, the Python starts without one."""
    place.add("shop", ".venv/bin/python", sandbox="off", ttl=60)
    with served(place) as runtime:
        assert fetch(runtime, f"/shop/?file={place.root}/state/key").body == b"secret"
    assert {tuple(each["result"]) for each in place.told()} == {tuple(FREE)}  # type: ignore[arg-type]


@EACH
def test_a_package_that_is_built(place: Place, level: str) -> None:
    """A package for an app is built in the app's sandbox, which has what the build needs."""
    files = {
        "app.py": "import tiny\n" + APP,
        "requirements.lock": "./pkg\n",
        "pkg/pyproject.toml": PROJECT,
        "pkg/backend.py": place.code(BACKEND),
    }
    write_app(place.root / "apps/shop", files, autoInstall=True, sandbox=level, ttl=60)
    env = {**PACKAGES, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    with served(place, **env) as runtime:
        answer = fetch(runtime, f"/shop/?file={place.root}/apps/victim/app.py")
        assert (answer.status, answer.body) == (200, b"PermissionError")
    check(place.told(), {"build"})
