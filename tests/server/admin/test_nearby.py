"""Which process is at the other end of a loopback connection."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from buntime.confine import c_function
from buntime.server.admin.nearby import Nearby
from tests.support.harness import ROOT

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLD = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    host = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    try:
        sock = socket.create_server((host, 0), family=request.param)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with sock:
        yield sock


def test_another_process(listening: socket.socket) -> None:
    """A process started by this one, as if it were an app, is refused; so is one that is gone or
    cannot be found."""
    host, port, *_ = listening.getsockname()
    argv = [sys.executable, "-c", HOLD, host, str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        sock, place = listening.accept()
        with sock:
            client = (place[0], place[1])
            assert Nearby().refusal(client, port) == "an app has started it"
            assert "cannot be seen" in Nearby().refusal(client, port + 1)
            process.communicate()
            assert "cannot be seen" in Nearby().refusal(client, port)


# Each passes a socket on to itself, or leaves it to a thread with a table of its own.
CARRIES = """
import socket, sys
near, far = socket.socketpair(socket.AF_UNIX)
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
socket.send_fds(near, [b"x"], [sock.fileno()])
sock.close()
print("here", flush=True)
sys.stdin.read()
"""
WAITS = CARRIES.replace("near, far = socket.socketpair(socket.AF_UNIX)", """
far, near = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
far.bind("\\0" + str(id(sys)) + sys.argv[2])
far.listen()
near.connect(far.getsockname())
""")  # fmt: skip
SEPARATE = """
import ctypes, socket, sys, threading
def hold():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    print("here", flush=True)
    sys.stdin.read()
thread = threading.Thread(target=hold)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (CARRIES, "an app passes on descriptors, and it may be one of them"),
        (WAITS, "an app passes on descriptors, and it may be one of them"),
        (SEPARATE, "an app has started it"),
    ],
    ids=["in flight", "unaccepted", "in a thread's own table"],
)
def test_a_hidden_one(listening: socket.socket, program: str, why: str) -> None:
    """A process of an app is looked at in all places where it can have a socket."""
    host, port, *_ = listening.getsockname()
    argv = [sys.executable, "-c", program, host, str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        sock, place = listening.accept()
        with sock:
            assert Nearby().refusal((place[0], place[1]), port) == why
        process.communicate()


# Two processes that hand a socket to each other until stdin ends.
SHUTTLE = """
import os, select, socket, sys, time
near, far = socket.socketpair(socket.AF_UNIX)
fds = [socket.create_connection((sys.argv[1], int(sys.argv[2]))).detach()]
if os.fork() == 0:
    near.close()
    os.close(fds[0])
    while fds:
        _, fds, *_ = socket.recv_fds(far, 1, 1)
        time.sleep(0.002)
        if fds:
            socket.send_fds(far, [b"x"], fds)
            os.close(fds[0])
    os._exit(0)
far.close()
print("here", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    socket.send_fds(near, [b"x"], fds)
    os.close(fds[0])
    _, fds, *_ = socket.recv_fds(near, 1, 1)
    time.sleep(0.002)
"""


def test_one_on_the_move(listening: socket.socket) -> None:
    """A connection that is never long in one process is found by looking again."""
    host, port, *_ = listening.getsockname()
    argv = [sys.executable, "-c", SHUTTLE, host, str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        sock, place = listening.accept()
        with sock:
            found = {Nearby().refusal((place[0], place[1]), port) for _ in range(20)}
        process.communicate()
    assert "" not in found


# Processes without an end, each started by the one before, with a connection if there is a port;
# they bear a worker's mark, see buntime/server/defence/mark.py.
CHAIN = """
import os, resource, select, socket, sys
from buntime.wire import MARK_LIMIT, mark_ceiling
most = mark_ceiling(resource.getrlimit(MARK_LIMIT)[1]) - 1
resource.setrlimit(MARK_LIMIT, (most, most))
if len(sys.argv) > 1:
    sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("here", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    if os.fork():
        os._exit(0)
"""
# Leaves its connection to a process that has nothing to do with the one that started it.
APART = """
import os, socket, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def no_reaper() -> None:
    """Orphans do not become children of this process, as they do once a test has made it a reaper:
    then they would be an app's."""
    assert c_function("prctl")(_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


@contextlib.contextmanager
def running(program: str, *args: str) -> Iterator[None]:
    argv = [sys.executable, "-c", program, *args]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        yield
        process.communicate()


@pytest.mark.usefixtures("no_reaper")
def test_one_that_no_app_has(listening: socket.socket) -> None:
    """A connection held by a process that is not an app's is let in, also where it must be of our
    user."""
    host, port, *_ = listening.getsockname()
    with running(APART, host, str(port)):
        sock, place = listening.accept()
        with sock:
            assert Nearby().refusal((place[0], place[1]), port) == ""
            assert Nearby().refusal((place[0], place[1]), port, is_ours=True) == ""


@pytest.mark.usefixtures("no_reaper")
def test_while_apps_start_processes(listening: socket.socket) -> None:
    """Who is seen to have its connection is let in; a process of an app that may have it is not."""
    host, port, *_ = listening.getsockname()
    with running(APART, host, str(port)), running(CHAIN):
        sock, place = listening.accept()
        with sock:
            found = {Nearby().refusal((place[0], place[1]), port) for _ in range(3)}
    assert found == {""}
    with running(CHAIN, host, str(port)):
        sock, place = listening.accept()
        with sock:
            found = {Nearby().refusal((place[0], place[1]), port) for _ in range(3)}
    assert found <= {
        "an app has started it",
        "an app may have started it: apps keep starting processes",
    }


# Processes, each started by the one before, until stdin ends.
NESTED = """
import os, sys
for _ in range(60):
    if os.fork():
        os.wait()
        os._exit(0)
print("here", flush=True)
sys.stdin.read()
"""
COUNTS = """
import os, socket
from buntime.server.admin.nearby import Nearby
from tests.support.callcount import count_calls
with socket.create_server(("127.0.0.1", 0)) as sock:
    near = socket.create_connection(sock.getsockname())
    where = near.getsockname(), sock.getsockname()[1]
    nearby = Nearby()
    while nearby.refusal(*where):  # others start processes, too
        pass
    count = count_calls(lambda: nearby.refusal(*where))
    print(count / sum(map(str.isdigit, os.listdir("/proc"))))
"""


def test_many_above_each_other() -> None:
    """Each process is looked at once, however many processes it has started."""
    argv = [sys.executable, "-c", NESTED]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        counts = subprocess.run(
            [sys.executable, "-c", COUNTS], cwd=ROOT, capture_output=True, check=True, timeout=60
        )
        process.communicate()
    assert float(counts.stdout) < 300, "calls for each process of the machine"


# A runtime without root, with an app whose process cannot be inspected. It prints why each
# connection is refused; the first connection is the app's own.
RUNTIME = """
import socket, subprocess, sys
from buntime.server.admin.nearby import Nearby
nearby = Nearby()
sock = socket.create_server(("127.0.0.1", 0))
argv = [sys.executable, "-c", sys.argv[1], "127.0.0.1", str(sock.getsockname()[1]), "hidden"]
app = subprocess.Popen(argv, stdin=subprocess.PIPE)
print(sock.getsockname()[1], flush=True)
while True:
    connection, place = sock.accept()
    print(nearby.refusal(place, sock.getsockname()[1], is_ours=True), flush=True)
"""
VISITOR = """
import ctypes, socket, sys
if sys.argv[3] == "hidden":
    assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sys.stdin.read()
"""
HIDDEN = "an app may have started it: some processes of apps cannot be seen"
IS_ROOT = sys.platform == "linux" and os.geteuid() == 0
# The tests' own interpreter may be closed to other users.
PYTHON = (IS_ROOT and shutil.which("python3", path="/usr/bin:/usr/local/bin")) or sys.executable


def test_beside_an_app_that_cannot_be_seen() -> None:
    """Only a process that can be inspected is let in: neither the app, nor one that hides like
    it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with contextlib.ExitStack() as stack:

        def start(*words: str, is_root: bool = False) -> subprocess.Popen[str]:
            user = None if is_root or not IS_ROOT else 65534
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                [PYTHON, "-c", *words], stdin=pipe, stdout=pipe, text=True, env=env,
                user=user, group=user, extra_groups=None if user is None else [],
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        def told() -> str:
            assert runtime.stdout is not None
            return runtime.stdout.readline().rstrip("\n")

        tried = start("import buntime.server.admin.nearby")
        if tried.wait(20):
            pytest.skip("the checkout is closed to other users, or their Python is too old")
        runtime = start(RUNTIME, VISITOR)
        port = told()
        assert told() == HIDDEN
        start(VISITOR, "127.0.0.1", port, "plain")
        assert told() == ""
        start(VISITOR, "127.0.0.1", port, "hidden")
        assert told() == HIDDEN
        if IS_ROOT:
            start(VISITOR, "127.0.0.1", port, "hidden", is_root=True)
            assert told() == ""
