"""Which user workers run as, and what the system lets them do."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import parse_manifest
from buntime.core.errors import ManifestError
from buntime.server.pythons.users import User, Users
from tests.support.client import fetch
from tests.support.fence import KERNEL
from tests.support.harness import Runtime, running, wait_until, write_app

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can change to another user")
needs_system_python = pytest.mark.skipif(
    not SYSTEM_PYTHON, reason="there is no Python that every user can read"
)

TELLS = """
import os
AT_IMPORT = os.getresuid()
import resource, subprocess, sys
from buntime import Response

def facts():
    status = dict(line.split(":", 1) for line in open("/proc/thread-self/status"))
    return {
        "at_import": AT_IMPORT,
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "home": os.environ["HOME"],
        "nice": os.nice(0),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "capabilities": status["CapEff"].strip(),
    }
"""
SYNC = (
    TELLS
    + """
def fetch(request):
    if request.path == "/program":
        done = subprocess.run("id -u; echo told > /dev/stderr", shell=True,
                              stdout=subprocess.PIPE, text=True)
        return Response(done.stdout)
    if request.path == "/become-root":
        try:
            os.setuid(0)
        except PermissionError:
            return Response("refused")
    return Response.json(facts())
"""
)
ASYNC = (
    TELLS
    + """
async def fetch(request):
    return Response.json(facts())
"""
)
WSGI = (
    TELLS
    + """
import json
def app(environ, start_response):
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps(facts()).encode()]
"""
)


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A folder that every user can read; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="buntime-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runtime(public: Path) -> Iterator[Runtime]:
    apps = public / "apps"
    nobody = {"user": "nobody", "python": SYSTEM_PYTHON}
    write_app(apps / "plain", {"app.py": SYNC})
    write_app(apps / "kind", {"app.py": SYNC}, nice=7)
    write_app(apps / "sync", {"app.py": SYNC}, ttl=60, **nobody)
    write_app(apps / "once", {"app.py": SYNC}, **nobody)
    write_app(apps / "async", {"app.py": ASYNC}, ttl=60, **nobody)
    write_app(apps / "wsgi", {"app.py": WSGI}, ttl=60, **nobody)
    write_app(apps / "open", {"app.py": SYNC}, sandbox="off", **nobody)
    write_app(apps / "numbers", {"app.py": SYNC}, user="12345:23456", python=SYSTEM_PYTHON)
    write_app(apps / "closed", {"app.py": SYNC}, **nobody).chmod(0o700)
    write_app(apps / "unreadable", {"app.py": SYNC}, **nobody)
    (apps / "unreadable/app.py").chmod(0o600)
    write_app(apps / "stranger", {"app.py": SYNC}, user="no-such-user")
    with running(apps) as started:
        yield started


def facts(runtime: Runtime, name: str) -> Any:
    answer = fetch(runtime, f"/{name}/")
    assert answer.status == 200, answer.body
    return answer.json()


def test_limits(runtime: Runtime) -> None:
    """A worker may open 4096 files, leaves no core dumps, and has the runtime's nice value."""
    told = facts(runtime, "plain")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert told["files"] == [4096 if hard < 0 else min(4096, hard), hard]
    assert told["core"] == [0, 0]
    assert told["nice"] == os.nice(0)
    assert told["uids"] == [os.geteuid()] * 3


def test_nice(runtime: Runtime) -> None:
    """`nice` is added to the runtime's own."""
    assert facts(runtime, "kind")["nice"] == min(19, os.nice(0) + 7)


@needs_root
@needs_system_python
@pytest.mark.parametrize("name", ["sync", "once", "async", "wsgi"])
def test_another_user(runtime: Runtime, name: str) -> None:
    """An app of any kind runs as its user, with all ids, and from its first line."""
    for _ in range(2):
        told = facts(runtime, name)
        assert told["at_import"] == told["uids"] == [NOBODY.pw_uid] * 3
        assert told["gids"] == [NOBODY.pw_gid] * 3
        assert told["groups"] == sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
        if KERNEL.is_fit:
            assert told["home"].endswith(f"/{name}@{NOBODY.pw_uid}")
        else:
            assert told["home"] == NOBODY.pw_dir
        assert int(told["capabilities"], 16) == 0


@needs_root
@needs_system_python
def test_numbers(runtime: Runtime) -> None:
    """A user may be given by numbers that have no name."""
    told = facts(runtime, "numbers")
    assert (told["uids"], told["gids"]) == ([12345] * 3, [23456] * 3)
    assert told["groups"] == [23456]
    assert told["home"].endswith("/numbers@12345") if KERNEL.is_fit else told["home"] == "/"


@needs_root
@needs_system_python
def test_home(runtime: Runtime) -> None:
    """Without a sandbox HOME is the user's."""
    assert facts(runtime, "open")["home"] == NOBODY.pw_dir


@needs_root
@needs_system_python
def test_there_is_no_way_back(runtime: Runtime) -> None:
    """An app that runs as a user cannot become root again."""
    assert fetch(runtime, "/once/become-root").body == b"refused"


@needs_root
@needs_system_python
def test_programs(runtime: Runtime) -> None:
    """Programs of the app run as the user too, and can write to the app's own stderr."""
    assert fetch(runtime, "/sync/program").body == f"{NOBODY.pw_uid}\n".encode()
    runtime.wait_for_line("told", app="sync", stream="stderr")


@needs_root
@needs_system_python
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("closed", "user: nobody cannot read {apps}/closed; change"),
        ("unreadable", "user: nobody cannot read {apps}/unreadable/app.py; change"),
        ("stranger", "user: there is no user no-such-user on this machine; write another name"),
    ],
)
def test_what_cannot_be(runtime: Runtime, public: Path, name: str, reason: str) -> None:
    """An app that its user cannot read, or with an unknown user, gets 500; the log says why."""
    assert fetch(runtime, f"/{name}/").error["code"] == "app_misconfigured"
    record = runtime.wait_for_record("app.start_failed", app=name)
    manifest = public / "apps" / name / "buntime.yaml"
    assert record["error"].startswith(f"{manifest}: {reason.format(apps=public / 'apps')}")


@needs_root
@needs_system_python
def test_mended(runtime: Runtime, public: Path) -> None:
    """A refused app is tried again when the manifest has changed."""
    folder = public / "apps/unreadable"
    assert fetch(runtime, "/unreadable/").status == 500
    (folder / "app.py").chmod(0o644)
    (folder / "buntime.yaml").write_text(f"user: nobody\npython: {SYSTEM_PYTHON}\nnice: 1\n")
    runtime.wait_for_record("app.start_failed", app="unreadable")
    wait_until(lambda: fetch(runtime, "/unreadable/").status == 200)


# ---- as seen from a runtime without root, and without any runtime


def app_of(user: str, folder: Path) -> App:
    manifest, _ = parse_manifest(
        f"user: {user}".encode(), path="buntime.yaml", body_default=1, body_max=1
    )
    write_app(folder, {"app.py": ""})
    return App(folder.name, None, folder, "app.py", manifest, folder / "buntime.yaml")


@needs_root
def test_an_interpreter_that_cannot_be_read(public: Path) -> None:
    """The folder that keeps the user out is named, even if it belongs to the interpreter."""
    closed = public / "closed"
    (closed / "lib").mkdir(parents=True)
    closed.chmod(0o700)
    app = app_of("nobody", public / "shop")
    with pytest.raises(ManifestError, match=f"as it may not enter {closed};"):
        Users().find(app, SYSTEM_PYTHON or sys.executable, (str(closed / "lib"),))
    link = public / "link"  # as the python3 of a virtual environment
    link.symlink_to(closed / "lib")
    with pytest.raises(ManifestError, match=f"{link}, as it may not enter {closed};"):
        Users().find(app, SYSTEM_PYTHON or sys.executable, (str(link),))


def test_an_answer_is_kept(public: Path) -> None:
    """A user is tested once per app; a refusal is cached for five seconds."""
    now = 0.0
    users = Users(clock=lambda: now)
    app = app_of("no-such-user", public / "kept")
    assert not users.is_known(app, sys.executable)
    with pytest.raises(ManifestError):
        users.find(app, sys.executable, ())
    assert users.is_known(app, sys.executable)
    with pytest.raises(ManifestError):
        users.get(app)
    assert not users.is_known(app, "/usr/bin/another")
    now = 5.0
    assert not users.is_known(app, sys.executable)


@needs_root
@needs_system_python
def test_a_runtime_that_is_not_root(public: Path) -> None:
    """Without root an app may name the runtime's own user, and no other."""
    source = Path(__file__).resolve().parents[3]
    copy = public / "copy"
    shutil.copytree(source / "buntime", copy / "buntime")
    script = f"""
import sys
sys.path[:0] = {[str(copy)]!r}
from pathlib import Path
from types import SimpleNamespace
from buntime.core.errors import ManifestError
from buntime.server.pythons.users import Users

class App:
    dir, entrypoint, source = Path("/"), "app.py", "buntime.yaml"
    def __init__(self, user):
        self.name, self.manifest = "app", SimpleNamespace(user=user, is_user_fixed=False)

own = "{NOBODY.pw_uid}:{NOBODY.pw_gid}"
assert Users().find(App("nobody"), sys.executable, ()) is None
assert Users().find(App(own), sys.executable, ()) is None
try:
    Users().find(App("root"), sys.executable, ())
except ManifestError as exc:
    print(exc)
"""
    done = subprocess.run(
        [SYSTEM_PYTHON, "-I", "-c", script],
        user=NOBODY.pw_uid,
        group=NOBODY.pw_gid,
        extra_groups=[],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.stdout == (
        "buntime.yaml: user: the runtime is not root, so it cannot run an app as root; "
        "start it as root, or as that user, or leave the key out\n"
    )


@needs_root
def test_the_bundle_of_a_user(public: Path) -> None:
    """Everybody can read the worker's code that a user's workers get, including bytecode."""
    user = Users().find(app_of("nobody", public / "user"), SYSTEM_PYTHON or sys.executable, ())
    assert isinstance(user, User)
    bundle = Path(user.bundle)
    assert all(path.stat().st_mode & 0o005 for path in [bundle, *bundle.parents])
    assert all(path.stat().st_mode & 0o022 == 0 for path in [bundle, *bundle.rglob("*")])
    assert (bundle / "buntime/worker/__pycache__").is_dir()
