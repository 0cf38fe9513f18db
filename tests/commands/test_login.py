"""Logging in to a runtime, asking it, and what these commands print and exit with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, wait_until, write_app
from tests.support.runs import run

APP = """
import os
from buntime import Response

def fetch(request):
    return Response(str(os.getpid()))
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "shop@1.0.0", {"app.py": APP}, ttl=60)
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


def test_a_day_at_the_command_line(runtime: Runtime, tmp_path: Path) -> None:
    """Log in, list, recycle, log out: each says what it did, or prints JSON with `--json`."""
    env = {"HOME": str(tmp_path), "BUNTIME_KEY": OPERATORS_KEY}
    done = run("login", runtime.url, "--name", "prod", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"logged in to {runtime.url} as prod;")
    del env["BUNTIME_KEY"]

    def ran(*words: str, code: int = 0) -> str:
        done = run(*words, cwd=tmp_path, env=env)
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout

    assert json.loads(ran("login", "--json"))["hosts"] == [
        {"name": "prod", "url": runtime.url, "default": True}
    ]
    assert ran("login").splitlines()[1].split() == ["prod", runtime.url, "default"]
    pid = fetch(runtime, "/shop/").body
    head, row = ran("list").splitlines()
    assert head.split()[:2] == ["APP", "ACTIVE"]
    assert row.split() == ["shop", "1.0.0", "1", "idle", "1", "0"]
    assert json.loads(ran("list", "--json"))["apps"][0]["app"] == "shop"
    assert ran("recycle", "shop").startswith("shop: replacing w")
    wait_until(lambda: "1.0.0, active: idle, 1 worker\n" in ran("show", "shop"))
    assert len(json.loads(ran("recycle", "shop@1.0.0", "--json"))["recycled"]) == 1
    assert fetch(runtime, "/shop/").body != pid
    wait_until(lambda: "1.0.0, active: idle, 1 worker\n" in ran("show", "shop"))
    assert ran("sleep", "shop").startswith("shop: ending w")
    assert "buntime maintenance off shop" in ran("maintenance", "on", "shop", "--retry-after", "1m")
    assert fetch(runtime, "/shop/").headers["retry-after"] == "60"
    assert "closed for maintenance since 20" in ran("show", "shop")
    assert ran("list").splitlines()[1].split()[-1] == "maintenance"
    assert json.loads(ran("maintenance", "off", "shop", "--json"))["maintenance"] is None
    assert ran("logout") == f"logged out of prod ({runtime.url})\n"
    assert ran("login") == "no logins; buntime login URL makes one\n"


@pytest.mark.parametrize("time", ["0", "400ms", "8d"])
def test_maintenance_has_its_limits(tmp_path: Path, time: str) -> None:
    """What is too short or too long for --retry-after is an error of the command line."""
    done = run("maintenance", "on", "shop", "--retry-after", time, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--retry-after: '{time}' is not from 1s to 7d" in done.stderr


def test_refusals(runtime: Runtime, tmp_path: Path) -> None:
    """A wrong key is not kept, and an unknown app is an error, in words or as JSON."""
    env = {"HOME": str(tmp_path), "BUNTIME_KEY": "wrong"}
    done = run("login", runtime.url, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (4, "")
    assert "the key that was sent is not one of its keys" in done.stderr
    assert not (tmp_path / ".config").exists()
    for words, says in (
        (("on",), "write maintenance on APP"),
        (("off", "shop", "--message", "x"), "are for maintenance on"),
        (("on", "shop", "--retry-after", "soon"), "--retry-after: 'soon' is not a duration"),
    ):
        done = run("maintenance", *words, cwd=tmp_path, env=env)
        assert (done.returncode, says in done.stderr) == (2, True)
    env["BUNTIME_KEY"] = OPERATORS_KEY
    done = run("recycle", "nobody", "--to", runtime.url, "--json", cwd=tmp_path, env=env)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "app_not_found")
    request_id = json.loads(done.stdout)["error"]["requestId"]
    assert done.stderr == (
        f"buntime: error: {runtime.url}: there is no app nobody; see buntime list "
        f"(request {request_id})\n"
    )
    done = run("login", "http://192.0.2.1", cwd=tmp_path, env=env)
    assert (done.returncode, "unencrypted" in done.stderr) == (2, True)


@pytest.mark.parametrize(("typed", "code"), [(f"{OPERATORS_KEY}\n", 0), ("\n", 2), ("a b\n", 2)])
def test_a_key_from_stdin(runtime: Runtime, tmp_path: Path, typed: str, code: int) -> None:
    """A key may be piped in; a missing or malformed one is an error."""
    done = run("login", runtime.url, cwd=tmp_path, env={"HOME": str(tmp_path)}, stdin=typed)
    assert done.returncode == code
    if code == 0:
        kept = tmp_path / ".config/buntime/hosts.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        name = runtime.url.removeprefix("http://")
        assert json.loads(kept.read_text()) == {
            "default": name,
            "hosts": {name: {"url": runtime.url, "key": OPERATORS_KEY}},
        }


def test_the_runtime_of_this_machine(tmp_path: Path) -> None:
    """In development a runtime can be asked without a login."""
    (tmp_path / "apps").mkdir()
    state = tmp_path / "state"
    state.mkdir(mode=0o711)
    env = {"RUNTIME_ENV": "development", "RUNTIME_STATE_DIR": str(state)}
    with running(tmp_path / "apps", env=env) as runtime:
        env = {"HOME": str(tmp_path), "PORT": str(runtime.port)}
        done = run("list", "--state-dir", state, cwd=tmp_path, env=env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "no apps\n", "")
    done = run("list", "--state-dir", state, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no runtime on this machine uses the state folder {state}: start one" in done.stderr


@pytest.mark.parametrize("name", ["list", "login", "recycle"])
def test_a_folder_of_a_command_s_name(tmp_path: Path, name: str) -> None:
    """If a folder has a command's name, the word runs neither; the error says how to write both."""
    (tmp_path / name).mkdir()
    env = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    done = run(name, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"write ./{name} to serve the folder, or buntime command {name}" in done.stderr
    done = run(name, "--to", "nowhere", cwd=tmp_path, env=env)  # serve has no such flag
    assert f"write ./{name}" not in done.stderr
    done = run("command", name, "--help", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout.startswith(f"usage: buntime {name}")) == (0, True)
    assert os.listdir(tmp_path) == [name]
