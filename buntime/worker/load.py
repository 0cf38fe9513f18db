"""Finds in the app's module what it serves, and adapts it to the one call shape of the engines."""

from __future__ import annotations

from buntime.worker.callables import is_async, shape_of
from buntime.worker.fetch import Handler, fetch_adapter, only
from buntime.worker.report import BootError, complain
from buntime.worker.routes import Router

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.fetch import Finder

SYNC_CONCURRENCY = 8  # threads; more do not help code that holds the GIL
ASYNC_CONCURRENCY = 100  # tasks
MOST_THREADS = 32  # for the sync handlers of an async app
LOOKED_FOR = (
    "looked for fetch (a function that takes a Request), routes (a dict), "
    "app or application (ASGI or WSGI)"
)


class App:
    """An app, loaded: what the engines need to know of it."""

    def __init__(self, kind: str, handle: Callable[[Any], Any], concurrency: int) -> None:
        self.kind = kind
        self.handle = handle  # of SyncExchange, or of AsyncExchange and then async
        self.concurrency = concurrency
        self.is_async = False
        # hooks
        self.start: Callable[[], Any] | None = None  # an ASGI app's lifespan
        self.stop: Callable[[], Any] | None = None
        self.on_idle: Callable[[], Any] | None = None
        self.on_terminate: Callable[[], Any] | None = None


def load(module: ModuleType, init: Message) -> App:
    """Adapt what a module serves. Raises BootError where that is nothing."""
    app = _find(module, init)
    for name in ("on_idle", "on_terminate"):
        hook = vars(module).get(name)
        if hook is None:
            continue
        shape = shape_of(hook) if callable(hook) else None
        if not callable(hook) or (shape is not None and not shape.takes(0)):
            raise BootError(f"{init['entrypoint']}: {name} must be a function without arguments")
        setattr(app, name, hook)
    return app


def _find(module: ModuleType, init: Message) -> App:
    problems = []
    for name, adapt in _KINDS.items():
        value = vars(module).get(name)
        if value is None:
            continue
        try:
            app = adapt(value, name, init)
        except BootError as exc:
            problems.append(str(exc))
            continue
        _tell_of_others(module, name, init["entrypoint"])
        return app
    found = "; ".join(problems) or "none of them is there"
    raise BootError(f"{init['entrypoint']}: nothing to serve: {LOOKED_FOR}; {found}")


def _tell_of_others(module: ModuleType, chosen: str, entrypoint: str) -> None:
    """Somebody whose Flask module has a helper called fetch should not have to guess."""
    others = [name for name in ("app", "application") if callable(vars(module).get(name))]
    if others and chosen not in ("app", "application"):
        complain(f"buntime: {entrypoint}: {chosen} is served, {others[0]} is not")


def _adapt_fetch(value: Any, name: str, init: Message) -> App:
    if not callable(value):
        raise BootError(f"{name} is {_what(value)}, which cannot be called")
    handler = Handler(value, name)
    return _with_handlers("fetch", only(handler), init, needs_loop=handler.needs_loop)


def _adapt_routes(value: Any, name: str, init: Message) -> App:
    if not isinstance(value, dict) or not value:
        raise BootError(f"{name} is {_what(value)}, not a dict with entries")
    router = Router(value)
    return _with_handlers("routes", router, init, needs_loop=router.needs_loop)


def _with_handlers(kind: str, find: Finder, init: Message, *, needs_loop: bool) -> App:
    if not needs_loop:
        return App(kind, fetch_adapter(find), _sync_concurrency(init))
    from buntime.worker.aiofetch import AsyncFetch  # brings asyncio, 62 ms

    concurrency = init["concurrency"] or ASYNC_CONCURRENCY
    adapter = AsyncFetch(find, min(concurrency, MOST_THREADS))
    app = App(kind, adapter.handle, concurrency)
    app.is_async = True
    return app


def _adapt_app(value: Any, name: str, init: Message) -> App:
    if not callable(value):
        raise BootError(f"{name} is {_what(value)}, which cannot be called")
    if _is_asgi(value, name):
        from buntime.worker.asgi import AsgiApp  # brings asyncio, 62 ms

        asgi = AsgiApp(value)
        app = App("asgi", asgi.handle, init["concurrency"] or ASYNC_CONCURRENCY)
        app.is_async = True
        app.start, app.stop = asgi.lifespan.start, asgi.lifespan.stop
        return app
    from buntime.worker.wsgi import wsgi_adapter  # 1 ms, which other kinds need not spend

    concurrency = _sync_concurrency(init)
    return App("wsgi", wsgi_adapter(value, init["config"], concurrency), concurrency)


def _is_asgi(app: Any, name: str) -> bool:
    """Tell an ASGI app from a WSGI one by its signature."""
    shape = shape_of(app)
    names = shape.names if shape is not None else ()
    if is_async(app):
        if shape is not None and not shape.takes(3):
            raise BootError(
                f"{name} is async but takes ({', '.join(names)}); an ASGI app takes "
                "(scope, receive, send), and a function of one request is to be called fetch"
            )
        return True
    if {"scope", "receive", "send"} <= set(names):
        return True
    if "start_response" in names:
        return False
    if shape is not None and not shape.more and shape.required in (2, 3):
        return shape.required == 3
    if shape is not None and shape.more and shape.takes(2):
        return False  # such as what wsgiref.validate makes; of ASGI one would be async
    if shape is not None and not shape.more and shape.required == 1:
        raise BootError(
            f"{name} takes one argument ({names[0]}): ASGI 2 apps are not served; "
            "wrap it with asgiref.compatibility.guarantee_single_callable"
        )
    raise BootError(
        f"{name} is {_what(app)} whose arguments do not tell whether it is ASGI "
        "(scope, receive, send) or WSGI (environ, start_response)"
    )


def _sync_concurrency(init: Message) -> int:
    lowest = 1 if init["config"].get("lowMemory") else SYNC_CONCURRENCY
    return init["concurrency"] or lowest


def _what(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


_KINDS: dict[str, Callable[[Any, str, Message], App]] = {
    "fetch": _adapt_fetch,
    "routes": _adapt_routes,
    "app": _adapt_app,
    "application": _adapt_app,
}
