"""Finds in the app's module what it serves, and adapts it to the one call shape of the engines."""

from __future__ import annotations

from buntime.worker.appkind import is_asgi, what_is
from buntime.worker.callables import shape_of
from buntime.worker.fetch import Handler, error_response, fetch_adapter, only
from buntime.worker.report import BootError, complain
from buntime.worker.waiting import threads_are_greenlets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.engine import Sockets
    from buntime.worker.fetch import Finder
    from buntime.worker.plugin import Plugin

SYNC_CONCURRENCY = 8  # threads; more do not help code that holds the GIL
ASYNC_CONCURRENCY = 100  # tasks
GREENLETS = 100  # of gevent and eventlet, which are as cheap as tasks
# The same if a sync `websocket` is exported: an open one has a thread, and mostly waits.
THREAD_SOCKETS = 100
MOST_THREADS = 32  # for the sync handlers of an async app
LOOKED_FOR = (
    "looked for fetch (a function that takes a Request), routes (a dict), "
    "app or application (ASGI or WSGI), websocket (a function that takes a WebSocket)"
)


class App:
    """A loaded app: what the engines need to know about it."""

    def __init__(self, kind: str, handle: Callable[[Any], Any], concurrency: int) -> None:
        self.kind = kind
        self.handle = handle  # of SyncExchange, or of AsyncExchange and then async
        self.concurrency = concurrency
        self.is_async = False
        self.is_once = False  # the worker is for one request
        self.sockets: Sockets[Any] | None = None  # the handler of WebSockets
        self.plugin: Plugin | None = None
        # hooks
        self.start: Callable[[], Any] | None = None  # an ASGI app's lifespan
        self.stop: Callable[[], Any] | None = None
        self.on_idle: Callable[[], Any] | None = None
        self.on_terminate: Callable[[], Any] | None = None


def load(module: ModuleType, init: Message) -> App:
    """Adapt what a module serves. Raises BootError if it serves nothing."""
    plugin = None
    if "plugin" in init:
        from buntime.worker.plugin import Plugin  # 1 ms, for plugins alone

        plugin = Plugin(module, init)
        # It lives as long as it is enabled; async hooks and methods make it async.
        config = {**init["config"], "ttl": init["config"].get("ttl") or 1}
        init = {**init, "config": config, "needs_loop": plugin.needs_loop()}
    app = _find(module, init)
    app.plugin = plugin
    app.is_once = not init["config"]["ttl"]
    for name in ("on_idle", "on_terminate"):
        hook = vars(module).get(name)
        if hook is None:
            continue
        shape = shape_of(hook) if callable(hook) else None
        if not callable(hook) or (shape is not None and not shape.takes(0)):
            raise BootError(f"{init['entrypoint']}: {name} must be a function without arguments")
        setattr(app, name, hook)
    if app.sockets is not None and "message_max" in init:
        # Loaded already if it handles WebSockets; others do not need it.
        from buntime.worker.unfinished import UNFINISHED

        UNFINISHED.largest_bytes = init["message_max"]
    return app


def _find(module: ModuleType, init: Message) -> App:
    if init.get("serves"):
        return _adapt_chosen(module, init, init["serves"])
    problems = []
    for name, adapt in _KINDS.items():
        value = vars(module).get(name)
        if value is None:
            continue
        try:
            app = adapt(value, name, init, module)
        except BootError as exc:
            problems.append(str(exc))
            continue
        _tell_of_others(module, name, init["entrypoint"])
        return app
    if "plugin" in init and not problems:
        return _with_handlers("plugin", _find_nothing, init, None, needs_loop=False)
    from buntime.worker.chosen import offered  # for a mistake

    found = "; ".join(problems) or "none of them is there"
    found += offered(module, init["entrypoint"])
    raise BootError(f"{init['entrypoint']}: nothing to serve: {LOOKED_FOR}; {found}")


def _adapt_chosen(module: ModuleType, init: Message, serves: str) -> App:
    """Adapt what the manifest's entrypoint names."""
    from buntime.worker.chosen import chosen  # for the apps whose manifest says so

    value = chosen(module, serves, init["entrypoint"])
    adapt = _adapt_routes if isinstance(value, dict) else _KINDS.get(serves, _adapt_app)
    try:
        return adapt(value, serves, init, module)
    except BootError as exc:
        raise BootError(f"{init['entrypoint']}: {exc}") from None


def _tell_of_others(module: ModuleType, chosen: str, entrypoint: str) -> None:
    """Explain it, for example if a Flask module also has a helper called fetch."""
    others = [name for name in ("app", "application") if callable(vars(module).get(name))]
    if others and chosen not in ("app", "application"):
        complain(f"buntime: {entrypoint}: {chosen} is served, {others[0]} is not")


def _adapt_fetch(value: Any, name: str, init: Message, module: ModuleType) -> App:
    if not callable(value):
        raise BootError(f"{name} is {what_is(value)}, which cannot be called")
    handler = Handler(value, name)
    socket = _socket_handler(module)
    return _with_handlers("fetch", only(handler), init, socket, needs_loop=handler.needs_loop)


def _adapt_routes(value: Any, name: str, init: Message, module: ModuleType) -> App:
    if not isinstance(value, dict) or not value:
        raise BootError(f"{name} is {what_is(value)}, not a dict with entries")
    from buntime.worker.routes import Router  # 0.3 ms, which other kinds need not spend

    router = Router(value)
    socket = _socket_handler(module)
    return _with_handlers("routes", router, init, socket, needs_loop=router.needs_loop)


def _adapt_websocket(_value: Any, name: str, init: Message, module: ModuleType) -> App:
    socket = _socket_handler(module)
    if socket is None:
        raise BootError(f"{name} is a module")
    return _with_handlers("websocket", _require_upgrade, init, socket, needs_loop=False)


def _socket_handler(module: ModuleType) -> Handler | None:
    """Return the handler of WebSockets beside `fetch` or `routes`, if there is one."""
    value = vars(module).get("websocket")
    if value is None or isinstance(value, type(module)):  # that of a package, imported
        return None
    if not callable(value):
        raise BootError(f"websocket is {what_is(value)}, which cannot be called")
    return Handler(value, "websocket", "the WebSocket")


def _require_upgrade(head: Message) -> tuple[Handler, None]:
    """Answer plain requests in an app that has only WebSockets."""
    from buntime.worker.routes import Fixed  # 0.3 ms, for a mistake

    message = "this app speaks only WebSocket"
    response = error_response(426, "upgrade_required", message, head)
    response.headers.set("upgrade", "websocket")
    return Fixed(response, "websocket"), None


def _find_nothing(head: Message) -> tuple[Handler, None]:
    """Answer a request below the base of a plugin that serves nothing there."""
    from buntime.worker.routes import Fixed  # 0.3 ms, for a mistake

    path = head["target"].partition("?")[0]
    message = f"this plugin serves nothing at {path}"
    return Fixed(error_response(404, "not_found", message, head), "plugin"), None


def _with_handlers(
    kind: str, find: Finder, init: Message, socket: Handler | None, *, needs_loop: bool
) -> App:
    if needs_loop or init.get("needs_loop") or (socket is not None and socket.needs_loop):
        return _with_async_handlers(kind, find, init, socket)
    if socket is None:
        return App(kind, fetch_adapter(find), _sync_concurrency(init, SYNC_CONCURRENCY))
    from buntime.worker.syncwebsocket import sync_sockets  # 1 ms, for an app with WebSockets

    concurrency = _sync_concurrency(init, THREAD_SOCKETS, lowest=SYNC_CONCURRENCY)
    app = App(kind, fetch_adapter(find), concurrency)
    app.sockets = sync_sockets(socket)
    return app


def _with_async_handlers(kind: str, find: Finder, init: Message, socket: Handler | None) -> App:
    from buntime.worker.aiofetch import AsyncFetch, Threads  # brings asyncio, 62 ms

    concurrency = init["concurrency"] or ASYNC_CONCURRENCY
    threads = Threads(min(concurrency, MOST_THREADS), "handler")
    app = App(kind, AsyncFetch(find, threads).handle, concurrency)
    app.is_async = True
    if socket is not None:
        from buntime.worker.aiowebsocket import async_sockets  # 1 ms, for an app with WebSockets

        app.sockets = async_sockets(socket, concurrency)
    return app


def _adapt_app(value: Any, name: str, init: Message, _module: ModuleType) -> App:
    if not callable(value):
        raise BootError(f"{name} is {what_is(value)}, which cannot be called")
    if is_asgi(value, name):
        from buntime.worker.asgi import AsgiApp  # brings asyncio, 62 ms
        from buntime.worker.asgiwebsocket import asgi_sockets  # 2 ms

        strips_base = bool(init["config"].get("stripBase"))
        asgi = AsgiApp(value, strips_base=strips_base)
        app = App("asgi", asgi.handle, init["concurrency"] or ASYNC_CONCURRENCY)
        app.is_async = True
        app.sockets = asgi_sockets(value, asgi.lifespan.state, strips_base=strips_base)
        app.start, app.stop = asgi.lifespan.start, asgi.lifespan.stop
        return app
    from buntime.worker.wsgi import wsgi_adapter  # 1 ms, which other kinds need not spend

    concurrency = _sync_concurrency(init, SYNC_CONCURRENCY)
    return App("wsgi", wsgi_adapter(value, init["config"], concurrency), concurrency)


def _sync_concurrency(init: Message, usual: int, lowest: int = 1) -> int:
    config = init["config"]
    if not config["ttl"]:
        return 1  # a worker of one request: starting a second thread would hold up its answer
    if threads_are_greenlets():
        usual = max(usual, GREENLETS)
    return init["concurrency"] or (lowest if config.get("lowMemory") else usual)


_KINDS: dict[str, Callable[[Any, str, Message, ModuleType], App]] = {
    "fetch": _adapt_fetch,
    "routes": _adapt_routes,
    "app": _adapt_app,
    "application": _adapt_app,
    "websocket": _adapt_websocket,
}
