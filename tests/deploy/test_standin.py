"""The code of tests/kubernetes runs to its end against a stand-in: no proof of the chart."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.harness import ROOT

# As a module, which is compiled once for all its starts.
PROGRAM = f"""
import sys
sys.path.append({str(ROOT)!r})
from tests.support.standin import main
sys.exit(main(sys.argv[1], sys.argv[2:]))
"""
# Without the plugins of other tests, which take longer to load than these tests.
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_timeout"]
PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder with the stand-in's programs and its data; its runtimes are killed at the end."""
    for name in ("helm", "kubectl"):
        program = tmp_path / name
        line = shlex.join([sys.executable, "-I", "-S", "-c", PROGRAM, name])
        program.write_text(f'#!/bin/sh\nexec {line} "$@"\n', "utf-8")
        program.chmod(0o755)
    yield tmp_path
    for pid in tmp_path.glob("*/pid"):
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.timeout(240)
def test_they_run(folder: Path) -> None:
    """Each test passes if the cluster does what it should, and the namespace is deleted."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env |= {"KUBECONFIG": str(folder), "STANDIN": str(folder), "CLUSTER_TOOLS": str(folder)}
    env |= {"BUNTIME_IMAGE": "registry.example.com/buntime:1", **PLUGINS}
    command = [*PYTEST, "-o", f"cache_dir={folder}/cache", "tests/kubernetes"]
    # Into a file, and in a process group of their own, so that leftovers cannot block this test.
    with (folder / "told").open("w+") as told:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(200)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            text = (folder / "told").read_text()
    assert code == 0, text[-6000:]
    assert "8 passed" in text
    said = [json.loads(line) for line in (folder / "commands").read_text().splitlines()]
    assert ["helm", "test", "web"] in [each[:3] for each in said]
    assert [each[1] for each in said if "--namespace" not in each] == []
    # At the end the namespace is deleted with all that was made in it.
    assert said[-1][3:5] == ["delete", "namespace"]


@pytest.mark.timeout(120)
def test_a_cluster_that_fails(folder: Path) -> None:
    """A failing program fails the tests, with its message."""
    (folder / "kubectl").write_text("#!/bin/sh\necho 'no such cluster' >&2; exit 1\n", "utf-8")
    env = {"PATH": os.environ["PATH"], "KUBECONFIG": "x", "CLUSTER_TOOLS": str(folder), **PLUGINS}
    command = [*PYTEST, "-x", "-o", f"cache_dir={folder}/cache"]
    done = subprocess.run(
        [*command, "tests/kubernetes"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no such cluster" in done.stdout
