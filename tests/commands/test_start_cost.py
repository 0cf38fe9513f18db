"""What a start must import before it listens, counted so that a busy machine changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from buntime.core.apps.jsondocument import read_json

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
import buntime.commands.cli, buntime.commands.serve, buntime.commands.masterkey
import buntime.commands.appfolders, buntime.server.runtime
from buntime.core.plugins.manifest import parse_plugin_manifest
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        parse_plugin_manifest(file.read(), path=path, body_default=1, body_max=1)
sys.setprofile(None)
print(json.dumps([calls, len(sys.modules) - before, sorted(sys.modules)]))
"""
# A little above the present count. Another module takes 1.5 million of the 656 million instructions
# of a start: import what few starts need only when it is needed, and see core/values for cheap
# declarations.
CALLS_MAX = 195_000 if sys.version_info < (3, 14) else 198_000  # its library makes more calls
MODULES_MAX = 520


def test_what_is_imported() -> None:
    """A start stays within these numbers of modules and calls; the first run only compiles."""
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
    assert not {"yaml", "asyncio", "logging", "sqlite3", "ssl", "email"} & {*names}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.parent.name))
def test_manifests_of_carried_plugins(path: Path) -> None:
    """The manifests are JSON, because importing a YAML reader takes a seventh of a start."""
    assert read_json(path.read_text("utf-8"), 1)["name"].value == path.parent.name
