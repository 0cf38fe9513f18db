"""`buntime run APP -- PROGRAM ARGUMENT...`: run a program of an app once, on the host.

It does not matter whether a runtime runs: this process does what a worker does before it loads its
app, and becomes the program by exec. So the terminal, signals and the exit code are the program's
own. See server/pool/programs.py for what the program gets.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn

from buntime.commands.arguments import Command, Parser
from buntime.commands.masterkey import take_environ
from buntime.commands.start import read_settings
from buntime.confine import NotConfined, restrict, shed
from buntime.core.apps.app import App
from buntime.core.apps.router import RESERVED, split_target
from buntime.core.errors import ClientFault, CommandError, ManifestError, UsageError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import Level
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown, suggestion
from buntime.server.apps.catalog import Catalog
from buntime.server.bundle.bundle import default_cache_dir, ensure_bundle
from buntime.server.bundle.carried import carried_plugins
from buntime.server.defence.configreading import ConfigReader
from buntime.server.pool.deployment import SpareKey, spare_key
from buntime.server.pool.programs import Order, command_of, environ_of, program_init
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.users import Users
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.state.datafolders import NoData, OthersData
from buntime.server.state.secretstore import NoSecrets, read_secrets
from buntime.server.state.statefolder import LOCK
from buntime.server.telemetry.logs import Log, LogSink
from buntime.wire import Message, encode

_STDERR = 2
_FLUSH_S = 2.0
_AS_THE_RUNTIME = (
    "give this command the settings of the runtime (--env-file FILE), and run it as that one's "
    "user, or as root if apps have users of their own"
)
_NAME = "run"  # instead of a worker's: the runtime must not end what it leaves behind
_BUFFER_BYTES = 4 << 20  # for INIT with secrets; the kernel has a bound of its own
_OF_TERMINALS = ("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR")
_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2  # linux/prctl.h
_UNTIED = "-1"  # instead of a lifeline


class _Ready(NamedTuple):
    """Everything needed to become the program."""

    key: SpareKey
    bundle: str
    init: Message
    at_start: Message | None  # what this process gives up before the app's own Python runs


def parser() -> Parser:
    made = Parser(
        "buntime run APP [--dir DIR] [--FLAG VALUE...] -- PROGRAM [ARGUMENT...]",
        "Run a program of an app on this host, as the app's user, in its folder, sandbox and "
        "environment, with its Python, packages, secrets and data. The exit code is the "
        "program's; 127 if it cannot be run.",
        examples=(
            "buntime run shop --dir /srv/apps -- python manage.py createsuperuser",
            "buntime run shop@1.2.0 -- sh",
        ),
    )
    made.add_words("WORD", "the app, then -- and the program with its arguments")
    made.add_argument(
        "--dir", metavar="DIR", help="folders of apps, separated by colons [RUNTIME_WORKER_DIRS]"
    )
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    if len(command.words) < 2:
        raise UsageError("run needs an app and a program: buntime run shop -- python manage.py x")
    name, *words = command.words
    environ = take_environ()
    folders = command.args.get("dir")
    args = {key: value for key, value in command.args.items() if key != "dir"}
    command = replace(command, args=args, words=(folders,) if folders else ())
    if not folders and not read_settings(command, mode, environ, needs_apps=False).worker_dirs:
        raise UsageError("run needs the folders of apps: --dir DIR:DIR, or RUNTIME_WORKER_DIRS")
    settings = read_settings(command, mode, environ)
    sink = LogSink(Level.INFO, format="pretty", stream_fd=_STDERR)
    try:
        ready = _get_ready(settings, Log(sink), name, tuple(words))
    except OthersData as exc:  # more likely of a runtime that knows the app's user
        raise CommandError("run_failed", f"{exc.text}; {_AS_THE_RUNTIME}") from exc
    except (ManifestError, ClientFault, NoData, NoSecrets) as exc:
        raise CommandError("run_failed", str(exc)) from exc
    finally:
        sink.close(_FLUSH_S)
    sys.stdout.flush()
    try:
        _become(ready)
    except (OSError, NotConfined) as exc:
        raise CommandError("run_failed", f"{words[0]} cannot be started: {exc}") from exc


def _get_ready(settings: Settings, log: Log, name: str, words: tuple[str, ...]) -> _Ready:
    live, environ = LiveSettings(settings), dict(os.environ)
    bundle = str(ensure_bundle(default_cache_dir(environ), warn=log.warn))
    sandboxes = Sandboxes(
        find_kernel(),
        live,
        bundle=bundle,
        environ=environ,
        warn=log.warn,
        carried=str(carried_plugins()),
        runtime_pid=_runtime_pid(settings.state_dir),
    )
    app = _find(settings, log, name)
    interpreters = Interpreters(
        settings.python,
        tell=log.info,
        users=Users(fixed=settings.app_users, warn=log.warn),
        confinement=sandboxes.starts,
    )
    interpreter = interpreters.find(app)
    order = Order(app, interpreter, words, _NAME)
    init = program_init(
        order,
        _NAME,
        settings=settings,
        environ=environ,
        sandboxes=sandboxes,
        bundle=bundle,
        secrets=read_secrets(settings).of(app),
        now=0.0,
    )
    key = spare_key(app, interpreter)
    at_start = None if key.own is None else sandboxes.order_at_start(*key.own, 0.0)
    sandboxes.keep_on_exec()
    env = {**init["env"], **_of_terminal(environ)}
    return _Ready(key, bundle, {**init, "env": env}, at_start)


def _find(settings: Settings, log: Log, name: str) -> App:
    target = split_target(f"/{name}")
    if target is None or target.rest:
        raise UsageError(f"{shown(name)} is not an app; write a name like shop, or shop@1.2.0")
    catalog = Catalog(
        settings.worker_dirs,
        body_default=settings.body_size_default_bytes,
        body_max=settings.body_size_max_bytes,
        warn=log.warn,
        reserved=RESERVED,
    )
    catalog.take_floors(ConfigReader().read(settings).apps)
    try:
        return catalog.find(target.name, target.spec, 0.0)
    except ClientFault:
        versions = sorted(filter(None, catalog.versions_of(target.name, 0.0)))
        if versions:
            text = f"{target.name} has no version {target.spec}; it has {', '.join(versions)}"
            raise CommandError("app_not_found", text) from None
        near = suggestion(target.name, {each for each, _ in catalog.names(0.0)})
        folders = ":".join(map(str, settings.worker_dirs))
        text = f"there is no app {target.name} in {folders}{near}"
        raise CommandError("app_not_found", text) from None


def _of_terminal(environ: Mapping[str, str]) -> dict[str, str]:
    if not os.isatty(0) and not os.isatty(1):
        return {}
    return {name: environ[name] for name in _OF_TERMINALS if name in environ}


def _runtime_pid(state_dir: str) -> int:
    """The process whose scheduling the program must not change: the runtime, if there is one."""
    try:
        with open(os.path.join(state_dir, LOCK), "rb") as lock:
            return int(lock.read(20))
    except (OSError, ValueError):
        return os.getppid()


def _become(ready: _Ready) -> NoReturn:
    """Become a worker that finds its INIT waiting. Raises OSError and NotConfined."""
    key = ready.key
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    ours.setblocking(False)
    # It stays open until the worker has become the program, because it writes to it; nobody reads.
    line = encode({**ready.init, "closes": [ours.fileno()]})
    if ours.send(line) != len(line):
        raise OSError(
            "the worker's start message is too long for a socket; raise net.core.wmem_max"
        )
    stacks = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (ours.fileno(), theirs.fileno(), stacks):
        os.set_inheritable(descriptor, True)
    passed = [str(theirs.fileno()), _UNTIED, str(stacks)]
    words = [*command_of(key, ready.bundle), *passed]
    environ = environ_of(key, os.environ, _NAME)
    tie = _tie_to_parent()
    if ready.at_start is not None:
        shed(ready.at_start)
        restrict(ready.at_start)
    if key.user is not None:
        os.setgroups(key.user.groups)
        os.setgid(key.user.gid)
        os.setuid(key.user.uid)
        tie()
    os.execve(words[0], words, environ)


def _tie_to_parent() -> Callable[[], None]:
    """Make this process end with its parent again, if it did before.

    The kernel forgets that when a process changes its user; the binary's first process is such a
    parent, and killing it would otherwise leave the program running.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl, parent, found = ctypes.CDLL(None).prctl, os.getppid(), ctypes.c_int()
    prctl(_PR_GET_PDEATHSIG, ctypes.byref(found), 0, 0, 0)

    def tie() -> None:
        if found.value:
            prctl(_PR_SET_PDEATHSIG, found.value, 0, 0, 0)
            if os.getppid() != parent:  # it has ended before that line
                os.kill(os.getpid(), found.value)

    return tie
