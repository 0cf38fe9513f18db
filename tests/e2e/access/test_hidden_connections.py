"""An app that hides its connection from those who look for it gets no operator's session."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app
from tests.support.operators import ADMIN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="hides in ways that Linux has")

# Asks for the session that a browser gets, with a socket that /proc/PID/fd does not show meanwhile.
HIDING = r"""
import os, subprocess, sys
from buntime import Response

ASK = '''
import ctypes, os, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
port, how, out = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
REQUEST = (
    f"GET /api/session HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n"
    "Sec-Fetch-Site: same-origin\\r\\n\\r\\n"
).encode()
CORK, CLONE_FILES, EXIT = 3, 0x400, {"x86_64": 60, "aarch64": 93}[os.uname().machine]

def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=10)

def hear(sock):
    sock.settimeout(10)
    os.write(out, sock.recv(65536)[:3000])

def ask():
    sock = connect()
    sock.sendall(REQUEST)
    hear(sock)

def on_its_way():
    if how == "unaccepted":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\\0" + str(os.getpid()))
        listener.listen()
        near = socket.socket(socket.AF_UNIX)
        near.connect(listener.getsockname())
    else:
        near, far = socket.socketpair(socket.AF_UNIX)
    sock = connect()
    sock.setsockopt(socket.IPPROTO_TCP, CORK, 1)  # the kernel sends 0.2 s later
    sock.sendall(REQUEST)
    socket.send_fds(near, [b"x"], [sock.fileno()])
    inode = os.fstat(sock.fileno()).st_ino
    sock.close()
    while not answered(inode):
        pass
    if how == "unaccepted":
        far, _ = listener.accept()
    _, [fd], *_ = socket.recv_fds(far, 1, 1)
    hear(socket.socket(fileno=fd))

def answered(inode):
    for line in open("/proc/net/tcp"):
        fields = line.split()
        if fields[9] == str(inode):
            return int(fields[4].partition(":")[2], 16) > 0  # bytes that wait to be read
    return False

def in_a_table_of_its_own():
    if libc.unshare(CLONE_FILES):
        raise OSError(ctypes.get_errno())
    ask()

def run(way):
    try:
        way()
    except BaseException as exc:
        os.write(out, repr(exc).encode())
    os._exit(0)

if how == "thread":
    thread = threading.Thread(target=run, args=[in_a_table_of_its_own])
    thread.start()
    thread.join()
elif how == "leader":
    main = threading.main_thread().native_id
    def go():
        while b"Z" not in open(f"/proc/self/task/{main}/stat", "rb").read().split()[2]:
            pass
        run(ask)
    threading.Thread(target=go).start()
    libc.syscall(EXIT, 0)  # ends the main thread alone
else:
    run(on_its_way)
'''

def fetch(request):
    reading, writing = os.pipe()
    argv = [sys.executable, "-c", ASK, request.query["port"], request.query["how"], str(writing)]
    subprocess.run(argv, pass_fds=[writing])
    os.close(writing)
    return Response(os.read(reading, 3000).decode())
"""


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "hiding", {"app.py": HIDING}, ttl=60)
    write_app(apps / "open", {"app.py": HIDING}, ttl=60, sandbox="off")
    with running(apps, env={"RUNTIME_ENV": "development", **ADMIN}) as runtime:
        yield runtime


@pytest.mark.parametrize("app", ["hiding", "open"])
@pytest.mark.parametrize("how", ["in flight", "unaccepted", "thread", "leader"])
def test_a_hidden_connection(development: Runtime, app: str, how: str) -> None:
    """A socket is found in each thread of an app's process, and on its way between processes."""
    query = f"port={development.port}&how={how.replace(' ', '+')}"
    told = fetch(development, f"/{app}/?{query}").body.decode()
    assert told.startswith("HTTP/1.1 401 "), told
    assert "set-cookie" not in told
