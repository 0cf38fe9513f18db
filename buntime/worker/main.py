"""The worker's life: wait for INIT as a spare, become an app, serve it, leave.

started -> spare -> INIT -> adopted -> loaded -> READY -> serving -> TERMINATE -> gone
           PREPARE             `--------`-> ERROR -> gone, exit code 1
"""

from __future__ import annotations

import atexit
import gc
import io
import posix  # `os` is this and what takes 6 of a worker's 45 million instructions
import sys
from _thread import get_ident, start_new_thread  # bound here, see waiting.py
from time import perf_counter, sleep

from buntime.confine import NotConfined, prepare, restrict, shed
from buntime.wire import ERROR, INIT, PREPARE, READY, TERMINATE, UP
from buntime.worker.adoption import adopt
from buntime.worker.channel import Channel
from buntime.worker.entrypoint import import_entrypoint
from buntime.worker.exchange import Exchange
from buntime.worker.hooks import run_hook
from buntime.worker.lifeline import arm
from buntime.worker.limits import limit, take_place
from buntime.worker.load import load
from buntime.worker.report import BootError, complain, describe
from buntime.worker.stacks import offer
from buntime.worker.sync import SyncEngine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import (
        SIG_BLOCK,
        SIG_SETMASK,
        SIGINT,
        SIGTERM,
        getsignal,
        pthread_sigmask,
        signal,
    )
    from typing import NoReturn

    from buntime.wire import Message, Received
    from buntime.worker.calls import Calls
    from buntime.worker.exchange import Send
    from buntime.worker.load import App
else:
    from _signal import (  # `signal` imports enum, 5 ms
        SIG_BLOCK,
        SIG_SETMASK,
        SIGINT,
        SIGTERM,
        getsignal,
        pthread_sigmask,
        signal,
    )

# How long an app's threads and atexit functions may keep a worker that has nothing left to do.
EXIT_GRACE_S = 2.0


def main(argv: list[str]) -> NoReturn:
    """Run a worker: `[__main__.py, CHANNEL_FD, LIFELINE_FD, STACKS_FD]`."""
    channel_fd, lifeline_fd, stacks_fd = argv[1:]
    lifeline = arm(int(lifeline_fd))
    offer(int(stacks_fd))
    limit()
    channel = Channel(int(channel_fd))
    _leave_signals_to_the_runtime()
    _set_up_output()
    bundle = argv[0].rpartition("/")[0] if argv[0].endswith(".py") else argv[0]
    channel.send({"type": UP})
    preparation = _Preparation()
    init, received = _wait_for_init(channel, preparation)
    started = perf_counter()
    is_ready = False

    def ready(send: Send) -> None:
        nonlocal is_ready
        is_ready = True
        send(
            {
                "type": READY,
                "kind": app.kind,
                "concurrency": app.concurrency,
                "is_async": app.is_async,
                "boot_ms": round((perf_counter() - started) * 1000, 1),
                **(app.plugin.offer() if app.plugin is not None else {}),
                **_imports(init),
            },
            b"",
        )

    try:
        _settle(init, lifeline, preparation)
        if "program" in init:
            from buntime.worker.program import become  # few workers become something else

            become(init)
        shadows = adopt(init, bundle)
        calls = _connect(init, channel, received)
        roots = init.get("roots") or ()
        if init.get("tells_imports"):
            _begin_to_measure()
        module = import_entrypoint(init["dir"], init["entrypoint"], shadows, roots)
        app = load(module, init)
        Exchange.init = init
        if init["config"].get("lowMemory"):
            _save_memory()
        _serve(app, init, channel, received, ready, calls)
    except BaseException as exc:  # noqa: BLE001  # the edge of the app, and of the process
        if not is_ready:
            _refuse(channel, init, exc)
        complain("buntime worker failed", exc)
        posix._exit(1)
    _leave()


class _Preparation:
    """What a worker has done for its sandbox before it knows its app."""

    def __init__(self) -> None:
        self.order: Message | None = None  # PREPARE
        self.rules: int | None = None  # once it is carried out

    def begin(self) -> None:
        """Carry it out, if there is something to do. Raises NotConfined."""
        if self.order is not None and self.rules is None:
            self.rules = prepare(self.order)


def _wait_for_init(channel: Channel, preparation: _Preparation) -> tuple[Message, list[Received]]:
    """Wait, possibly for a long time; returns INIT and what came with it."""
    received: list[Received] = []
    while True:
        while not received:
            received = channel.receive()
        head = received.pop(0)[0]
        if head["type"] == INIT:
            return head, received
        if head["type"] == TERMINATE:
            posix._exit(0)
        if head["type"] != PREPARE:
            channel.quit(f"the runtime sent {head['type']} before INIT")
        preparation.order = head
        try:
            preparation.begin()
        except NotConfined:
            continue  # tried again when there is an app


def _settle(init: Message, lifeline: int, preparation: _Preparation) -> None:
    """Adopt limits, user and sandbox, before any code of the app."""
    order = init.get("sandbox")
    if not order:
        take_place(init, lifeline)
        return
    try:
        preparation.begin()
        shed(order)
        take_place(init, lifeline)
        restrict(order, preparation.rules)
    except NotConfined as exc:
        raise BootError(str(exc)) from exc


def _connect(init: Message, channel: Channel, received: list[Received]) -> Calls | None:
    """Let the app call services, if its manifest names some, from its import on."""
    if "plugin" not in init and not init.get("uses"):
        return None
    from buntime.sdk.services import connect  # few apps use services
    from buntime.worker.calls import Calls  # the same
    from buntime.worker.mailboxes import Unattended  # the same

    if "plugin" in init:
        from buntime.worker.plugin import introduce  # 1 ms, for plugins alone

        introduce(init["plugin"])
    calls = Calls(channel)
    Unattended(calls, received)
    connect(calls)
    return calls


def _serve(
    app: App,
    init: Message,
    channel: Channel,
    received: list[Received],
    ready: Callable[[Send], None],
    calls: Calls | None,
) -> None:
    """Serve until TERMINATE has come and everything is done. Raises what the app raises at its
    start."""
    if app.is_async:
        _serve_async(app, init, channel, received, ready, calls)
        return
    if app.plugin is not None:
        from buntime.worker.plugsync import SyncPluginEngine  # 1 ms, for plugins alone

        of_plugin = SyncPluginEngine(channel, app, app.plugin)
        of_plugin.start()
        ready(channel.send)
        engine: SyncEngine = of_plugin
    else:
        ready(channel.send)
        engine = SyncEngine(
            channel, app.handle, app.sockets, app.on_idle, app.concurrency, is_once=app.is_once
        )
    if init.get("tells_busy"):
        from buntime.worker.meter import ThreadMeter  # few apps may have several workers

        ThreadMeter(engine)
    if calls is None:
        engine.run(received)
    else:
        from buntime.worker.mailboxes import serve  # loaded with the calls

        serve(engine, calls, received)
    if app.on_terminate is not None:
        run_hook("on_terminate", app.on_terminate)


def _serve_async(
    app: App,
    init: Message,
    channel: Channel,
    received: list[Received],
    ready: Callable[[Send], None],
    calls: Calls | None,
) -> None:
    from buntime.worker.aio import AsyncEngine  # brings asyncio, 62 ms

    if app.plugin is not None:
        from buntime.worker.plugaio import AsyncPluginEngine  # 1 ms, for plugins alone

        engine: AsyncEngine = AsyncPluginEngine(channel, app, app.plugin)
    else:
        engine = AsyncEngine(
            channel,
            app.handle,
            app.sockets,
            start=app.start,
            stop=app.stop,
            on_idle=app.on_idle,
            on_terminate=app.on_terminate,
        )
    if init.get("tells_busy"):
        from buntime.worker.meter import LoopMeter  # few apps may have several workers

        LoopMeter(engine)
    if calls is None:
        engine.run(received, ready)
        return
    from buntime.worker.asynccalls import OfLoop, leave_unattended  # few apps use services

    engine.mailbox = OfLoop(calls, engine, received)
    engine.run(received, ready)
    leave_unattended(engine, calls)


def _begin_to_measure() -> None:
    from buntime.worker.importtimes import begin  # not for a worker of one request

    begin()


def _imports(init: Message) -> Message:
    """What the runtime needs to know about imported modules."""
    fields: Message = {}
    if init.get("tells_files"):
        from buntime.worker.imported import imported_below  # not for a worker of one request

        fields["files"] = imported_below(init["dir"])
    if init.get("tells_imports"):
        from buntime.worker.importtimes import end  # loaded already

        fields["imports"] = end()
    if init.get("tells_framework"):
        from buntime.worker.frameworks import session_framework  # once for each state of an app

        fields["framework"] = session_framework()
    return fields


def _refuse(channel: Channel, init: Message, exc: BaseException) -> NoReturn:
    """Report why the app cannot be served, and end."""
    message, stack = describe(exc)
    if "program" in init:
        complain(f"buntime: {message}" if isinstance(exc, BootError) else stack)
        posix._exit(127)  # as of shells
    if not isinstance(exc, BootError):
        if isinstance(exc, SystemExit):
            message += " (the module called sys.exit() on import)"
        message = f"{init['entrypoint']}: {message}{_remedy(exc, init)}"
    channel.send({"type": ERROR, "message": message, "stack": stack})
    _flush()
    posix._exit(1)


def _remedy(exc: BaseException, init: Message) -> str:
    """Say where, and what to do, if known."""
    try:
        from buntime.worker.remedies import remedy  # for a mistake

        return remedy(exc, init)
    except BaseException:  # noqa: BLE001  # no memory, no files, an exception of the app's own
        return ""


def _leave() -> NoReturn:
    """End as the interpreter would, without tearing it down, and in bounded time."""
    threading = sys.modules.get("threading")
    if threading is not None or atexit._ncallbacks():
        start_new_thread(_exit_late, ())
    if threading is not None:
        threading._shutdown()  # waits for non-daemon threads, as multiprocessing does
    atexit._run_exitfuncs()
    _flush()
    posix._exit(0)


def _exit_late() -> None:
    sleep(EXIT_GRACE_S)
    try:
        late = _late_threads()
        complain(f"buntime worker: the app's threads did not end within {EXIT_GRACE_S} s{late}")
    finally:
        posix._exit(0)


def _late_threads() -> str:
    """Which they are, and what to do about them; "" if it is something else."""
    threading = sys.modules.get("threading")
    if threading is None:
        return ""
    known, main = list(threading._active.values()), threading.main_thread()  # without its lock
    late = [each.name for each in known if not each.daemon and each is not main]
    advice = "end them in on_terminate, or start them with daemon=True if they may be cut off"
    return f": {', '.join(late[:5])}; {advice}" if late else ""


def _leave_signals_to_the_runtime() -> None:
    """Ctrl-C and service managers signal all processes at once; the runtime says when to go.

    With a handler, because programs that the app starts would inherit ignored signals; and not in
    processes that it forks, which multiprocessing ends by SIGTERM.
    """
    defaults = {number: signal(number, _heed_not) for number in (SIGINT, SIGTERM)}
    masks = {}  # of the threads that are forking

    def hold() -> None:
        masks[get_ident()] = pthread_sigmask(SIG_BLOCK, defaults)

    def let_go() -> None:
        pthread_sigmask(SIG_SETMASK, masks.pop(get_ident()))

    def restore() -> None:
        for number, default in defaults.items():
            if getsignal(number) is _heed_not:
                signal(number, default)
        let_go()  # a signal that the child got meanwhile counts now

    posix.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=restore)


def _heed_not(_number: int, _frame: object) -> None:
    """Do nothing; interrupted system calls are resumed (PEP 475)."""


def _set_up_output() -> None:
    """Make each print a log line at once, and never fail because of its characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if the descriptor is closed
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed, or replaced by the app with something else


def _save_memory() -> None:
    """lowMemory: collect garbage early and often."""
    gc.set_threshold(300, 5, 5)
    gc.collect()
