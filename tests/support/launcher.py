"""Starts runtimes and commands by forking a process that has imported them: a third of the cost of
a start.

`launch(args, env)` is like a `subprocess.Popen` of `buntime.py ARGS` with this environment, and
`complete(args, env, cwd)` like a `subprocess.run`. This module is also the program of the process
that forks, see tests/support/forking.py; each process of the tests has one.

A fork differs from a start in two things. The initial environment and the command line, which /proc
shows, are those of the process that forks. And at its end it does not free its memory, which takes
as long as ten forks. Tests that look at these start a runtime afresh. So does what is given a
variable that is read before the program begins: the process that forks makes sure that modules
read no others than these while they are imported.

A forked runtime has its workers forked as well, see tests/support/offshoots.py; not within
`workers_afresh`, nor in a module of tests that says `WORKERS_START_AFRESH = True`. That is for
tests of how workers start, of the tree of processes, of orphans, and of what /proc shows.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.forking import ROOT, Forked, Forks, fork_for_each
from tests.support.offshoots import IS_SUPPORTED, Stem, install

PROGRAM = f"{ROOT}/buntime.py"
# What a start imports, and what runtimes of many tests import later.
IMPORTED = (
    "buntime.server.runtime",
    *(
        f"buntime.commands.{file.stem}"
        for file in sorted(Path(ROOT, "buntime/commands").glob("*.py"))
    ),
    *(
        f"buntime.server.admin.{name}"
        for name in ("pages", "census", "exposition", "operatorsessions")
    ),
    "buntime.server.deploys.carrier",
    "buntime.server.pipeline.filesteps",
    "buntime.server.deploys.upload",
    "buntime.server.pythons.installer",
    "buntime.server.schedule.cron",
    "buntime.server.websocket.socketlink",
    "buntime.core.apps.yamldocument",
    "buntime.core.websocket.deflate",
    "cronsim",
    "encodings.idna",  # of whoever looks a host up
    "sqlite3",
)

_WHERE_CODE_IS = ("HOME", "XDG_CACHE_HOME", "TMPDIR")
_STREAMS = 3  # stdin, stdout and stderr
_ABOVE = 16  # more than the numbers of sockets that are handed over
_ADAPTED_AFTER = 10  # runs; Python 3.11 adapts a function after eight


# Variables of Python, of the loader, of the C library, and of a package.
READ_AT_ONCE = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_", "PROMETHEUS_")


def is_read_late(environ: Mapping[str, str]) -> bool:
    """Whether a fork can be given these variables."""
    return not any(name.startswith(READ_AT_ONCE) for name in environ)


class Launched(Forked):
    """A forked runtime or command."""

    def __init__(self, stdout: int, told: int, *, forks_workers: bool) -> None:
        self.forks_workers = forks_workers
        self.stdout = os.fdopen(stdout, encoding="utf-8", errors="backslashreplace")
        super().__init__(told)


def launch(
    args: Sequence[str],
    env: Mapping[str, str],
    first: str = "",
    *,
    cwd: Path | None = None,
    leads: bool = False,
    sockets: Sequence[int] = (),
) -> Launched:
    """`buntime.py ARGS` in this folder or the present one, without stdin; stderr goes to stdout.

    `first` is a module of the tests that it imports before: the module may change parts of the
    runtime. If it `leads`, it has a session and a process group of its own. It gets copies of
    `sockets` as its descriptors from 3 on, and its pid as LISTEN_PID, as from systemd.
    """
    output, their_output = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        asked = _asked(args, env, str(cwd or Path.cwd()), first=first, leads=leads)
        told = _forks().start(asked, [nothing, their_output, their_output, *sockets])
    finally:
        os.close(nothing)
        os.close(their_output)
    return Launched(output, told, forks_workers=bool(asked["stem"]))


def complete(
    args: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    timeout_s: float,
    *,
    stdin: int,
    is_apart: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run `buntime.py ARGS` in this folder to its end.

    `stdin` is a descriptor. Unless stderr is apart, it goes to stdout. Kills the command after
    `timeout_s` and raises TimeoutError.
    """
    pipes = [os.pipe() for _ in range(1 + is_apart)]
    try:
        asked = _asked(args, env, cwd)
        told = _forks().start(asked, [stdin, pipes[0][1], pipes[-1][1]])
    finally:
        for _, theirs in pipes:
            os.close(theirs)
    process = Launched(pipes[0][0], told, forks_workers=bool(asked["stem"]))
    errors = [os.fdopen(ours, encoding="utf-8") for ours, _ in pipes[1:]]
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(each) for each in (process.stdout, *errors)]
        threads = stack.enter_context(ThreadPoolExecutor(len(streams)))
        try:
            texts = [*threads.map(lambda stream: stream.read(), streams, timeout=timeout_s)]
        except TimeoutError:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess([PROGRAM, *args], process.wait(timeout_s), *texts)


@contextlib.contextmanager
def workers_afresh() -> Iterator[None]:
    """Runtimes and commands that are launched meanwhile start their workers, all their life."""
    global _are_afresh
    before, _are_afresh = _are_afresh, True
    try:
        yield
    finally:
        _are_afresh = before


_are_afresh = not IS_SUPPORTED


def stem_of_workers() -> Stem | None:
    """What the workers of a runtime that is started now may be forked from, if they may."""
    return None if _are_afresh else _stem()


def _asked(
    args: Sequence[str], env: Mapping[str, str], cwd: str, *, first: str = "", leads: bool = False
) -> dict[str, Any]:
    # A worker is in the session of its runtime, and a fork in that of the stem.
    is_afresh = _are_afresh or leads or not _finds_the_usual_code(env)
    stem = "" if is_afresh else _stem().address
    return {
        "args": [*args], "env": {**env}, "cwd": cwd, "first": first, "leads": leads, "stem": stem
    }  # fmt: skip


def _finds_the_usual_code(env: Mapping[str, str]) -> bool:
    """Whether a runtime keeps the worker's code in the folder where most do. The stem takes it from
    the first that asks; if that were another folder, no later runtime would fork its workers."""
    return all(env.get(name) == os.environ.get(name) for name in _WHERE_CODE_IS)


@functools.cache
def _stem() -> Stem:
    stem = Stem()
    atexit.register(stem.end)
    return stem


def prepare() -> None:
    """Start the process that forks, before this one is forked. The process of each fork is forked
    from it, once it is needed: that saves its start, half a second."""
    global _prepared
    _prepared = _forks()
    _forks.cache_clear()


_prepared: Forks | None = None


@functools.cache
def _forks() -> Forks:
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return Forks([sys.executable, "-m", "tests.support.launcher"], environ, _prepared)


# The process that forks


def main() -> int:
    """Import the runtime, then fork for each line that comes."""
    with _refusing_variables(), _keeping_low_numbers():
        run = importlib.import_module("buntime.__main__").main
        for name in IMPORTED:
            importlib.import_module(name)
    _compile_patterns()
    _warm_up()
    gc.collect()
    gc.freeze()

    def become(asked: dict[str, Any], streams: list[int]) -> Callable[[], int]:
        _become(asked, streams)
        return run

    return fork_for_each(int(sys.argv[1]), become)


@contextlib.contextmanager
def _keeping_low_numbers() -> Iterator[None]:
    """Descriptors that a module opens meanwhile have numbers of which no socket is handed over."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < _ABOVE:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    try:
        yield
    finally:
        for each in taken:
            os.close(each)


@contextlib.contextmanager
def _refusing_variables() -> Iterator[None]:
    """Fail if a module reads a variable meanwhile: the forks would have its value, whatever theirs
    is. WSGI's own copy of them all is not used."""
    kind = type(os.environ)
    read = kind.__getitem__

    def refuse(self: Any, name: str) -> str:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_globals["__name__"] in ("os", "collections.abc"):
            frame = frame.f_back
        reader = frame.f_globals["__name__"]
        if reader == "wsgiref.handlers" or name.upper().startswith(READ_AT_ONCE):
            return read(self, name)
        raise AssertionError(f"{reader} reads {name} while it is imported")

    kind.__getitem__ = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.__getitem__ = read  # type: ignore[method-assign]


def _compile_patterns() -> None:
    """Compile the `regex` patterns that each runtime would compile; the cache of `re` keeps
    them."""
    kind = type(importlib.import_module("buntime.core.values.regex").regex(""))
    for module in tuple(sys.modules.values()):
        for value in tuple(vars(module).values()):
            if isinstance(value, kind):
                value.fullmatch  # noqa: B018  # what is asked for compiles it


def _warm_up() -> None:
    """Do often what each start does and leaves no trace.

    Python adapts code that has run, and remembers where types have their methods: a fork that finds
    this done takes a tenth less time.
    """
    arguments, folders, load = map(
        importlib.import_module,
        (
            "buntime.commands.cli",
            "buntime.server.plugins.folders",
            "buntime.core.settings.load",
        ),
    )
    for _ in range(_ADAPTED_AFTER):
        command = arguments.parse_command(["--port", "0", "--host", "127.0.0.1", "apps"])
        args = {**command.args, "worker_dirs": "apps"}
        settings = load.load_settings(
            args=args, environ={}, dotenv={}, mode="checkout", cores=1, cwd="/"
        )
        carried = Path(ROOT, "plugins")
        folders.folders_for(settings, lambda *_, **__: None, bundled=carried).look([])


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Give this process all that a start would have given it."""
    if asked["leads"]:
        os.setsid()
    # First out of the way of each other's numbers.
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for each in streams]
    for each in streams:
        os.close(each)
    for its, ours in enumerate(moved):
        os.dup2(ours, its)
        os.close(ours)
    os.chdir(asked["cwd"])
    for name in set(os.environ) - {"LC_CTYPE"}:  # Python itself sets this at its start
        del os.environ[name]
    os.environ.update(asked["env"])
    if len(streams) > _STREAMS:
        os.environ["LISTEN_PID"] = str(os.getpid())
    sys.argv = [PROGRAM, *asked["args"]]
    if asked["stem"]:
        install(asked["stem"])
    if asked["first"]:
        importlib.import_module(asked["first"])


if __name__ == "__main__":
    raise SystemExit(main())
