"""What a start must import before it listens, counted so that a busy machine changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from buntime.core.apps.jsondocument import read_json
from tests.support.harness import write_app

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = sorted(ROOT.glob("plugins/*/buntime.yaml"))
COUNT = """
import gc, json, sys
gc.disable()
calls = 0
def count(frame, event, arg):
    global calls
    calls += event in ("call", "c_call")
before = len(sys.modules)
sys.setprofile(count)
import buntime.__main__, buntime.commands.serve, buntime.commands.masterkey
import buntime.commands.appfolders
buntime.commands.serve.runtime_serve()
from buntime.core.plugins.manifest import parse_plugin_manifest
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        parse_plugin_manifest(file.read(), path=path, body_default=1, body_max=1)
sys.setprofile(None)
print(json.dumps([calls, len(sys.modules) - before, sorted(sys.modules)]))
"""
# A little above the present count. Another module takes 0.9 million of the 420 million instructions
# of a start: import what few starts need only when it is needed, and see core/values for cheap
# declarations.
CALLS_MAX = 76_000 if sys.version_info < (3, 14) else 82_000  # its library makes more calls
MODULES_MAX = 503


# It stops in the loop's first turn, and its clock stands still: what is done each second, such as
# the looks of development, would count only where a machine is slow.
WHOLE = """
import gc, itertools, os, signal, sys, time
time.monotonic = itertools.repeat(time.monotonic()).__next__
gc.disable()
import buntime.commands.cli, buntime.commands.serve, buntime.commands.masterkey
import buntime.commands.appfolders, buntime.server.runtime
calls, turns = 0, buntime.server.loop.loop.Loop.run.__code__
def count(frame, event, arg):
    global calls
    calls += event in ("call", "c_call")
    if frame.f_code is turns and event == "call":
        os.kill(os.getpid(), signal.SIGTERM)
sys.setprofile(count)
buntime.commands.cli.main(sys.argv[1:], mode="checkout")
sys.setprofile(None)
print(calls)
"""
# On the thread that serves, of a start that has its caches. The count is 26,470; where plugins load
# before all has stopped, it is 400 more.
WHOLE_MAX = 27_300


def test_what_is_done(tmp_path: Path) -> None:
    """A start and a stop, with one app and the plugins that come with Buntime, stay within this
    number of calls."""
    write_app(tmp_path / "apps/shop", {"app.py": "def fetch(request): ..."})
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env |= {"RUNTIME_ADMIN_LISTEN": "none", "RUNTIME_SPARE_WORKERS": "0"}
    env |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "RUNTIME_LOG_FORMAT": "json"}
    for turn in "12":
        done = subprocess.run(
            [sys.executable, "-c", WHOLE, str(tmp_path / "apps"), "--port", "0"],
            cwd=ROOT,
            env={**env, "RUNTIME_STATE_DIR": str(tmp_path / turn)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        )
    assert "runtime.listening" in done.stdout
    assert "runtime.stopped" in done.stdout
    assert int(done.stdout.splitlines()[-1]) <= WHOLE_MAX


def test_what_is_imported() -> None:
    """A start stays within these numbers of modules and calls; the first run only compiles, and
    keeps the code of modules in a file, as a server does."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", COUNT, *map(str, MANIFESTS)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            check=True,
        )
    calls, modules, names = json.loads(done.stdout)
    assert modules <= MODULES_MAX
    assert calls <= CALLS_MAX
    dear = {"asyncio", "email", "gettext", "inspect", "locale", "logging", "sqlite3", "ssl", "yaml"}
    assert not dear & {*names}


def test_what_a_command_imports() -> None:
    """A command that asks a runtime imports no loop and no log of its own."""
    code = "import buntime.commands.client, buntime.commands.targets, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True
    )
    names = {*done.stdout.split()}
    assert "buntime.commands.targets" in names
    assert not {"buntime.server.loop.loop", "buntime.server.telemetry.logs"} & names


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.parent.name))
def test_manifests_of_carried_plugins(path: Path) -> None:
    """The manifests are JSON, because importing a YAML reader takes a seventh of a start."""
    assert read_json(path.read_text("utf-8"), 1)["name"].value == path.parent.name
