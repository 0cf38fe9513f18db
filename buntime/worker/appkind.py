"""Finds out what kind of app an object is: ASGI, WSGI, or neither, and then why."""

from __future__ import annotations

from buntime.worker.callables import is_async, shape_of
from buntime.worker.report import BootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Callables that are not apps.
_OF_OTHER_SERVERS = {("tornado.web", "Application"), ("aiohttp.web_app", "Application")}


def is_asgi(app: Any, name: str) -> bool:
    """Distinguish an ASGI app from a WSGI one by its signature."""
    for kind in type(app).__mro__:
        if (kind.__module__, kind.__name__) in _OF_OTHER_SERVERS:
            raise BootError(
                f"{name} is {kind.__module__}.{kind.__name__}, which is neither ASGI nor WSGI: it "
                "needs its framework's own server, and cannot be served here"
            )
    shape = shape_of(app)
    names = shape.names if shape is not None else ()
    if is_async(app):
        if shape is not None and not shape.takes(3):
            raise BootError(
                f"{name} is async but takes ({', '.join(names)}); an ASGI app takes "
                "(scope, receive, send), and a function that takes one request must be named fetch"
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
    if shape is not None and shape.required == 0 and not shape.more:
        raise BootError(
            f"{name} is {what_is(app)} that needs no arguments; if it makes the app, write "
            f"`entrypoint` with {name}()"
        )
    raise BootError(
        f"{name} is {what_is(app)} whose arguments do not show whether it is ASGI "
        "(scope, receive, send) or WSGI (environ, start_response)"
    )


def what_is(value: object) -> str:
    """For messages: `"a list"`, `"an int"`."""
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
