"""Programs of apps: started like the app's workers, but with other code than the app's entrypoint.

This is the only way to start something of an app that is not one of its workers: `run` of a cron
job, `processes`, `release` of a deploy, and `buntime run`. It is a worker that becomes the program
by exec at INIT (worker/program.py). So it has what workers of the app have: user, sandbox, limits,
environment, secrets, data, temporary folder, and the lifeline, so that it does not outlive the
runtime. In addition, the folder of the app's Python is first on its PATH, and its modules (the
app's folder, `path`, vendor/, `buntime`) are in PYTHONPATH, so that `python`, `celery`, `manage.py`
are the app's.

    programs.start(Order(app, interpreter, ("python", "manage.py", "migrate"), "release"),
                   on_line=lambda stream, line: ..., on_exit=lambda returncode: ...)

Its exit code is the program's, 127 if that could not be run, negative for a signal. When asked to
end, it and its whole process group get SIGTERM, and SIGKILL _END_GRACE_S later.
"""

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from buntime.core.apps.app import App
from buntime.core.apps.environment import INHERITED_NAMES
from buntime.core.settings.load import Settings
from buntime.core.values.tuples import NamedTuple
from buntime.server.loop.loop import Loop
from buntime.server.pool.allowance import Allowances
from buntime.server.pool.channel import Channel, Handler
from buntime.server.pool.deployment import Deployment, SpareKey, init_of, spare_key
from buntime.server.pool.process import Process
from buntime.server.pythons.probe import Interpreter
from buntime.server.sandbox.groups import Groups
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.telemetry.logs import Log
from buntime.wire import UP, Message

_END_GRACE_S = 10.0  # from SIGTERM to SIGKILL
_PYTHONS = frozenset(("python", "python3"))  # an environment may have neither name

KEPT = "process:"  # how labels begin for those that are restarted when they end

Line = Callable[[str, str], None]  # (stream, text)


class Order(NamedTuple):
    """A program to start; `label` is what the log calls it: "release", "cron:clean"."""

    app: App
    interpreter: Interpreter
    words: tuple[str, ...]
    label: str


class Means(NamedTuple):
    """What is needed to start one; the same as for workers."""

    settings: Settings
    bundle: str
    environ: Mapping[str, str]  # the runtime's own, of which programs get little
    sandboxes: Sandboxes
    groups: Groups
    allowances: Allowances
    secrets: Callable[[App], Message | None]  # what INIT contains of them; raises NoSecrets


class Counts(NamedTuple):
    """Counts the programs, beside workers."""

    begin: Callable[[], int]  # gives it a number that no worker has had
    ended: Callable[[], None]


class Program:
    """A running program."""

    def __init__(self, number: int, order: Order, process: Process, loop: Loop) -> None:
        self.number = number
        self.name = f"w{number}"
        self.app = order.app
        self.label = order.label
        self.process = process
        self.sandbox = "off"
        self.started_s = loop.now
        self.is_ending = False
        self.has_ended = False
        self._is_up = False
        self._loop = loop
        self._channel = Channel(loop, process.channel, self, _HANDLERS)

    def __repr__(self) -> str:
        return f"Program({self.name}, {self.label} of {self.app.key})"

    def adopt(self, init: Message) -> None:
        """Send INIT: the worker becomes the program."""
        self.sandbox = init["sandbox"]["level"] if init["sandbox"] else "off"
        self._channel.post(init)

    def on_channel_closed(self, why: str) -> None:
        """It has become the program, or has ended, which its process reports."""

    def on_channel_broken(self, why: str) -> None:
        self.kill()  # a Python of the app's own, which is none of ours

    def _on_up(self, message: Message, payload: bytes) -> None:
        if self._is_up:
            raise ValueError("a second UP")
        self._is_up = True

    def on_exit(self) -> None:
        """Its process has gone."""
        self.has_ended = True
        self._channel.abort()

    def end(self) -> None:
        """Ask it to end, and see to it."""
        if not self.has_ended and not self.is_ending:
            self.is_ending = True
            self.process.signal_group(signal.SIGTERM)
            self._loop.call_later(_END_GRACE_S, self.kill)

    def kill(self) -> None:
        if not self.has_ended:
            self.process.kill()


# It reports that its interpreter has started, and then sends no more.
_HANDLERS: Mapping[str, Handler[Program]] = {UP: Program._on_up}


class Programs:
    """All programs that run. Used on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        means: Means,
        counts: Counts,
        *,
        ended: Callable[[str, Log], None],
    ) -> None:
        """`ended` gets the name of each that has ended, and a log that names its app."""
        self._ended = ended
        self.running: dict[int, Program] = {}
        self._loop = loop
        self._log = log
        self._means = means
        self._counts = counts

    def __repr__(self) -> str:
        return f"Programs({list(self.running.values())})"

    def check_secrets(self, app: App) -> None:
        """Raises NoSecrets if a worker or program of the app would not get all that it asks for."""
        self._means.secrets(app)

    def start(
        self, order: Order, *, on_exit: Callable[[int], None], on_line: Line | None = None
    ) -> Program:
        """Start one; `on_line` gets what it prints, which also goes to the app's log.

        `on_exit` gets its exit code, once, on the loop's thread, after its output. Raises NoData,
        NoSecrets, NotConfined and OSError if it cannot be started.
        """
        app, means = order.app, self._means
        secrets = means.secrets(app)
        number = self._counts.begin()
        try:
            init = program_init(
                order,
                f"w{number}",
                settings=means.settings,
                environ=means.environ,
                sandboxes=means.sandboxes,
                bundle=means.bundle,
                secrets=secrets,
                now=self._loop.now,
            )
            process = self._start(number, order, on_exit=on_exit, on_line=on_line)
        except BaseException:
            self._counts.ended()
            raise
        program = self.running[number] = Program(number, order, process, self._loop)
        process.share_output(means.allowances.of(app.name, self._loop.now))
        limits = Deployment(app, order.interpreter).limits
        if limits:
            means.groups.put(number, process.pid, limits, app.key)
        program.adopt(init)
        return program

    def _start(
        self, number: int, order: Order, *, on_exit: Callable[[int], None], on_line: Line | None
    ) -> Process:
        means, key = self._means, spare_key(order.app, order.interpreter)
        return Process(
            self._loop,
            command_of(key, means.bundle),
            environ_of(key, means.environ, f"w{number}"),
            user=key.user,
            sandbox=key.own and means.sandboxes.order_at_start(*key.own, self._loop.now),
            on_line=lambda stream, line: self._on_line(order, stream, line, on_line),
            on_dropped=lambda lines, size: self._on_dropped(order, lines, size),
            on_exit=lambda returncode: self._on_exit(number, returncode, on_exit),
        )

    def end_all(self) -> None:
        """Ask all to end; `running` is empty when they have."""
        for program in tuple(self.running.values()):
            program.end()

    def kill_all(self) -> None:
        for program in tuple(self.running.values()):
            program.kill()

    def _on_line(self, order: Order, stream: str, line: str, on_line: Line | None) -> None:
        pipe: Literal["stdout", "stderr"] = "stdout" if stream == "stdout" else "stderr"
        self._log.app_output(order.app.name, order.app.version, order.label, pipe, line)
        if on_line is not None:
            on_line(stream, line)

    def _on_dropped(self, order: Order, lines: int, size_bytes: int) -> None:
        self._log.warn(
            "app.output_dropped",
            "app prints or reports more than is logged; some of it was dropped",
            app=order.app.name,
            version=order.app.version,
            worker=order.label,
            lines=lines,
            size_bytes=size_bytes,
        )

    def _on_exit(self, number: int, returncode: int, on_exit: Callable[[int], None]) -> None:
        program = self.running.pop(number)
        program.on_exit()
        app, version, label = program.app.name, program.app.version, program.label
        self._ended(program.name, self._log.child(app=app, version=version, worker=label))
        self._means.groups.end(number)
        self._counts.ended()
        on_exit(returncode)


def command_of(key: SpareKey, bundle: str) -> list[str]:
    """What starts the worker, to which the numbers of its descriptors are appended."""
    return [key.executable, "-I", "-S", "-X", "utf8", f"{key.bundle or bundle}/__main__.py"]


def environ_of(key: SpareKey, inherited: Mapping[str, str], name: str) -> dict[str, str]:
    """The environment that it starts with, before it gets the app's.

    `Orphans` recognises it by WORKER_ID.
    """
    environ = {name: inherited[name] for name in INHERITED_NAMES if name in inherited}
    environ["WORKER_ID"] = name
    if key.low_memory:
        environ["MALLOC_ARENA_MAX"] = "1"
    return environ


def program_init(
    order: Order,
    name: str,
    *,
    settings: Settings,
    environ: Mapping[str, str],
    sandboxes: Sandboxes,
    bundle: str,
    secrets: Message | None,
    now: float,
) -> Message:
    """INIT of the worker `name`, which becomes the program. Raises NoData."""
    app, interpreter = order.app, order.interpreter
    own = sandboxes.variables(app, interpreter)
    init = init_of(Deployment(app, interpreter), settings, environ, own)
    message = init.of(name, sandboxes.order(app, interpreter, now), secrets=secrets)
    bundle = spare_key(app, interpreter).bundle or bundle
    env = {**message["env"], **_python_of(app, interpreter, bundle, message["env"])}
    first, *rest = order.words
    if first in _PYTHONS:
        first = interpreter.executable
    return {**message, "env": env, "program": [first, *rest]}


def _python_of(
    app: App, interpreter: Interpreter, bundle: str, env: Mapping[str, str]
) -> dict[str, str]:
    """The variables by which programs find the app's Python, and that Python finds the app's
    modules."""
    folder = str(app.dir)
    roots = [root if root.startswith("/") else f"{folder}/{root}" for root in app.import_roots]
    own = [folder, *roots, f"{folder}/vendor", bundle]
    found = {
        "PATH": _joined([os.path.dirname(interpreter.executable), *env.get("PATH", "").split(":")]),
        "PYTHONPATH": _joined(own),
        "PYTHONUNBUFFERED": env.get("PYTHONUNBUFFERED", "1"),  # a line is logged as it is printed
    }
    if interpreter.prefix:
        found["VIRTUAL_ENV"] = interpreter.prefix
    return found


def _joined(folders: Iterable[str]) -> str:
    return ":".join(dict.fromkeys(filter(None, folders)))
