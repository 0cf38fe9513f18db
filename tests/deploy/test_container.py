"""The Dockerfile and compose.yaml are well-formed; and as process 1 the runtime takes signals and
reaps whatever apps leave behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.harness import ROOT, children_of, command, running, wait_until, write_app

DOCKER = ROOT / "deploy/docker"
# Leaves grandchildren behind that share nothing with their worker and end after seconds.
LEAVES = """
import subprocess
from buntime import Response

def fetch(request):
    for _ in range(5):
        script = "(exec setsid env -i sleep 3) & exit 0"
        subprocess.run(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, check=True)
    return Response("left")
"""


def tool(name: str) -> str:
    """A program of the tests' environment, or of the system."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


def test_dockerfile() -> None:
    """hadolint finds nothing; the image runs as a user, and checks its own health."""
    done = subprocess.run(
        [tool("hadolint"), str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    text = (DOCKER / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .* CMD \["buntime", "health"\]$', text, re.MULTILINE)


def test_what_is_copied() -> None:
    """Each file that the Dockerfile copies exists, and .dockerignore lets it through."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        word
        for line in re.findall(r"^COPY (?!--)(.*)$", (DOCKER / "Dockerfile").read_text(), re.M)
        for word in line.split()[:-1]
    ]
    assert len(copied) >= 8
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert [name for name in copied if f"!/{name}" not in ignored] == []


def test_compose() -> None:
    """compose.yaml follows Compose's schema, and mounts the apps."""
    compose_spec = pytest.importorskip("compose_spec")
    text = (DOCKER / "compose.yaml").read_text()
    # This parser does not know what Compose fills in.
    filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    compose_spec.PyCompose.from_yaml(filled).validate()
    service = yaml.safe_load(text)["services"]["buntime"]
    assert "${APPS:-./apps}:/srv/apps:ro" in service["volumes"]
    with pytest.raises(ValueError, match="pids_limits"):
        compose_spec.PyCompose.from_yaml(filled.replace("pids_limit", "pids_limits"))


def namespace() -> list[str]:
    """The command that runs a process as number 1, in its own PID namespace."""
    program = shutil.which("unshare")
    line = [program or "", "--pid", "--fork", "--mount-proc", "--kill-child"]
    done = None if program is None else subprocess.run([*line, "true"], check=False)
    if done is None or done.returncode != 0:
        pytest.skip("no process may have numbers of its own here")
    return line


def test_process_one(tmp_path: Path) -> None:
    """As process 1 the runtime reaps orphans, and obeys SIGTERM."""
    write_app(tmp_path / "apps/leaves", {"app.py": LEAVES}, ttl=60)
    with running(tmp_path / "apps", start=[*namespace(), *command()]) as runtime:
        [first] = children_of(runtime.process.pid)
        assert httpx.get(f"{runtime.url}/leaves/", verify=False).text == "left"
        assert len(orphans_below(first)) == 5
        wait_until(lambda: not orphans_below(first), 10, "that all orphans are reaped")
        os.kill(first, signal.SIGTERM)
        runtime.wait_for_record("runtime.stopped")
        assert runtime.process.wait(20) == 0


def orphans_below(pid: int) -> list[int]:
    """Unreaped processes that LEAVES started, ended or not; workers have other names."""
    children = [*children_of(pid), *children_of(pid, are_zombies=True)]
    found = [child for child in children if name_of(child) in {"sh", "setsid", "env", "sleep"}]
    return found + [orphan for child in children for orphan in orphans_below(child)]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return ""  # reaped meanwhile
