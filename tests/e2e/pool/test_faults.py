"""Apps that fail in every way: each harms its own request only, and the log says what happened."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import Answer, Gates, fetch, workers_of
from tests.support.harness import (
    Runtime,
    is_alive,
    read_all,
    read_until,
    running,
    wait_until,
    write_app,
)

NEIGHBOUR = """
from buntime import Response

def fetch(request):
    return Response("fine")
"""

# Handlers by name; those in RAISES fail at their request, those in DIES end their process too.
RAISES = {
    "exit": "sys.exit('bye')",
    "exit-0": "sys.exit(0)",
    "exit-site": "exit(1)",
    "raise": "raise ValueError('a mistake')",
    "interrupt": "raise KeyboardInterrupt",
    "generator-exit": "raise GeneratorExit",
    "base": "raise type('Odd', (BaseException,), {})('odd')",
    "unprintable": "raise Unprintable",
    "recursion": "return handler(request)",
    "memory": "bytearray(1 << 60)",
    "none": "return None",
    "number": "return 42",
    "text": "return 'text'",
    "pair": "return 'text', 200",
    "coroutine": "return coroutine()",
    "status": "return Response('x', 99)",
    "status-word": "return Response('x', 'OK')",
    "header-value": "return Response('x', headers={'x-a': 'a\\r\\nx-b: b'})",
    "header-name": "return Response('x', headers={'x a': 'b'})",
    "header-number": "return Response('x', headers={'x-a': 5})",
    "body": "return Response(object())",
    "length": "return Response('x', headers={'content-length': 'many'})",
}
DIES = {
    "exit-now": "os._exit(0)",
    "exit-now-3": "os._exit(3)",
    "abort": "os.abort()",
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "ctypes.string_at(0)",
    "exec": "os.execv('/bin/true', ['true'])",
    "close-all": "os.closerange(0, 4096); return Response('unheard')",
    "close-channel": "[os.close(fd) for fd in sockets()]; return Response('unheard')",
    "shut-channel": "[end(fd) for fd in sockets()]; return Response('unheard')",
}
# Each is noticed in a way of its own: by the end of the process, or of its channel.
TRIED_AGAIN = ("kill", "close-all", "shut-channel")
FAULTY = """
import ctypes, os, pathlib, signal, socket, sys, time
from buntime import Response

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__

async def coroutine():
    return Response("x")

def sockets():
    \"\"\"The descriptors that are sockets: the channel.\"\"\"
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + fd).startswith("socket:"):
                yield int(fd)
        except OSError:
            pass

def end(fd):
    socket.socket(fileno=fd).shutdown(socket.SHUT_RDWR)

def count(request):
    \"\"\"Leave a mark for each time that a request is handled.\"\"\"
    with open(os.path.join(os.environ["GATES"], request.id), "a") as marks:
        marks.write("x")

routes = {"/": Response("fine")}

""" + "".join(
    f"def handler(request):\n    count(request)\n    {code}\nroutes['/{name}'] = handler\n\n"
    for name, code in {**RAISES, **DIES}.items()
).replace("return handler(request)", "return routes['/recursion'](request)")

PRINTS = """
import os, subprocess, sys
from buntime import Response

print("printed at import")

def fetch(request):
    print("printed before")
    os.write(1, b"written to 1\\n")
    os.write(2, b"written to 2\\n")
    sys.stdout.write("unended")
    sys.stdout.flush()
    subprocess.run(["echo", " by echo"], check=True)
    print("no \\ud800 text \\x1b[31m")
    return Response("answered")
"""

# Writes a message of its own into its channel to the runtime, then answers.
FORGES = """
import json, os, pathlib
from buntime import Response

def channel():
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + fd).startswith("socket:"):
                return int(fd)
        except OSError:
            pass

def fetch(request):
    data = pathlib.Path(os.environ["GATES"], request.query["file"]).read_bytes()
    while data:
        data = data[os.write(channel(), data):]
    return Response("answered")
"""

# What else it must not say is in tests/server/pool/test_worker.py.
FORGED = {
    "garbage": b"garbage\n",
    "endless-line": b"x" * (2 << 20),
    "deep": b'{"type":"ERROR","id":' + b"[" * 200_000 + b"\n",
    "headers-nested-stream": b'{"type":"RESPONSE","id":1,"status":200,"headers":[[[1],2]],'
    b'"end":false}\n',
    "header-split": b'{"type":"RESPONSE","id":1,"status":200,"headers":[["a","b\\r\\nc: d"]],'
    b'"end":true}\n',
    "error-of-boot": b'{"type":"ERROR","message":"late","stack":""}\n',
    "ready-again": b'{"type":"READY","kind":"fetch","concurrency":9,"boot_ms":1}\n',
    "ready-garbage": b'{"type":"READY","kind":5,"concurrency":"x","boot_ms":[]}\n',
    "window-unknown": b'{"type":"WINDOW","id":"x","credit":5}\n',
    "answer-twice": b'{"type":"RESPONSE","id":1,"status":200,"headers":[],"end":false}\n' * 2,
    "answer-of-its-own": b'{"type":"RESPONSE","id":1,"status":200,"headers":[],"end":true}\n',
}

WSGI = {
    "status-number": "start_response(200, []); return [b'x']",
    "status-word": "start_response('OK', []); return [b'x']",
    "status-1xx": "start_response('101 Switch', []); return [b'x']",
    "header-split": "start_response('200 OK', [('a', 'b\\r\\nc: d')]); return [b'x']",
    "header-bytes": "start_response('200 OK', [(b'a', b'b')]); return [b'x']",
    "header-no-latin": "start_response('200 OK', [('a', '\\u20ac')]); return [b'x']",
    "body-text": "start_response('200 OK', []); return 'text'",
    "body-texts": "start_response('200 OK', []); return ['text']",
    "body-none": "start_response('200 OK', []); return None",
    "unstarted": "return [b'x']",
    "started-twice": "start_response('200 OK', []); start_response('200 OK', []); return [b'x']",
    "length-text": "start_response('200 OK', [('content-length', 'x')]); return [b'x']",
}
WSGI_APP = "".join(
    f"def fault_{number}(environ, start_response):\n    {code}\n\n"
    for number, code in enumerate(WSGI.values())
) + (
    f"faults = dict(zip({list(WSGI)!r}, [{', '.join(f'fault_{n}' for n in range(len(WSGI)))}]))\n"
    "def app(environ, start_response):\n"
    "    return faults[environ['PATH_INFO'][1:]](environ, start_response)\n"
)

START = "{'type': 'http.response.start', 'status': 200, 'headers': []}"
ASGI = {
    "nothing": "pass",
    "started-only": f"await send({START})",
    "unknown-type": "await send({'type': 'nonsense'})",
    "no-dict": "await send('text')",
    "body-first": "await send({'type': 'http.response.body', 'body': b'x'})",
    "status-text": "await send({'type': 'http.response.start', 'status': '200', 'headers': []})",
    "status-none": "await send({'type': 'http.response.start', 'headers': []})",
    "header-split": "await send({'type': 'http.response.start', 'status': 200,"
    " 'headers': [(b'a', b'b\\r\\nc: d')]}); await send({'type': 'http.response.body'})",
    "header-text": "await send({'type': 'http.response.start', 'status': 200,"
    " 'headers': [('a', '\\u20ac')]}); await send({'type': 'http.response.body'})",
    "body-text": f"await send({START}); await send({{'type': 'http.response.body', 'body': 'x'}})",
    "raises": "raise ValueError('a mistake')",
    "exits": "sys.exit(3)",
    "cancelled": "raise asyncio.CancelledError",
}
ASGI_APP = (
    "import asyncio, sys\n"
    + "".join(
        f"async def fault_{number}(scope, receive, send):\n    {code}\n\n"
        for number, code in enumerate(ASGI.values())
    )
    + (
        f"faults = dict(zip({list(ASGI)!r},"
        f" [{', '.join(f'fault_{n}' for n in range(len(ASGI)))}]))\n"
        "async def app(scope, receive, send):\n"
        "    await faults[scope['path'].rpartition('/')[2]](scope, receive, send)\n"
    )
)

# Sends the first piece, then fails.
BREAKS = """
import os, signal
from buntime import Response

def pieces(then):
    yield b"first "
    then()

def fail():
    raise ValueError("broke off")

def more():
    pass

THEN = {
    "raise": fail,
    "exit": lambda: os._exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "short": more,
}

def fetch(request):
    headers = {"content-length": "100"} if "length" in request.query else {}
    return Response(pieces(THEN[request.path[1:]]), headers=headers)
"""

BOOT = {
    "syntax": ("def fetch(:\n", "SyntaxError"),
    "missing-module": ("import no_such_module_here\n", "no_such_module_here"),
    "raises": ("raise RuntimeError('wrong from the start')\n", "wrong from the start"),
    "exits": ("import sys\nsys.exit('not today')\n", "not today"),
    "nothing": ("x = 1\n", "nothing to serve"),
    "not-callable": ("fetch = 5\n", "fetch is an int"),
    "no-argument": ("def fetch(): ...\n", "must take one argument"),
    "hook": ("def fetch(request): ...\non_idle = 5\n", "on_idle must be a function"),
    "exits-now": ("import os\nos._exit(3)\n", "exit code 3"),
    "killed": ("import os\nos.kill(os.getpid(), 9)\n", "SIGKILL"),
}

LEAVES = {
    "raise": "raise ValueError('no goodbye')",
    "exit": "sys.exit(1)",
    "exit-now": "os._exit(3)",
    "kill": "os.kill(os.getpid(), 9)",
    "recursion": "on_terminate()",
}

STARTS = (
    Gates.CODE
    + """
import subprocess

def fetch(request):
    if request.path == "/returns":
        os.fork()
        return Response("from a fork?")
    if request.path == "/fork":
        child = os.fork()
        if child == 0:
            os._exit(7)
        return Response(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    if request.path == "/run":
        return Response(subprocess.run(["echo", "hello"], capture_output=True).stdout)
    if request.path == "/background":
        return Response(str(subprocess.Popen(["sleep", "1000"]).pid))
    if request.path == "/pool":
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return Response(str(pool.map(abs, [-1, -2])))
"""
)

RETRIED = (
    Gates.CODE
    + """
def fetch(request):
    if request.path == "/die":
        os._exit(1)
    with open(os.path.join(os.environ["GATES"], request.id), "a") as marks:
        marks.write("x")
    pass_through(request.query["gate"])
    return Response("answered")
"""
)

# Its import waits for a gate.
LOADS = (
    Gates.CODE
    + """
reach(f"loads-{os.getpid()}")
pass_through("load")

def fetch(request):
    return Response("answered")
"""
)

# Each process waits for a gate of its own.
LOADS_ALONE = LOADS.replace('"load"', 'f"load-{os.getpid()}"')


class Bystander:
    """Requests a neighbour again and again, and reads a stream of it, while apps fail beside it."""

    def __init__(self, runtime: Runtime) -> None:
        self.answers = 0
        self.failures: list[object] = []
        self._runtime = runtime
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._is_over.wait(0.2):
            try:
                answer = fetch(self._runtime, "/neighbour/")
            except OSError as exc:
                self.failures.append(exc)
                continue
            self.answers += 1
            if (answer.status, answer.body) != (200, b"fine"):
                self.failures.append(answer)


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, gates: Gates) -> Iterator[Runtime]:
    """A runtime in development, whose neighbouring app must never be affected."""
    apps = tmp_path_factory.mktemp("apps")

    def app(name: str, text: str, file: str = "app.py", **manifest: object) -> None:
        write_app(apps / name, {file: text}, env=gates.env, timeout=15, **manifest)

    app("neighbour", NEIGHBOUR, ttl=600)
    app("kept", FAULTY, ttl=600)
    app("once", FAULTY)
    app("prints", PRINTS, ttl=600)
    app("forges", FORGES)
    app("forges-kept", FORGES, ttl=600)
    app("wsgi", WSGI_APP, ttl=600)
    app("asgi", ASGI_APP, ttl=600)
    app("breaks", BREAKS, ttl=600)
    app("starts", STARTS, ttl=600)
    app("starts-once", STARTS)
    app("retried", RETRIED, ttl=600)
    app("loads-once", LOADS)
    for name, (text, _) in BOOT.items():
        app(f"boot-{name}", text, ttl=600)
        app(f"boot-once-{name}", text)
    for name, code in LEAVES.items():
        app(f"leaves-{name}", f"{NEIGHBOUR}\nimport os, sys\ndef on_terminate():\n    {code}\n")
    env = {"RUNTIME_POOL_SIZE": "100"}
    with running(apps, env=env) as runtime:
        bystander = Bystander(runtime)
        yield runtime
        bystander.stop()
        assert runtime.process.poll() is None
        assert bystander.answers > 0
        assert bystander.failures == []
        assert [r for r in runtime.records if r["event"] == "runtime.internal_error"] == []


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, gates: Gates) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "kept", {"app.py": FAULTY}, ttl=60, env=gates.env)
    write_app(apps / "boot", {"app.py": "raise RuntimeError('wrong from the start')\n"}, ttl=60)
    write_app(apps / "manifest", {"app.py": NEIGHBOUR}, colour="red")
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


def check_error(answer: Answer, status: int, code: str) -> None:
    """Expects an error of the runtime that contains the request's id."""
    assert (answer.status, answer.error["code"]) == (status, code), answer.body
    assert answer.error["requestId"] == answer.headers["x-request-id"]


# ---- at a request


@pytest.mark.parametrize(
    ("app", "fault"),
    [("kept", fault) for fault in RAISES] + [("once", fault) for fault in ("exit", "raise")],
)
def test_handler_that_fails(runtime: Runtime, app: str, fault: str) -> None:
    """A handler that raises, or returns no valid response, gives 500 with its traceback."""
    answer = fetch(runtime, f"/{app}/{fault}")
    check_error(answer, 500, "app_error")
    record = runtime.wait_for_record(
        "app.request_failed", request_id=answer.headers["x-request-id"]
    )
    assert (record["app"], record["path"]) == (app, f"/{app}/{fault}")
    assert record["stack"]
    assert answer.error["stack"] == record["stack"]
    assert fetch(runtime, f"/{app}/").body == b"fine"


@pytest.mark.parametrize(
    ("app", "fault"),
    [("kept", fault) for fault in DIES] + [("once", fault) for fault in ("exit-now", "close-all")],
)
def test_handler_that_takes_its_process_along(
    runtime: Runtime, gates: Gates, app: str, fault: str
) -> None:
    """A handler that ends its process gives 502: a POST after one try, a GET after two."""
    methods = {"POST": "x", "GET": "xx"} if fault in TRIED_AGAIN else {"POST": "x"}
    for method, tries in methods.items():
        name = f"{method}-{app}-{fault}"
        answer = fetch(runtime, f"/{app}/{fault}", method=method, headers={"x-request-id": name})
        check_error(answer, 502, "worker_died")
        assert (gates.folder / name).read_text() == tries
    assert fetch(runtime, f"/{app}/").body == b"fine"


def test_death_is_logged_with_its_cause(runtime: Runtime) -> None:
    """The log says how a worker died."""
    fetch(runtime, "/kept/kill", method="POST")
    runtime.wait_for_record("worker.died", app="kept", how="killed by SIGKILL", requests=1)
    fetch(runtime, "/kept/exit-now-3", method="POST")
    runtime.wait_for_record("worker.died", app="kept", how="exit code 3", requests=1)


def test_requests_beside_one_that_kills_their_worker(runtime: Runtime, gates: Gates) -> None:
    """When a worker dies, its GET is served by another worker, and its POST is answered 502."""
    with ThreadPoolExecutor() as threads:
        get, post = (
            threads.submit(
                fetch,
                runtime,
                "/retried/?gate=retry",
                method=method,
                headers={"x-request-id": f"{method}-beside"},
            )
            for method in ("GET", "POST")
        )
        gates.wait_for("GET-beside")
        gates.wait_for("POST-beside")
        check_error(fetch(runtime, "/retried/die", method="POST"), 502, "worker_died")
        check_error(post.result(), 502, "worker_died")
        gates.open("retry")
        assert get.result().body == b"answered"
    assert (gates.folder / "GET-beside").read_text() == "xx"
    assert (gates.folder / "POST-beside").read_text() == "x"


def test_worker_that_is_killed_while_it_loads(runtime: Runtime, gates: Gates) -> None:
    """A kill while loading is not the app's fault: a GET is tried again, a POST gets 502."""
    with ThreadPoolExecutor() as threads:
        answers = {
            method: threads.submit(fetch, runtime, "/loads-once/", method=method)
            for method in ("GET", "POST")
        }
        wait_until(lambda: len(workers_of(runtime, "loads-once")) == 2)
        for worker in workers_of(runtime, "loads-once"):
            gates.wait_for(f"loads-{worker['pid']}")
            os.kill(worker["pid"], signal.SIGKILL)
        check_error(answers["POST"].result(), 502, "worker_died")
        gates.open("load")
        assert answers["GET"].result().body == b"answered"


def test_retry_while_spares_are_missing(tmp_path: Path) -> None:
    """A GET whose worker dies is served by a new process, also if spares may start again then.

    As many apps load as may at once, so there is no spare. When the first has loaded there may be
    one, but nothing looks until the worker dies: then the retry and the spare both ask for a
    process.
    """
    gates = Gates()
    write_app(tmp_path / "apps/retried", {"app.py": RETRIED}, ttl=600, env=gates.env)
    write_app(tmp_path / "apps/slow", {"app.py": LOADS_ALONE}, prewarm=500, env=gates.env)
    env = {"RUNTIME_POOL_SIZE": "500", "RUNTIME_SPARE_WORKERS": "1"}
    with ThreadPoolExecutor() as threads, running(tmp_path / "apps", env=env) as runtime:
        get = threads.submit(
            fetch, runtime, "/retried/?gate=retry", headers={"x-request-id": "GET-alone"}
        )
        gates.wait_for("GET-alone")
        wait_until(lambda: not workers_of(runtime, None))
        (killed,) = workers_of(runtime, "retried")
        loading = workers_of(runtime, "slow")[0]
        gates.open(f"load-{loading['pid']}")
        runtime.wait_for_record("worker.ready", worker=loading["id"])
        os.kill(killed["pid"], signal.SIGKILL)
        gates.open("retry")
        assert get.result().body == b"answered"
        runtime.stop(signal.SIGKILL)  # otherwise the stop would wait for the apps that load


@pytest.mark.parametrize("fault", WSGI)
def test_wsgi_app_that_breaks_its_protocol(runtime: Runtime, fault: str) -> None:
    """A WSGI app that answers garbage gives 500 with the reason in the log."""
    answer = fetch(runtime, f"/wsgi/{fault}")
    check_error(answer, 500, "app_error")
    runtime.wait_for_record(
        "app.request_failed", request_id=answer.headers["x-request-id"], app="wsgi"
    )


@pytest.mark.parametrize("fault", ASGI)
def test_asgi_app_that_breaks_its_protocol(runtime: Runtime, fault: str) -> None:
    """An ASGI app that answers garbage, or nothing, gives 500 with the reason in the log."""
    answer = fetch(runtime, f"/asgi/{fault}")
    check_error(answer, 500, "app_error")
    runtime.wait_for_record(
        "app.request_failed", request_id=answer.headers["x-request-id"], app="asgi"
    )


@pytest.mark.parametrize("fault", FORGED)
def test_app_that_writes_into_its_channel(runtime: Runtime, gates: Gates, fault: str) -> None:
    """Whatever an app writes into the channel, its request ends soon, and nothing else suffers."""
    (gates.folder / fault).write_bytes(FORGED[fault])
    try:
        answer = fetch(runtime, f"/forges/?file={fault}", method="POST", body=b"x")
    except OSError as exc:  # it had begun an answer, which is cut off
        assert fault == "answer-twice", exc  # noqa: PT017  # both outcomes are checked
        return
    if answer.status == 200:
        assert answer.body == (b"" if fault == "answer-of-its-own" else b"answered")
    else:
        assert answer.status in (500, 502), answer
        assert answer.error["requestId"] == answer.headers["x-request-id"]
    wait_until(lambda: not workers_of(runtime, "forges", inHand=1))


def test_worker_that_says_twice_that_it_is_ready(runtime: Runtime, gates: Gates) -> None:
    """A worker that breaks the protocol while it is idle or busy is replaced."""
    (gates.folder / "ready").write_bytes(FORGED["ready-again"])
    answer = fetch(runtime, "/forges-kept/?file=ready", method="POST", body=b"x")
    check_error(answer, 502, "worker_died")
    (gates.folder / "nothing").touch()
    answer = fetch(runtime, "/forges-kept/?file=nothing", method="POST", body=b"x")
    assert answer.body == b"answered"


# ---- in the middle of an answer


@pytest.mark.parametrize("fault", ["raise", "exit", "kill"])
def test_stream_that_breaks_off_does_not_look_whole(runtime: Runtime, fault: str) -> None:
    """A chunked answer that fails lacks its last chunk, and the log has the traceback."""
    with runtime.connect() as sock:
        sock.sendall(f"GET /breaks/{fault} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        data = read_until(sock, b"first ") + read_all(sock)
    assert b"transfer-encoding: chunked" in data
    assert not data.endswith(b"0\r\n\r\n")
    if fault == "raise":
        record = runtime.wait_for_record("app.request_failed", path="/breaks/raise")
        assert "broke off" in record["stack"]


@pytest.mark.parametrize("fault", ["raise", "exit", "kill", "short"])
def test_answer_shorter_than_its_length_is_cut(runtime: Runtime, fault: str) -> None:
    """An answer that fails before its Content-Length is cut off, and so is the connection."""
    with runtime.connect() as sock:
        sock.sendall(f"GET /breaks/{fault}?length HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        data = read_until(sock, b"first ") + read_all(sock)
    assert b"content-length: 100" in data
    assert data.endswith(b"first ")


@pytest.mark.parametrize("fault", ["raise", "exit"])
def test_answer_to_http_1_0_is_reset(runtime: Runtime, fault: str) -> None:
    """If the body ends with the connection, a failure is shown by a reset."""
    with runtime.connect() as sock:
        sock.sendall(f"GET /breaks/{fault} HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            while sock.recv(65536):
                pass


# ---- what it prints and starts


def test_output_never_gets_into_the_answer(runtime: Runtime) -> None:
    """What an app prints, or writes to descriptors 1 and 2, is logged line by line."""
    answer = fetch(runtime, "/prints/")
    assert (answer.status, answer.body) == (200, b"answered")
    for line, stream in [
        ("printed at import", "stdout"),
        ("printed before", "stdout"),
        ("written to 1", "stdout"),
        ("written to 2", "stderr"),
        ("unended by echo", "stdout"),
        ("no \\ud800 text \x1b[31m", "stdout"),
    ]:
        runtime.wait_for_line(line, app="prints", stream=stream)


@pytest.mark.parametrize(
    ("app", "path", "body"),
    [
        ("starts", "fork", b"7"),
        ("starts", "run", b"hello\n"),
        ("starts", "pool", b"[1, 2]"),
        ("starts-once", "pool", b"[1, 2]"),
    ],
)
def test_app_that_starts_processes(runtime: Runtime, app: str, path: str, body: bytes) -> None:
    """An app may fork, run programs and use multiprocessing."""
    answer = fetch(runtime, f"/{app}/{path}")
    assert (answer.status, answer.body) == (200, body)


def test_fork_that_returns_does_not_answer_twice(runtime: Runtime) -> None:
    """A forked child that returns into the worker ends there, and the parent's answer is sent."""
    answer = fetch(runtime, "/starts/returns")
    assert (answer.status, answer.body) == (200, b"from a fork?")
    assert fetch(runtime, "/starts/run").body == b"hello\n"


def test_what_a_worker_started_ends_with_it(runtime: Runtime) -> None:
    """A program that an app left running ends with its worker."""
    pid = int(fetch(runtime, "/starts-once/background").body)
    wait_until(lambda: not is_alive(pid), what="the end of what the app started")


@pytest.mark.parametrize("fault", LEAVES)
def test_on_terminate_that_fails(runtime: Runtime, fault: str) -> None:
    """An on_terminate that fails harms nothing: the answer is sent and the worker ends."""
    answer = fetch(runtime, f"/leaves-{fault}/")
    assert (answer.status, answer.body) == (200, b"fine")
    wait_until(lambda: not workers_of(runtime, f"leaves-{fault}"))


# ---- at its start


@pytest.mark.parametrize(
    ("prefix", "fault"),
    [("boot", fault) for fault in BOOT]
    + [("boot-once", fault) for fault in ("syntax", "exits", "killed")],
)
def test_app_that_cannot_be_loaded(runtime: Runtime, prefix: str, fault: str) -> None:
    """An app that fails to import gives 500, and the log and the answer say why."""
    why = BOOT[fault][1]
    answer = fetch(runtime, f"/{prefix}-{fault}/")
    check_error(answer, 500, "app_boot_failed")
    assert why in answer.error["stack"]
    wait_until(
        lambda: any(
            record.get("app") == f"{prefix}-{fault}" and why in str(record)
            for record in runtime.records
        ),
        what=f"a record with {why!r}",
    )


# ---- who learns what


def test_production_keeps_traces_to_the_log(production: Runtime) -> None:
    """In production the traceback of a failed request is in the log only."""
    answer = fetch(production, "/kept/raise")
    check_error(answer, 500, "app_error")
    assert b"mistake" not in answer.body
    assert "stack" not in answer.error
    record = production.wait_for_record(
        "app.request_failed", request_id=answer.headers["x-request-id"]
    )
    assert "ValueError: a mistake" in record["stack"]


def test_production_keeps_boot_errors_to_the_log(production: Runtime) -> None:
    """In production the traceback of an app that cannot be loaded is in the log only."""
    answer = fetch(production, "/boot/")
    check_error(answer, 500, "app_boot_failed")
    assert b"wrong" not in answer.body
    record = production.wait_for_record("app.boot_failed", app="boot")
    assert "wrong from the start" in record["stack"]


def test_production_keeps_manifest_errors_to_the_log(production: Runtime) -> None:
    """In production the fault of a manifest is in the log only."""
    answer = fetch(production, "/manifest/")
    check_error(answer, 500, "app_misconfigured")
    assert b"colour" not in answer.body
    wait_until(lambda: any("colour" in str(record) for record in production.records))


def test_page_of_an_error_is_escaped(runtime: Runtime) -> None:
    """A browser gets a page with the traceback, in which all text of the app is escaped."""
    answer = fetch(runtime, "/kept/none", headers={"accept": "text/html"})
    assert answer.status == 500
    assert answer.headers.get_content_type() == "text/html"
    assert answer.headers["x-request-id"].encode() in answer.body
    assert b"returned None" in answer.body
    assert b"Response(&#x27;text&#x27;)" in answer.body
