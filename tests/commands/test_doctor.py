"""`buntime doctor` says what is there, warns of trouble, and fails if nothing can start."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from buntime import __version__
from buntime.server.http1.descriptors import OF_A_CONNECTION, OF_A_WORKER
from buntime.server.sandbox.probe import find_kernel
from buntime.server.state.statefile import open_file
from tests.support.harness import command, write_app
from tests.support.pluginfolders import write_plugin
from tests.support.runs import environ, run

LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""
PROGRAM = shlex.join(command())
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
FETCH = "def fetch(request): ...\n"


def told(tmp_path: Path, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    done = run("doctor", *words, cwd=tmp_path, env=env)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_what_is_there(tmp_path: Path) -> None:
    """Version, mode, Python, user, folders, settings and limits are shown, but no secrets."""
    write_app(tmp_path / "apps/shop", {"app.py": FETCH})
    (tmp_path / ".env").write_text("PORT=0\n")
    env = {"RUNTIME_MASTER_KEY": "very-secret", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code, text = told(tmp_path, "apps", "--state-dir", "state", env=env)
    assert code == 0
    assert f"version     buntime {__version__} (" in text
    assert f"apps        1 in {tmp_path / 'apps'}\n" in text
    assert f"cache       {tmp_path / 'cache/buntime'}\n" in text
    assert f"state       {tmp_path / 'state'}\n" in text
    assert f"settings    --state-dir, RUNTIME_MASTER_KEY, {tmp_path / '.env'}\n" in text
    assert "very-secret" not in text
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert f"open files  {soft}" in text
    assert re.search(r"\nno faults, (no warnings|1 warning|\d+ warnings)\n\Z", text)


def test_what_will_hurt(tmp_path: Path) -> None:
    """A faulty app, a port in use, and a pool larger than the memory are warned about."""
    write_app(tmp_path / "apps/shop", {"app.py": FETCH}, ttl="soon")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["apps", "--host", "127.0.0.1", "--port", port, "--pool-size", "99000000"]
        code, text = told(tmp_path, *words, "--env", "production")
    assert code == 0
    warnings = [line for line in text.splitlines() if "WARNING: " in line]
    for each in ("shop: ", "something listens there already", "RUNTIME_TRUSTED_PROXIES",
                 "lower RUNTIME_POOL_SIZE", "raise the limit"):  # fmt: skip
        assert any(each in line for line in warnings), each


def test_the_operators_address(tmp_path: Path) -> None:
    """That their address is in use keeps no app from being served, so it is a warning."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = told(tmp_path, "--port", "0", "--admin-listen", f"127.0.0.1:{port}")
    assert code == 0
    assert f"operators   WARNING: cannot listen on 127.0.0.1 port {port}: something list" in text
    assert "choose another port in RUNTIME_ADMIN_LISTEN, such as 127.0.0.1:" in text
    _, text = told(tmp_path, "--port", "0", "--admin-listen", f"127.0.0.1:{port}")
    assert f"operators   127.0.0.1 port {port}, which is free\n" in text


def test_what_to_run(tmp_path: Path) -> None:
    """Each warning and fault ends with a valid shell line, and no other line does."""
    write_app(tmp_path / "apps/my shop", {"app.py": FETCH}, ttl="soon")
    write_app(tmp_path / "apps/shop", {"app.py": FETCH}, secrets=["STRIPE_KEY"])
    write_plugin(tmp_path / "plugins", "odd", nonsense=1)
    (tmp_path / "file").touch()
    (tmp_path / "config.yaml").write_text("plugin: {}\n")
    env = {"RUNTIME_POLL_SIZE": "1", "RUNTIME_PLUGIN_DIRS": "plugins"}
    flags = (
        "--state-dir file/x --host 0.0.0.0 --port 0 --pool-size 9000000 "
        "--config config.yaml --deploy-dir elsewhere"
    )
    words = ["apps", *flags.split()]
    done = run("doctor", *words, "--json", cwd=tmp_path, env=env)
    findings = json.loads(done.stdout)["findings"]
    commands = {each["command"] for each in findings if each["mark"]}
    assert None not in commands
    assert {each["command"] for each in findings if not each["mark"]} == {None}
    for line in commands:
        assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0, line
    assert commands >= {
        f"{PROGRAM} config show",
        f"{PROGRAM} check apps",
        f"{PROGRAM} secrets set shop STRIPE_KEY",
        f"{PROGRAM} plugins check plugins",
        '"${EDITOR:-vi}" +1 config.yaml',
        'mv file file.old && sudo install -d -o "$(id -un)" file/x',
        f"export RUNTIME_WORKER_DIRS={tmp_path}/apps:{tmp_path}/elsewhere",
    }
    _, text = told(tmp_path, *words, env=env)
    assert "\n            run: " + '"${EDITOR:-vi}" +1 config.yaml\n' in text


def test_apps_for_which_no_worker_can_start(tmp_path: Path) -> None:
    """Each app with a missing Python is reported, without running the app's own programs."""
    write_app(tmp_path / "apps/no-path", {"app.py": FETCH}, python="/nowhere/python3")
    write_app(tmp_path / "apps/no-name", {"app.py": FETCH}, python="3.99")
    write_app(tmp_path / "apps/closed", {"app.py": FETCH, "bin/py": ""}, python="bin/py")
    moved = write_app(tmp_path / "apps/moved", {"app.py": FETCH})
    (moved / ".venv/bin").mkdir(parents=True)
    (moved / ".venv/bin/python").symlink_to("/nowhere/python3")
    write_app(tmp_path / "apps/well", {"app.py": FETCH}, python=sys.executable)
    code, text = told(tmp_path, "apps")
    assert code == 0
    lines = [line for line in text.splitlines() if "no worker of " in line]
    for app, why in (
        ("no-path", "/nowhere/python3 cannot be run: it is not there"),
        ("no-name", "there is no 'python3.99' on the PATH"),
        ("closed", "/bin/py cannot be run: it may not be executed"),
        ("moved", "/.venv/bin/python cannot be run: it is not there"),
    ):
        [line] = [line for line in lines if f"no worker of {app} can be started: " in line]
        assert "WARNING: " in line
        assert why in line
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, None),
        ("PRAGMA user_version = 999", "was written by a newer version (tables 999)"),
        ("PRAGMA application_id = 1", "was not written by buntime"),
        ("", "is damaged"),
    ],
)
def test_a_state_that_cannot_be_used(tmp_path: Path, change: str | None, said: str | None) -> None:
    """A state.db of a newer version, of another program or of no program is told, and untouched."""
    write_app(tmp_path / "apps/shop", {"app.py": FETCH})
    path = tmp_path / "state/state.db"
    path.parent.mkdir()
    open_file(str(path), has_log=False).close()
    if change:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(change)
    elif change is not None:
        path.write_bytes(path.read_bytes()[1:])
    before = path.read_bytes()
    code, text = told(tmp_path, "apps", "--state-dir", "state")
    assert (code, path.read_bytes()) == (0, before)
    found = [line for line in text.splitlines() if "state.db" in line and "WARNING" in line]
    assert [bool(said and said in line) for line in found] == [True] * (said is not None)


def test_a_state_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """What would make a start run without state is told before it."""
    (tmp_path / "state/.restore-7/secrets").mkdir(parents=True)
    _, text = told(tmp_path, "--state-dir", "state")
    assert "state       WARNING: a runtime of this user would run without state: a restore" in text
    (tmp_path / "state").chmod(0o777)
    _, text = told(tmp_path, "--state-dir", "state")
    assert f"without state: {tmp_path / 'state'} can be written by other users\n" in text
    assert "            run: ls -ld state\n" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run apps as others")
def test_apps_that_run_as_root(tmp_path: Path) -> None:
    """Root is warned unless each app has a user, wherever that is set."""
    warning = "apps without a `user` run as root"
    assert warning in told(tmp_path)[1]
    assert warning in told(tmp_path, "--app-users", "shop=nobody")[1]
    (tmp_path / ".env").write_text("RUNTIME_APP_USERS=*=nobody\n")
    assert warning not in told(tmp_path)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run apps as others")
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="there is no Python that every user can read")
def test_users_that_cannot_run_their_apps(tmp_path: Path) -> None:
    """Root is told what an app's user cannot reach: the runtime's Python, of all apps at once, or
    the app's folder; a page without workers needs no user."""
    public = Path(tempfile.mkdtemp(prefix="buntime-doctor-"))
    try:
        public.chmod(0o755)
        closed = tmp_path / "closed"
        closed.mkdir(0o700)
        (closed / "python").symlink_to(sys.executable)
        for name in ("one", "two"):
            write_app(public / "apps" / name, {"app.py": FETCH})
        write_app(public / "apps/page", {"index.html": "page"})
        users = ("--app-users", "*=nobody")
        _, text = told(tmp_path, str(public / "apps"), *users, "--python", str(closed / "python"))
        lines = [line for line in text.splitlines() if "no worker of" in line]
        kept = "RUNTIME_APP_USERS: nobody cannot read"
        assert len(lines) == 1, text
        assert f"WARNING: no worker of one and 1 more can be started: {kept} {closed}" in lines[0]
        python = ("--python", SYSTEM_PYTHON)
        assert "no worker of" not in told(tmp_path, str(public / "apps"), *users, *python)[1]
        (public / "apps/two").chmod(0o700)
        _, text = told(tmp_path, str(public / "apps"), *users, *python)
        assert f"{kept} {public}/apps/two" in text
        assert "page" not in text
    finally:
        shutil.rmtree(public)


def test_settings_without_effect(tmp_path: Path) -> None:
    """A setting that names what is not there is warned about, and keeps nothing from starting."""
    code, text = told(tmp_path, "--plugin-dirs", "gone", "--app-users", "shop=nobody-here")
    assert code == 0
    folder = tmp_path / "gone"
    assert f"settings    WARNING: RUNTIME_PLUGIN_DIRS: there is no folder {folder}, " in text
    assert "WARNING: RUNTIME_APP_USERS: shop=nobody-here: there is no user nobody-here on" in text


def test_a_default_app_that_is_not_there(tmp_path: Path) -> None:
    """It is warned about, whether its name or its version is missing, and one that is there is
    not."""
    write_app(tmp_path / "apps" / "shop@1.0.0", {"index.html": "shop"})
    missing = "apps        WARNING: RUNTIME_DEFAULT_APP names no app; name another one, or add it: "
    for name, is_there in (("shop", True), ("shop@^1", True), ("shop@2", False), ("blog", False)):
        code, text = told(tmp_path, "apps", "--default-app", name)
        assert (code, missing in text) == (0, not is_there), name


def test_where_deploys_go(tmp_path: Path) -> None:
    """Shows the folder that takes deploys, or why nothing can be deployed, and what to do."""
    (tmp_path / "apps").mkdir()
    _, text = told(tmp_path, "apps")
    assert f"deploys     into {tmp_path / 'apps'}\n" in text
    _, text = told(tmp_path, "apps", "--deploy-dir", "elsewhere")
    [line] = [line for line in text.splitlines() if line.startswith("deploys ")]
    assert f"WARNING: RUNTIME_DEPLOY_DIR {tmp_path / 'elsewhere'} is not a worker folder" in line
    assert "add it to RUNTIME_WORKER_DIRS" in line


def test_an_open_door(tmp_path: Path) -> None:
    """A runtime that others can reach needs a key, and should not be in development mode."""
    words = ["--host", "0.0.0.0", "--port", "0", "--state-dir", "state"]
    _, text = told(tmp_path, *words, "--env", "development")
    assert "others can reach this, and in development errors are shown with their trace" in text
    assert "RUNTIME_MASTER_KEY is not set: protected apps let nobody in" in text


def test_keys_with_names(tmp_path: Path) -> None:
    """Where there may be keys with names, no master key is needed."""
    (tmp_path / "state").mkdir()
    open_file(str(tmp_path / "state/state.db"), has_log=False).close()
    words = ["--host", "0.0.0.0", "--port", "0", "--state-dir", "state"]
    _, text = told(tmp_path, *words, "--env", "production")
    [line] = [line for line in text.splitlines() if "RUNTIME_MASTER_KEY" in line]
    assert line.startswith("access      RUNTIME_MASTER_KEY is not set: protected apps and the oper")
    assert line.endswith("the keys that buntime keys list shows, and to no others")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--port", "http"], "settings    FAULT: PORT (from --port): 'http' is not allowed"),
        (["nowhere"], "settings    FAULT: the folder of apps {cwd}/nowhere cannot be read"),
        (["nowhere"], f"            run: {PROGRAM} new {{cwd}}/nowhere/hello\n"),
        (["--python", "/nowhere/python"], "settings    FAULT: RUNTIME_PYTHON: "),
        (["--host", "203.0.113.7"], "listens on  FAULT: cannot listen on 203.0.113.7 port 8000"),
        (["--host", "unix:file/s"], "listens on  FAULT: unix:{cwd}/file/s: "),
    ],
)
def test_what_keeps_it_from_starting(tmp_path: Path, words: list[str], line: str) -> None:
    """What would stop a start is a fault, and gives exit code 1."""
    (tmp_path / "file").touch()
    code, text = told(tmp_path, *words)
    assert code == 1
    assert line.format(cwd=tmp_path) in text
    assert "\n1 fault, " in text


def test_sandbox_is_told(tmp_path: Path) -> None:
    """Shows what a sandbox does on this kernel, or why there is none."""
    _, text = told(tmp_path)
    kernel = find_kernel()
    line = next(line for line in text.splitlines() if line.startswith("sandbox "))
    if kernel.is_fit:
        assert line.startswith(f"sandbox     Landlock ABI {kernel.abi}: files, processes")
    else:
        assert line.startswith("sandbox     WARNING: apps run without one")


def test_control_groups_are_told(tmp_path: Path) -> None:
    """Shows which limits of a control group apply, or why none does."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    _, text = told(tmp_path, "--cgroup", str(folder))
    lacking = f"{folder}/cgroup.controllers: No such file or directory"
    assert f"cgroup      memoryMax, cpuMax and pidsMax have no effect here: {lacking}" in text
    (folder / "cgroup.controllers").write_text("cpu io memory\n")
    _, text = told(tmp_path, "--cgroup", str(folder))
    assert f"cgroup      {folder}: memory, cpu, but not pids\n" in text


def test_plugins_have_their_descriptors_first(tmp_path: Path) -> None:
    """Two workers of each plugin that would start get descriptors before connections do."""
    before = allowed(tmp_path, 2000)
    for name in ("one", "two"):
        write_plugin(tmp_path / "plugins", name)
    write_plugin(tmp_path / "plugins", "off", enabled=False)
    assert before - allowed(tmp_path, 2000) == 2 * 2 * OF_A_WORKER // OF_A_CONNECTION
    text = told(tmp_path)[1]
    assert "plugins     cpanel, keyval, one, two\n" in text


def allowed(tmp_path: Path, limit: int) -> int:
    """How many connections are possible with this many open files."""
    words = ["doctor", "--pool-size", "2", "--spare-workers", "0", "--connections-max", "1000"]
    started = [sys.executable, "-c", LIMITED, str(limit), *command(), *words]
    text = subprocess.run(
        started, cwd=tmp_path, env=environ(), capture_output=True, text=True, check=True
    ).stdout
    return int(re.findall("the limit allows only ([0-9]+) connections, not 1000", text)[0])
