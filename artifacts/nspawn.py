"""Boots a Debian with its systemd in systemd-nspawn, and runs tests/systemd against it.

The machine has its own network, in which only the loopback is up. The tests run in that network,
but on this machine's files, with this Python; commands for the Debian go there through nsenter. See
tests/systemd/conftest.py.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.debian import HOST, lacking, make_debian
from artifacts.environments import BuildError, say
from artifacts.image import Skipped

ROOT = Path(__file__).resolve().parents[1]
FILES = ("buntime", "buntime.pyz")
# What apps' sandboxes need; older versions of systemd-nspawn refuse it.
_LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
_BOOT_S = 60.0
_POLL_S = 0.1


@contextmanager
def machine() -> Iterator[tuple[int, Path]]:
    """The first process of a machine that runs, and its root. Raises `Skipped`."""
    lacking()
    if shutil.which("systemd-nspawn") is None:
        raise Skipped("there is no systemd-nspawn")
    with tempfile.TemporaryDirectory(prefix="buntime-systemd-") as work:
        root = Path(work, "debian")
        make_debian(root, HOST)
        for name in FILES:
            shutil.copy(ROOT / "dist" / name, root / "root" / name)
        options = ["--quiet", f"--directory={root}", "--boot", "--private-network"]
        options += ["--register=no", "--keep-unit", "--console=passive", "--link-journal=no"]
        options += [f"--system-call-filter={_LANDLOCK}"]
        # Workers get limits through cgroups v2, whatever this machine has.
        env = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with (
            Path(work, "console").open("wb") as console,
            subprocess.Popen(
                ["systemd-nspawn", *options],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield _booted(process, Path(work, "console")), root
            finally:
                process.terminate()


def _booted(process: "subprocess.Popen[bytes]", console: Path) -> int:
    """Wait until its systemd has started everything."""
    end = time.monotonic() + _BOOT_S
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Skipped(f"systemd-nspawn failed:\n{console.read_text('utf-8', 'replace')}")
        pids = children.read_text().split()
        if pids:
            asked = [*entering(int(pids[0])), "systemctl", "is-system-running"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.stdout.strip() in ("running", "degraded"):
                return int(pids[0])
        time.sleep(_POLL_S)
    raise Skipped(f"no systemd is up after {_BOOT_S:g} s:\n{console.read_text('utf-8', 'replace')}")


def entering(pid: int) -> list[str]:
    """The command prefix that runs something in the machine with this first process."""
    return ["nsenter", "-t", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]


def main(args: list[str]) -> int:
    """Run the tests, see tests/suite.py; `args` go to pytest.

    Returns an exit code, 0 if they are skipped.
    """
    missing = [name for name in FILES if not (ROOT / "dist" / name).exists()]
    if missing:
        raise BuildError(f"dist/{missing[0]} is not there: python3 build.py pyz, binary")
    try:
        with machine() as (pid, root):
            tests = [sys.executable, "-m", "tests.suite", "--processes", "1"]
            tests += ["tests/systemd", *args]
            inside = ["nsenter", "-t", str(pid), "--net", *tests]
            env = {**os.environ, "SYSTEMD_MACHINE": f"{pid}:{root}"}
            return subprocess.run(inside, cwd=ROOT, env=env, check=False).returncode
    except Skipped as exc:
        say(f"systemd is not tried: {exc}")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
