"""The apps of a siege: those that are timed, and the one that is attacked or attacks."""

from __future__ import annotations

from pathlib import Path

from tests.support.harness import write_app

_CALM = "from buntime import Response\ndef fetch(request):\n    return Response('fine')\n"
_ENDS_LATE = _CALM + "import time\ndef on_terminate():\n    time.sleep(60)\n"

_HOSTILE = '''
import os, subprocess, sys, threading, time
from buntime import Response

WINDOWS = """
import os, sys
line = b'{"type":"WINDOW","id":1,"credit":1}' + bytes([10])
while True:
    os.write(int(sys.argv[1]), line * 500)
"""

def channel():
    """The descriptor of the worker's channel: its only socket."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                return int(name)
        except OSError:
            pass

def say_for_ever(first, again):
    """Write to the channel, whatever its protocol says."""
    fd = channel()
    os.write(fd, first)
    while True:
        os.write(fd, again)

HEAD = b'{"type":"RESPONSE","id":1,"status":200,"headers":[],"end":false}' + bytes([10])
BODY = b'{"type":"BODY","id":1,"size":65536,"end":false}' + bytes([10]) + bytes(65536)
BUSY = (b'{"type":"BUSY","share":0.5}' + bytes([10])) * 1000

def print_for_ever(data):
    while True:
        os.write(1, data)

def fetch(request):
    what = request.path.strip("/")
    if what == "pipes":
        subprocess.Popen(["setsid", "yes"])
        time.sleep(0.1)
        os._exit(1)
    if what == "channel":
        fd = channel()
        command = ["setsid", sys.executable, "-I", "-S", "-c", WINDOWS, str(fd)]
        subprocess.Popen(command, pass_fds=[fd])
        time.sleep(0.2)
        os._exit(1)
    if what == "newlines":
        threading.Thread(target=print_for_ever, args=[bytes([10]) * 65536], daemon=True).start()
    elif what == "lines":
        threading.Thread(target=print_for_ever, args=[b"y" * 15 + bytes([10])], daemon=True).start()
    elif what == "bodies":
        say_for_ever(HEAD, BODY)
    elif what == "busy":
        say_for_ever(b"", BUSY)
    elif what == "sleep":
        time.sleep(3600)
    elif what == "pieces":
        return Response(b"x" for _ in range(10**9))
    elif what == "large":
        return Response(b"x" * 50_000 for _ in range(10**6))
    return Response("done")

def websocket(ws):
    for message in ws:
        ws.send(message)
'''


def write_apps(folder: Path) -> None:
    """The apps of a siege."""
    write_app(folder / "calm", {"app.py": _CALM}, ttl=3600)
    write_app(folder / "once", {"app.py": _CALM}, ttl=0)
    write_hostile(folder)


def write_hostile(folder: Path) -> None:
    """The app that is attacked or attacks, and a large file."""
    write_app(folder / "hostile", {"app.py": _HOSTILE}, ttl=3600, timeout=5, concurrency=20)
    write_app(folder / "hostile-once", {"app.py": _HOSTILE}, ttl=0, timeout=30)
    write_app(folder / "ends-late", {"app.py": _ENDS_LATE}, ttl=0)
    write_app(folder / "files", {"index.html": "<p>fine</p>"})
    (folder / "files" / "large.bin").write_bytes(bytes(32 * 1024 * 1024))
