"""What an app in its sandbox cannot do to others, and what it still can do."""

from __future__ import annotations

import os
import pwd
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.sandbox.kernel import Kernel
from buntime.core.sandbox.order import when_begun, when_prepared
from tests.support.fence import KERNEL, Fence, needs_abi, needs_sandbox
from tests.support.scriptedserver import make_certificate
from tests.support.workshop import Worker, Workshop, workshop

pytestmark = needs_sandbox

# Runs the code that it is posted, and answers with the result, or the name of the exception.
RUNS = """
import os, pathlib, sys
from buntime import Response
AROUND = pathlib.Path(os.environ["AROUND"])
RUNTIME = int(os.environ["RUNTIME"])  # its parent, unless it was forked from another process
AT_IMPORT = None
try:
    (AROUND / "other/app.py").read_text()
except OSError as exc:
    AT_IMPORT = type(exc).__name__

def fetch(request):
    scope = {"os": os, "sys": sys, "pathlib": pathlib, "AROUND": AROUND, "AT_IMPORT": AT_IMPORT}
    scope["RUNTIME"] = RUNTIME
    try:
        exec(request.text(), scope)
        return Response(str(scope.get("result")))
    except BaseException as exc:
        name = errno.errorcode.get(exc.errno) if isinstance(exc, OSError) else None
        return Response(name or f"{type(exc).__name__}: {exc}")

import errno
"""
LEVELS = pytest.mark.parametrize("level", ["standard", "strict"])


@pytest.fixture
def fence(shop: Workshop) -> Iterator[Fence]:
    with Fence(shop) as made:
        yield made


@pytest.fixture(params=["standard", "strict"], scope="module")
def shared(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fence, Worker]]:
    """A worker that many tests ask to do things, and the folders around its app."""
    folder = tmp_path_factory.mktemp("confined") / "app"
    folder.mkdir()
    with workshop(bundle, folder) as shop, Fence(shop) as fence:
        shop.forks = True
        yield fence, fence.start(RUNS, request.param)


@pytest.fixture
def confined(shared: tuple[Fence, Worker]) -> Worker:
    return shared[1]


def leave_descriptors(worker: Worker, room: int) -> None:
    """Let a worker open at most this many more files, once it is up."""
    worker.up()
    taken = {int(name) for name in os.listdir(f"/proc/{worker.process.pid}/fd")}
    lowest = next(number for number in range(len(taken) + 1) if number not in taken)
    limit = (lowest + room, lowest + room)
    resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, limit)


def run(worker: Worker, code: str) -> str:
    return worker.get(method="POST", body=code.encode()).text


def result(worker: Worker, expression: str) -> str:
    return run(worker, f"result = {expression}")


DENIED = {
    "another app's file": "open(AROUND / 'other/app.py')",
    "another app's folder": "os.listdir(AROUND / 'other')",
    "the folder of apps": "os.listdir(AROUND)",
    "a secret": "open(AROUND / 'state/key')",
    "a secret, truncated": "os.truncate(AROUND / 'state/key', 0)",
    "a secret, by a link": "os.symlink(AROUND / 'state/key', AROUND / 'scratch/link')"
    " or open(AROUND / 'scratch/link')",
    "a secret, by its process": "open(f'/proc/self/root{AROUND}/state/key')",
    "a secret, removed": "os.unlink(AROUND / 'state/key')",
    "a secret, moved here": "os.rename(AROUND / 'state/key', AROUND / 'scratch/key')",
    "another app's code": "open(AROUND / 'other/app.py', 'a')",
    "a new file elsewhere": "open(AROUND / 'free/new', 'w')",
    "a new folder elsewhere": "os.mkdir('/usr/mine')",
    "a file, moved elsewhere": "open(AROUND / 'scratch/a', 'w').close()"
    " or os.rename(AROUND / 'scratch/a', AROUND / 'other/a')",
    "the disk": "open('/dev/vda')",
    "the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'w')",
    "the runtime's environment": "open(f'/proc/{RUNTIME}/environ').read()",
    "the runtime's memory": "open(f'/proc/{RUNTIME}/mem')",
    "the runtime's files": "os.readlink(f'/proc/{RUNTIME}/fd/0')",
    "the runtime's root": "os.listdir(f'/proc/{RUNTIME}/root/')",
}
REFUSED = {"EACCES", "EPERM", "EXDEV"}


@pytest.mark.parametrize("what", DENIED)
def test_denied(shared: tuple[Fence, Worker], what: str) -> None:
    """What is neither the app's nor everybody's is out of reach, at both levels."""
    if what == "the disk" and not os.path.exists("/dev/vda"):
        pytest.skip("there is no such disk")
    fence, worker = shared
    assert result(worker, DENIED[what]) in REFUSED
    assert (fence.around / "state/key").read_text() == "secret"
    assert (fence.around / "other/app.py").read_text() == "SECRET = 1\n"


def test_denied_before_the_app_s_first_line(confined: Worker) -> None:
    """The sandbox is in force when the app is imported."""
    assert result(confined, "AT_IMPORT") == "PermissionError"


def test_programs_are_confined_too(confined: Worker) -> None:
    """Programs that the app starts have no more rights than the app."""
    code = """
import subprocess
done = subprocess.run("cat $AROUND/state/key; echo x > $AROUND/free/x; kill -0 $PPID && echo here",
                      shell=True, capture_output=True, text=True)
result = [done.stdout, done.stderr.count("Permission denied")]
"""
    assert run(confined, code) == "['here\\n', 2]"


@needs_abi(6)
def test_signals(confined: Worker) -> None:
    """The app can signal what it has started, but neither the runtime nor other workers."""
    assert result(confined, "os.kill(RUNTIME, 0)") == "EPERM"
    assert result(confined, "os.kill(1, 0)") == "EPERM"
    code = """
import subprocess
child = subprocess.Popen(["sleep", "60"])
child.terminate()
result = child.wait()
"""
    assert run(confined, code) == "-15"


@needs_abi(4)
def test_ports(confined: Worker) -> None:
    """The system chooses the TCP ports for listening, and connections can go anywhere."""
    code = """
import socket
with socket.socket() as sock, socket.socket() as client:
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    client.connect(sock.getsockname())
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    other.bind(("127.0.0.1", 8000))
"""
    assert run(confined, code) == "EACCES"


@needs_abi(4)
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
@pytest.mark.parametrize("protocol", [256, 262], ids=["SMC", "multipath TCP"])
def test_ports_by_another_name(confined: Worker, family: str, protocol: int) -> None:
    """Landlock lets sockets of these protocols bind any TCP port, so an app can make none."""
    code = f"""
import socket
with socket.socket(socket.{family}, socket.SOCK_STREAM, {protocol}) as sock:
    sock.bind(("localhost", 8000))
"""
    assert run(confined, code) == "EPERM"


CALLS = {
    "ptrace": "ptrace(16, RUNTIME, None, None)",
    "process_vm_readv": "process_vm_readv(RUNTIME, None, 0, None, 0, 0)",
    "mount": "mount(b'none', b'/mnt', b'tmpfs', 0, None)",
    "unshare": "unshare(0x10000000)",
    "setns": "setns(0, 0)",
    "a terminal's input": "ioctl(0, 0x5412, b'x')",
}


@pytest.mark.parametrize("call", CALLS)
def test_system_calls(confined: Worker, call: str) -> None:
    """System calls that reach into other processes, or the kernel, are refused."""
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
answer = libc.{CALLS[call]}
result = answer, ctypes.get_errno()
"""
    assert run(confined, code) == "(-1, 1)"


def test_immutable_files(confined: Worker) -> None:
    """Whoever can read a file cannot make it immutable, not even root."""
    code = """
import errno, fcntl, struct, tempfile
GET, SET, IMMUTABLE = 0x80086601, 0x40086602, 0x10  # FS_IOC_GETFLAGS and so on, see linux/fs.h
with tempfile.NamedTemporaryFile() as own, open(own.name, "rb") as file:
    [flags] = struct.unpack("q", fcntl.ioctl(file, GET, bytes(8)))
    fcntl.ioctl(file, SET, struct.pack("q", flags | IMMUTABLE))
    fcntl.ioctl(file, SET, struct.pack("q", flags))
"""
    answer = run(confined, code)
    if answer in ("ENOTTY", "EOPNOTSUPP"):
        pytest.skip("the file system has no such flags")
    assert answer == "EPERM"


def test_leases(confined: Worker) -> None:
    """The app cannot have others wait who open a file, neither one of its own nor another."""
    code = """
import fcntl, tempfile
with tempfile.NamedTemporaryFile() as own:
    fcntl.flock(own, fcntl.LOCK_EX)
    fcntl.lockf(own, fcntl.LOCK_EX)
    fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_WRLCK)
"""
    assert run(confined, code) == "EPERM"
    allowed = code.replace("F_SETLEASE, fcntl.F_WRLCK", "F_GETLEASE")
    assert run(confined, f"{allowed}    result = 'locked'") == "locked"


def test_limits_of_others(confined: Worker) -> None:
    """The app can set its own limits and priority, but not the runtime's."""
    code = "import resource\nresource.prlimit(RUNTIME, resource.RLIMIT_NOFILE, (8, 8))"
    assert "PermissionError" in run(confined, code) or run(confined, code) == "EPERM"
    assert result(confined, "os.setpriority(os.PRIO_PROCESS, RUNTIME, 19)") == "EPERM"
    assert result(confined, "os.sched_setaffinity(RUNTIME, {0})") == "EPERM"
    assert run(confined, "os.nice(1)\nos.sched_setaffinity(0, os.sched_getaffinity(0))") == "None"


def test_scheduling_of_others(confined: Worker) -> None:
    """The app can have itself scheduled behind others, but nobody else."""
    code = """
import subprocess
with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
    for pid in (0, other.pid):
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        result = "itself"
"""
    answer = run(confined, code)
    assert answer == "EPERM" or "PermissionError" in answer
    assert run(confined, code.replace("(0, other.pid)", "(0,)")) == "itself"


def test_no_new_privileges(confined: Worker) -> None:
    """Setuid programs give the app nothing; all threads are equally confined."""
    code = """
import threading
found = []
def look():
    with open("/proc/thread-self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    found.append((status["NoNewPrivs"].strip(), status["Seccomp"].strip()))
thread = threading.Thread(target=look)
thread.start()
thread.join()
result = found
"""
    assert run(confined, code) == "[('1', '2')]"


def test_root_s_capabilities(confined: Worker) -> None:
    """Root in a sandbox cannot read memory and disks, nor regain what was taken away."""
    if os.geteuid() != 0:
        pytest.skip("only root has capabilities")
    code = """
import subprocess
def of(text):
    status = dict(line.split(":", 1) for line in text.splitlines())
    return [int(status[name], 16) >> 17 & 1 for name in ("CapEff", "CapPrm", "CapBnd")]
child = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
result = of(open("/proc/self/status").read()), of(child)
"""
    assert run(confined, code) == "([0, 0, 0], [0, 0, 0])"


# What works


@LEVELS
def test_own_folders(fence: Fence, level: str) -> None:
    """Files can be moved between the folders that the app may write to, and so can whole
    folders."""
    worker = fence.shop.start(RUNS, **fence.init(level))  # type: ignore[arg-type]
    code = """
data, scratch = AROUND / "data", AROUND / "scratch"
(scratch / "new").mkdir()
(scratch / "new/file").write_text("x")
(scratch / "new").rename(data / "new")
(data / "new/file").rename(scratch / "file")
os.link(scratch / "file", data / "linked")
os.mkfifo(scratch / "fifo")
os.truncate(data / "linked", 0)
(data / "new").rmdir()
result = sorted(os.listdir(data)), sorted(os.listdir(scratch))
"""
    assert run(worker, code) == "(['linked'], ['fifo', 'file'])"
    code = """
(AROUND / "scratch/file").rename("moved")
pathlib.Path("moved").rename(AROUND / "data/moved")
"""
    assert run(worker, code) == ("None" if level == "standard" else "EACCES")


@LEVELS
def test_write(fence: Fence, level: str) -> None:
    """`write` opens the paths that it names."""
    init = fence.init(level, write=(fence.around / "free",))  # type: ignore[arg-type]
    worker = fence.shop.start(RUNS, **init)
    assert run(worker, "(AROUND / 'free/new').write_text('x')") == "None"
    assert (fence.around / "free/new").read_text() == "x"


def test_strict_runs_nothing_that_it_wrote(fence: Fence) -> None:
    """A program that the app has written runs in `standard`, and not in `strict`."""
    code = """
import subprocess
program = AROUND / "scratch/program"
program.write_text("#!/bin/sh\\necho ran")
program.chmod(0o755)
result = subprocess.run([program], capture_output=True, text=True).stdout
"""
    worker = fence.shop.start(RUNS, **fence.init("standard"))
    assert run(worker, code) == "ran\n"
    worker = fence.shop.start(RUNS, **fence.init("strict"))
    assert run(worker, code) == "EACCES"


def test_strict_reads_the_system_alone(fence: Fence) -> None:
    """With `strict` an app can read no home, no log, and nothing of /etc but what programs need."""
    worker = fence.shop.start(RUNS, **fence.init("strict"))
    for path in ("/root", "/home", "/var/log", "/etc", "/etc/ssl/private", "/"):
        if os.path.isdir(path):
            assert result(worker, f"os.listdir({path!r})") == "EACCES", path
    assert result(worker, "open('/etc/shadow')") == "EACCES"
    for name in ("passwd", "hosts", "resolv.conf", "nsswitch.conf", "ld.so.cache", "localtime"):
        if os.path.isfile(f"/etc/{name}"):
            assert result(worker, f"len(open('/etc/{name}', 'rb').read(2))") == "2", name
    assert run(worker, "open('app.py', 'a')") == "EACCES"


WORKS = {
    "spawn": """
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    result = pool.map(len, ["a", "bb"])
""",
    "fork": """
import multiprocessing
with multiprocessing.get_context("fork").Pool(1) as pool:
    result = pool.map(len, ["a", "bb"])
""",
    "forkserver": """
import multiprocessing
with multiprocessing.get_context("forkserver").Pool(1) as pool:
    result = pool.map(len, ["a", "bb"])
""",
    "shared memory": """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=16)
other = shared_memory.SharedMemory(block.name)
block.buf[0] = 2
result = [1, other.buf[0]]
other.close(), block.close(), block.unlink()
""",
    "temporary files": """
import shutil, tempfile
with tempfile.TemporaryDirectory() as folder:
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        file.write("x")
    os.replace(file.name, os.path.join(folder, "named"))
    shutil.move(os.path.join(folder, "named"), tempfile.gettempdir())
    result = [os.path.samefile(tempfile.gettempdir(), AROUND / "scratch") + 0,
              1 + os.path.exists(AROUND / "scratch/named")]
""",
    "home": """
folder = pathlib.Path.home() / ".cache/mine"
folder.mkdir(parents=True)
(folder / "a").write_text("x")
result = [1, 1 + (AROUND / "scratch/.cache").samefile(folder.parent)]
""",
    "names and certificates": """
import socket, ssl
context = ssl.create_default_context()
found = socket.getaddrinfo("localhost", 443, type=socket.SOCK_STREAM)
result = [1, 1 + (bool(found) and context.cert_store_stats()["x509_ca"] > 0)]
""",
    "a shell": """
import subprocess
done = subprocess.run("echo a | tr a 2 > $TMPDIR/out; cat $TMPDIR/out", shell=True,
                      capture_output=True, text=True)
result = [1, int(done.stdout)]
""",
    "who it is": """
import getpass, grp, pwd
pwd.getpwuid(os.getuid())
result = [1, 1 + bool(getpass.getuser())]
""",
    "time zones": """
import zoneinfo
result = [1, 1 + (len(zoneinfo.available_timezones()) > 100
                  and zoneinfo.ZoneInfo("Europe/Berlin").key == "Europe/Berlin")]
""",
    "a terminal": """
import pty
master, slave = pty.openpty()
result = [1, 1 + os.isatty(slave) + 0 * len(os.ttyname(slave))]
""",
    "devices": """
import errno
with open("/dev/null", "w") as sink:
    sink.write("x")
read = [len(open(f"/dev/{name}", "rb").read(1)) for name in ("urandom", "random", "zero", "full")]
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
except OSError as exc:  # there is no terminal, but it may be asked for
    if exc.errno != errno.ENXIO:
        raise
result = [1, 1 + min(read)]
""",
    "its own process": """
with open("/proc/self/comm", "w") as file:
    file.write("renamed")
with open("/proc/thread-self/comm") as file:
    result = [1, 1 + (open("/proc/self/comm").read() == "renamed\\n")]
""",
    "sqlite": """
import sqlite3
database = sqlite3.connect(AROUND / "data/a.db")
database.execute("pragma journal_mode=wal")
database.execute("create table t (a)")
database.execute("insert into t values (2)")
database.commit()
result = [1, database.execute("select a from t").fetchone()[0]]
""",
    "a unix socket": """
import socket
path = str(AROUND / "scratch/s")
path = os.path.relpath(path)
server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
client.connect(path)
result = [1, 2]
""",
}


@pytest.mark.parametrize("what", WORKS)
def test_works(confined: Worker, what: str) -> None:
    """What apps commonly do works, at both levels."""
    if what == "names and certificates" and not os.path.exists("/etc/ssl/certs"):
        pytest.skip("the system has no certificates")
    if what == "time zones" and not os.path.exists("/usr/share/zoneinfo"):
        pytest.skip("the system has no time zones")
    assert run(confined, WORKS[what]) == "[1, 2]"


TLS_BY_NAME = """
import socket, ssl, threading
folder = AROUND / "data"
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
client = ssl.create_default_context(cafile=folder / "cert.pem")

def serve(listener):
    with server.wrap_socket(listener.accept()[0], server_side=True) as peer:
        peer.sendall(b"fine")

with socket.create_server(("127.0.0.1", 0)) as listener:
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    with socket.create_connection(("localhost", listener.getsockname()[1]), timeout=10) as plain:
        with client.wrap_socket(plain, server_hostname="localhost") as sock:
            result = sock.recv(4).decode()
    thread.join()
"""


def test_tls_by_name(shared: tuple[Fence, Worker]) -> None:
    """A name is looked up and a certificate is checked for it, at both levels."""
    fence, worker = shared
    make_certificate(fence.around / "data")
    assert run(worker, TLS_BY_NAME) == "fine"


# Kernels, users, and failures


@pytest.mark.parametrize("abi", range(3, 8))
@LEVELS
def test_older_kernels(fence: Fence, abi: int, level: str) -> None:
    """An order for an older ABI is carried out, and denies what that ABI can."""
    if abi > KERNEL.abi:
        pytest.skip(f"the kernel has no Landlock of ABI {abi}")
    kernel = Kernel(abi, KERNEL.machine)
    init = fence.init(level, kernel=kernel)  # type: ignore[arg-type]
    worker = fence.shop.start(RUNS, **init)
    for what in ("another app's file", "a secret, truncated", "the runtime's environment"):
        assert result(worker, DENIED[what]) in REFUSED
    assert result(worker, "os.kill(RUNTIME, 0)") == ("EPERM" if abi >= 6 else "None")
    code = "import socket\nsocket.socket().bind(('127.0.0.1', 1))"
    assert run(worker, code) == ("EACCES" if abi >= 4 or os.geteuid() else "None")
    assert run(worker, WORKS["temporary files"]) == "[1, 2]"


def test_without_a_filter(fence: Fence) -> None:
    """On a kernel without seccomp, or a machine with unknown system calls, the rest is done."""
    init = fence.init("standard", kernel=Kernel(KERNEL.abi, "riscv64"))
    worker = fence.shop.start(RUNS, **init)
    assert result(worker, "open(AROUND / 'state/key')") == "EACCES"
    assert "Seccomp:\t0" in result(worker, "open('/proc/self/status').read()")


def test_with_a_user(open_shop: Workshop) -> None:
    """A worker that becomes a user is confined as that user, and cannot regain any capability."""
    nobody = pwd.getpwnam("nobody")
    user = {"uid": nobody.pw_uid, "gid": nobody.pw_gid, "groups": [nobody.pw_gid]}
    with Fence(open_shop) as fence:
        for folder in (fence.around / "data", fence.scratch):
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        init = fence.init("standard", becomes_user=True)
        worker = open_shop.start(RUNS, user=user, path=[], **init)
        assert result(worker, "open(AROUND / 'other/app.py')") == "EACCES"
        assert run(worker, "(AROUND / 'data/a').write_text('x')") == "None"
        assert run(worker, "open('/proc/self/comm', 'w')") == "EACCES"  # it is closed to its user
        status = result(worker, "open('/proc/thread-self/status').read()")
    assert "CapBnd:\t0000000000000000" in status
    assert "CapEff:\t0000000000000000" in status


def test_an_impossible_order_is_a_boot_error(fence: Fence) -> None:
    """An app is not loaded without the sandbox that it should have."""
    order = fence.order() | {"ruleset": "ff" * 24}
    worker = fence.shop.boot(RUNS, **fence.init() | {"sandbox": order})
    assert "the sandbox cannot be made: " in worker.boot_error()["message"]


def test_what_is_prepared_for_other_folders(fence: Fence) -> None:
    """Rules prepared for the surrounding folders are dropped if those have changed since."""
    (fence.around / "gone").mkdir()
    worker = fence.shop.spare()
    worker.send(fence.preparation())
    (fence.around / "gone").rename(fence.around / "other/moved")
    order = when_prepared(fence.order())
    fence.shop.write(RUNS)
    worker.init(**fence.init() | {"sandbox": order})
    worker.ready()
    assert result(worker, "os.listdir(AROUND / 'other/moved')") == "EACCES"
    assert result(worker, "os.listdir(AROUND / 'free')") == "[]"
    assert "Seccomp_filters:\t1" in result(worker, "open('/proc/self/status').read()")


@pytest.mark.parametrize("room", [0, 1])
@pytest.mark.parametrize("is_prepared", [False, True])
def test_without_descriptors(fence: Fence, room: int, *, is_prepared: bool) -> None:
    """If a path cannot be opened for lack of descriptors it is not left without a rule: the app is
    not loaded, and gets the reason."""
    worker = fence.shop.spare()
    leave_descriptors(worker, room)
    fence.shop.write(RUNS)
    order = fence.order()
    if is_prepared:
        worker.send(fence.preparation())
        order = when_begun(order, fence.plan().own, KERNEL)
    worker.init(**fence.init() | {"sandbox": order})
    message = worker.boot_error()["message"]
    assert re.match("the sandbox (cannot be made|needs _ctypes).*Too many open files", message)


def test_paths_that_are_gone_are_left_out(fence: Fence) -> None:
    """A path that was removed since it was listed, or became a link, gets no rule."""
    order = fence.order()
    os.symlink(fence.around / "state", fence.around / "link")
    order["rules"].append([order["rules"][0][0], [str(fence.around / "link"), "/gone"]])
    worker = fence.shop.start(RUNS, **fence.init() | {"sandbox": order})
    assert result(worker, "open(AROUND / 'state/key')") == "EACCES"


def test_loading_is_cheap(fence: Fence) -> None:
    """ctypes would make a worker's start a third slower, so it is not loaded as a whole."""
    fence.shop.forks = False
    worker = fence.shop.start(RUNS, **fence.init())
    assert result(worker, "('_ctypes' in sys.modules, 'ctypes' in sys.modules)") == "(True, False)"
