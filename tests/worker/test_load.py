"""Which kind an app is, found from its signature: the frameworks' own apps, and all sorts of
wrappers. In this process, as nothing is run."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any
from wsgiref.validate import validator

import bottle
import django.core.handlers.asgi
import django.core.handlers.wsgi
import fastapi
import flask
import pytest
import quart
import starlette.applications
from asgiref.sync import sync_to_async
from asgiref.wsgi import WsgiToAsgi

from buntime import Response
from buntime.worker.load import App, load
from buntime.worker.report import BootError


def loaded(**names: Any) -> App:
    module = ModuleType("app")
    vars(module).update(names)
    return load(module, {"entrypoint": "app.py", "concurrency": None, "config": {"ttl": 60}})


def anything(*args: Any) -> Any: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...

    def method(self, environ: Any, start_response: Any) -> Any: ...

    async def async_method(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiMiddleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.app(scope, receive, send)


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


class AsgiClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...


def with_more(extra: int, environ: Any, start_response: Any) -> Any: ...


async def async_with_more(scope: Any, receive: Any, send: Any, extra: int) -> None: ...


WSGI_APPS = {
    "function": wsgi,
    "lambda": lambda e, s: [],
    "object": WsgiObject(),
    "method": WsgiObject().method,
    "class": WsgiClass,
    "partial": functools.partial(with_more, 1),
    "wrapped": wrapped(wsgi),
    "validator": validator(wsgi),
    "any arguments": anything,
    "flask": flask.Flask("x"),
    "bottle": bottle.Bottle(),
    "django": object.__new__(django.core.handlers.wsgi.WSGIHandler),
    "optional argument": lambda environ, start_response, extra=None: [],
}
ASGI_APPS = {
    "function": asgi,
    "object": AsgiObject(),
    "method": WsgiObject().async_method,
    "class": AsgiClass,
    "partial": functools.partial(async_with_more, extra=1),
    "wrapped": wrapped(asgi),
    "plain middleware": AsgiMiddleware(asgi),
    "lambda": lambda scope, receive, send: asgi(scope, receive, send),  # noqa: PLW0108  # plain
    "other names": lambda a, b, c: asgi(a, b, c),  # noqa: PLW0108  # likewise
    "partial of an object": functools.partial(AsgiObject()),
    "fastapi": fastapi.FastAPI(),
    "starlette": starlette.applications.Starlette(),
    "quart": quart.Quart("x"),
    "django": object.__new__(django.core.handlers.asgi.ASGIHandler),
    "asgiref": WsgiToAsgi(wsgi),
}


@pytest.mark.parametrize("name", WSGI_APPS)
def test_wsgi_is_told(name: str) -> None:
    """WSGI apps of every make are recognized."""
    app = loaded(app=WSGI_APPS[name])
    assert (app.kind, app.is_async) == ("wsgi", False)


@pytest.mark.parametrize("name", ASGI_APPS)
def test_asgi_is_told(name: str) -> None:
    """ASGI apps of every make are recognized."""
    app = loaded(application=ASGI_APPS[name])
    assert (app.kind, app.is_async) == ("asgi", True)


def test_order() -> None:
    """fetch takes precedence over routes, routes over app, app over application."""

    def fetch(request: Any) -> None: ...

    routes = {"/": Response("x")}
    assert loaded(application=asgi, app=wsgi, routes=routes, fetch=fetch).kind == "fetch"
    assert loaded(application=asgi, app=wsgi, routes=routes).kind == "routes"
    assert loaded(application=asgi, app=wsgi).kind == "wsgi"
    assert loaded(application=asgi).kind == "asgi"


def test_what_does_not_fit_is_passed_over() -> None:
    """A helper called fetch or a list called routes does not hide a Flask app."""

    def fetch(url: str, timeout: float) -> None: ...

    assert loaded(fetch=fetch, routes=[], app=flask.Flask("x")).kind == "wsgi"
    assert loaded(routes={"a": 1}, app=flask.Flask("x")).kind == "wsgi"


async def async_fetch(request: Any) -> None: ...


class AsyncFetch:
    async def __call__(self, request: Any) -> None: ...

    async def method(self, request: Any, extra: int = 0) -> None: ...


@pytest.mark.parametrize(
    "fetch",
    [
        async_fetch,
        functools.partial(async_fetch),
        AsyncFetch(),
        AsyncFetch().method,
        functools.partial(AsyncFetch().method, extra=1),
        wrapped(async_fetch),
        wrapped(wrapped(async_fetch)),
        sync_to_async(lambda request: None),
    ],
)
def test_async_fetch_is_told(fetch: Any) -> None:
    """An async handler is recognized through partials, objects and decorators."""
    assert loaded(fetch=fetch).is_async


@pytest.mark.parametrize(
    "fetch", [lambda request: None, wrapped(lambda request: None), Response, print]
)
def test_sync_fetch_is_told(fetch: Any) -> None:
    """A plain function keeps its app a sync one."""
    assert not loaded(fetch=fetch).is_async


def test_hooks_are_found() -> None:
    """on_idle and on_terminate are taken from the module."""

    def hook() -> None: ...

    app = loaded(app=wsgi, on_idle=hook, on_terminate=hook)
    assert app.on_idle is app.on_terminate is hook


def test_class_instead_of_app_is_refused() -> None:
    """A framework's class in place of its instance is refused at boot."""
    with pytest.raises(BootError, match="app takes one argument"):
        loaded(app=flask.Flask)


def test_wrong_arguments_of_a_partial() -> None:
    """Arguments that a partial has already set do not count."""
    with pytest.raises(BootError, match=r"fetch must take one argument, .* it takes 0"):
        loaded(fetch=functools.partial(async_fetch, 1))
