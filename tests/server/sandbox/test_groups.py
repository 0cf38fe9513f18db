"""Control groups of workers: real ones for killing and removal, and folders of plain files for
limits, whose controllers a machine may not have in cgroup v2."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.sandbox.groups import CONTROLLERS, Limit, limits
from buntime.server.sandbox.groups import Groups, find_place
from tests.support.harness import ROOT, is_alive, wait_until
from tests.support.shortage import no_descriptors

LIMITS = limits({"memoryMax": 64 << 20, "cpuMax": 0.5, "pidsMax": 64})
FILES = ("cgroup.procs", "cgroup.subtree_control", "cgroup.kill")
DEFAULTS = ("memory.max", "memory.swap.max", "memory.events", "cpu.max", "pids.max")


class Tree:
    """A folder that looks like cgroup v2, with groups in it."""

    def __init__(self, folder: Path, controllers: str = "cpu memory pids") -> None:
        self.folder = folder
        self.warnings: list[tuple[str, dict[str, Any]]] = []
        make(folder)
        (folder / "cgroup.controllers").write_text(controllers + "\n")
        self.groups = Groups(str(folder), self.warn)

    def warn(self, event: str, message: str, /, **fields: object) -> None:
        self.warnings.append((event, fields))

    def content(self, name: str, file: str) -> str:
        return (self.folder / name / file).read_text()


def make(folder: Path) -> None:
    """A group, filled as the kernel would."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).touch()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """From now on new folders contain the kernel's files, which go when the folder is removed."""
    real = os.mkdir, os.rmdir

    def mkdir(path: Any, mode: int = 0o777) -> None:
        real[0](path, mode)
        if str(path).startswith(str(tmp_path)):
            make(Path(path))
            for name in DEFAULTS:
                (Path(path) / name).touch()

    def rmdir(path: Any) -> None:
        if Path(path, "cgroup.procs").read_text().strip():
            raise OSError(16, "Device or resource busy", str(path))
        shutil.rmtree(path)

    made = Tree(tmp_path / "cgroup")
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "rmdir", rmdir)
    return made


def test_limits_are_written(tree: Tree) -> None:
    """A worker's group gets the limits of the app's keys, then the worker."""
    tree.groups.start()
    assert tree.groups.put(3, 4321, LIMITS, "shop") == ()
    name = f"worker-{os.getpid()}-w3"
    found = {file: tree.content(name, file) for file in ("memory.max", "cpu.max", "pids.max")}
    assert found == {"memory.max": "67108864", "cpu.max": "50000 100000", "pids.max": "64"}
    assert tree.content(name, "memory.swap.max") == "0"
    assert tree.content(name, "cgroup.procs") == "4321"
    assert tree.warnings == []


def test_the_runtime_stands_aside(tree: Tree) -> None:
    """A group with processes cannot pass controllers down, so the runtime moves into a leaf."""
    (tree.folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    tree.groups.start()
    assert tree.content("runtime", "cgroup.procs") == f"{os.getpid()}"
    assert tree.groups.place.controllers == CONTROLLERS
    written = tree.content("", "cgroup.subtree_control")  # three times in a row
    assert written.startswith("+pids")


def test_others_are_not_moved(tree: Tree) -> None:
    """If the runtime is not in the folder itself, the processes there are left alone."""
    (tree.folder / "cgroup.procs").write_text("1\n")
    tree.groups.start()
    assert not (tree.folder / "runtime").exists()


def test_without_effect_is_told_once(tmp_path: Path) -> None:
    """Limits without a controller are reported once per app, with the reason."""
    warned: list[tuple[str, dict[str, Any]]] = []
    groups = Groups("off", lambda event, _, /, **fields: warned.append((event, fields)))
    groups.start()
    for number in (1, 2):
        assert groups.put(number, 4321, LIMITS, "shop") == ("memoryMax", "cpuMax", "pidsMax")
    groups.put(3, 4321, LIMITS[:1], "blog")
    assert [(event, fields["app"]) for event, fields in warned] == [
        ("limits.without_effect", "shop"),
        ("limits.without_effect", "blog"),
    ]
    assert warned[0][1]["reason"] == "RUNTIME_CGROUP is off"
    groups.end(1)
    assert groups.to_json()["cgroup"] is None


def test_a_trial() -> None:
    """A command that only has workers load their apps does not look for groups, and says nothing
    of them."""
    warned: list[str] = []
    groups = Groups("auto", lambda event, *_, **__: warned.append(event))
    assert groups.put(1, 4321, LIMITS, "shop") == ("memoryMax", "cpuMax", "pidsMax")
    assert warned == []


def test_what_memory_events_tell(tree: Tree) -> None:
    """A process killed for memoryMax is reported once, at the next check; and at the worker's
    end."""
    tree.groups.start()
    tree.groups.put(3, 4321, LIMITS, "shop")
    events = tree.folder / f"worker-{os.getpid()}-w3/memory.events"
    assert (tree.groups.look(3), tree.groups.memory_limit(3)) == (False, "")
    events.write_text("oom 4\noom_kill 1\n")
    assert tree.groups.memory_limit(3) == "67108864"
    assert tree.groups.look(3)
    assert tree.groups.memory_limit(3) == "67108864"  # it may have been the worker's
    assert not tree.groups.look(3)
    assert tree.groups.memory_limit(3) == ""
    assert (tree.groups.look(9), tree.groups.memory_limit(9)) == (False, "")


def test_a_failure_is_told(tree: Tree) -> None:
    """A worker whose limits cannot be set runs without them, and this is reported."""
    tree.groups.start()
    (tree.folder / f"worker-{os.getpid()}-w3").mkdir()
    keys = tree.groups.put(3, 4321, LIMITS, "shop")
    assert keys == ("memoryMax", "cpuMax", "pidsMax")
    [(event, fields)] = tree.warnings
    assert event == "limits.failed"
    assert fields["worker"] == "w3"


def test_a_group_that_cannot_be_ended_at_once(tree: Tree) -> None:
    """Without a descriptor to kill it with, the end of a worker goes on, and the next look kills
    the group."""
    tree.groups.start()
    tree.groups.put(3, 4321, LIMITS, "shop")
    with no_descriptors():
        tree.groups.end(3)
    group = f"worker-{os.getpid()}-w3"
    assert tree.content(group, "cgroup.kill") == ""
    tree.groups.sweep()
    assert tree.content(group, "cgroup.kill") == "1"


@pytest.mark.parametrize(
    ("controllers", "found"),
    [("", ()), ("cpuset io", ()), ("pids rdma memory", ("memory", "pids"))],
)
def test_controllers(tmp_path: Path, controllers: str, found: tuple[str, ...]) -> None:
    """Controllers that the folder lacks are left out; if it has none, that is the reason."""
    made = Tree(tmp_path / "cgroup", controllers)
    place = find_place(str(made.folder))
    assert place.controllers == found
    assert bool(place.reason) != bool(found)
    assert find_place(str(tmp_path / "gone")).reason.endswith("No such file or directory")


# Real control groups

ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


@pytest.fixture
def real() -> Iterator[Groups]:
    """Groups in a real cgroup v2 folder, whose limits need no controller."""
    for root in ROOTS:
        folder = Path(root, f"buntime-test-{os.getpid()}")
        if Path(root, "cgroup.controllers").exists():
            with contextlib.suppress(OSError):
                folder.mkdir()
                break
    else:
        pytest.skip("no cgroup v2 can be written here")
    groups = Groups(str(folder), lambda *_, **__: None)
    groups.place = find_place(str(folder))._replace(controllers=("none",))
    yield groups
    wait_until(lambda: groups.sweep() or not list(folder.glob("worker-*")), what="its end")
    folder.rmdir()


def test_what_leaves_a_worker_ends_with_it(real: Groups, tmp_path: Path) -> None:
    """A daemon in its own session, without an environment, is still in the worker's group, is
    killed with it, and the group is removed."""
    pid_file = tmp_path / "pid"
    code = (
        "import os, subprocess, sys; sys.stdin.readline()\n"
        f"subprocess.Popen(['setsid', 'env', '-i', '/bin/sh', '-c', 'echo $$ > {pid_file}.new;"
        f" /bin/mv {pid_file}.new {pid_file}; exec /bin/sleep 600'])\n"
        "sys.stdin.readline()"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    assert worker.stdin is not None
    real.put(1, worker.pid, (Limit("some", "1", "none", ()),), "shop")
    worker.stdin.write("\n")
    worker.stdin.flush()
    wait_until(pid_file.exists, what="the daemon")
    daemon = int(pid_file.read_text())
    worker.kill()
    worker.wait()
    assert is_alive(daemon)
    real.end(1)
    wait_until(lambda: not is_alive(daemon), what="the daemon's end")
    worker.stdin.close()
    folder = Path(real.place.folder or "")
    wait_until(lambda: real.sweep() or not list(folder.glob("worker-*")), what="the group's end")


def test_a_group_that_is_left(real: Groups) -> None:
    """Groups of a runtime that was killed are removed by the next one."""
    folder = Path(real.place.folder or "")
    (folder / "worker-1-w7").mkdir()
    again = Groups(str(folder), lambda *_, **__: None)
    again.start()
    left = list(folder.glob("worker-*"))
    assert left == [] or not again.place.controllers
    for path in left:
        path.rmdir()


def test_nothing_is_done_without_limits(real: Groups) -> None:
    """A worker without limits has no group, and none is looked for at its end."""
    began = time.monotonic()
    real.end(1)
    assert not real.look(1)
    assert time.monotonic() - began < 5


MOUNT = ROOTS[1] if Path(ROOTS[1], "cgroup.controllers").exists() else ROOTS[0]
LOOK = """
import os, sys
from buntime.server.sandbox.groups import find_place
sys.stdin.readline()
print(find_place("auto", mount=sys.argv[1]))
"""


@pytest.mark.parametrize("inner", ["", "runtime"])
def test_what_systemd_delegates(real: Groups, inner: str) -> None:
    """The service's group has a mark; a runtime that has moved into a leaf finds the mark above its
    own group."""
    folder = real.place.folder
    assert folder is not None
    try:
        os.setxattr(folder, "user.delegate", b"1")
    except OSError:
        pytest.skip("this kernel's cgroups bear no marks")
    Path(folder, inner).mkdir(exist_ok=True)
    command = [sys.executable, "-c", LOOK, MOUNT]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    Path(folder, inner, "cgroup.procs").write_text(str(child.pid))
    said, _ = child.communicate("\n", timeout=20)
    assert said.startswith(f"Place(folder={folder!r}")
    if inner:
        wait_until(lambda: not Path(folder, inner, "cgroup.procs").read_text(), what="its end")
        Path(folder, inner).rmdir()


def test_nothing_is_delegated(tmp_path: Path) -> None:
    """If this process's group has no mark it is not used, even if root could write to it."""
    place = find_place("auto", mount=str(tmp_path))
    assert place.folder is None
    assert "Delegate=yes" in place.reason


STANDS_ASIDE = """
import json, os, subprocess, sys
from buntime.core.sandbox import groups as limits
from buntime.server.sandbox import groups
folder = sys.argv[1]
limits.CONTROLLERS = groups.CONTROLLERS = ("hugetlb",)
sys.stdin.readline()  # until it was moved into the folder
made = groups.Groups(folder, lambda *args, **fields: print(args, fields))
made.start()
worker = subprocess.Popen(["sleep", "600"])
limit = limits.Limit("hugetlbMax", "4194304", "hugetlb", (("hugetlb.2MB.max", "4194304"),))
lost = made.put(1, worker.pid, (limit,), "shop")
own = open("/proc/self/cgroup").read().split("0::")[1].split()[0]
group = f"{folder}/worker-{os.getpid()}-w1"
told = {"controllers": made.place.controllers, "own": os.path.basename(own), "lost": lost,
        "limit": open(f"{group}/hugetlb.2MB.max").read().strip(),
        "procs": open(f"{group}/cgroup.procs").read().split() == [str(worker.pid)]}
made.end(1)
worker.wait()
while os.path.exists(group):
    made.sweep()
print(json.dumps(told))
"""


def test_a_controller_of_the_kernel(real: Groups) -> None:
    """The runtime moves aside, its folder gets the controller, and the kernel accepts the limit.
    This uses a controller that is seldom bound to cgroup v1; cpu, memory and pids are switched on
    and written in the same way."""
    folder = Path(real.place.folder or "")
    switch = folder.parent / "cgroup.subtree_control"
    is_on = "hugetlb" in switch.read_text().split()
    if "hugetlb" not in Path(folder.parent, "cgroup.controllers").read_text().split():
        pytest.skip("the kernel's cgroup v2 has no controller hugetlb here")
    if not is_on:
        try:
            switch.write_text("+hugetlb")
        except OSError as exc:
            pytest.skip(f"{switch} cannot be written: {exc.strerror}")
    try:
        if not (folder / "hugetlb.2MB.max").exists():
            pytest.skip("the controller hugetlb has no pages of 2 MB here")
        child = subprocess.Popen(
            [sys.executable, "-c", STANDS_ASIDE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        Path(folder, "cgroup.procs").write_text(str(child.pid))
        said, _ = child.communicate("\n", timeout=20)
        assert json.loads(said) == {
            "controllers": ["hugetlb"],
            "own": "runtime",
            "lost": [],
            "limit": "4194304",
            "procs": True,
        }
        wait_until(lambda: not (folder / "runtime/cgroup.procs").read_text(), what="its end")
        (folder / "runtime").rmdir()
    finally:
        if not is_on:
            Path(folder, "cgroup.subtree_control").write_text("-hugetlb")
            switch.write_text("-hugetlb")
