"""The object in its module that an app serves, if the manifest names one: `app.py:create_app()`."""

from __future__ import annotations

from buntime.worker.appkind import is_asgi, what_is
from buntime.worker.callables import shape_of
from buntime.worker.report import BootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any

FACTORIES = ("create_app", "make_app", "get_app", "build_app", "app_factory")
OFFERED_MAX = 5
_NO_OFFER = "; correct what `entrypoint` in buntime.yaml names after the colon"


def chosen(module: ModuleType, serves: str, entrypoint: str) -> Any:
    """Return what `serves` means in the module: `"server"`, `"site.app"`, `"create_app()"`.

    Raises BootError if there is no such object, and whatever its function raises.
    """
    names = serves[:-2] if serves.endswith("()") else serves
    value: Any = module
    for name in names.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            then = offered(module, entrypoint) or _NO_OFFER
            raise BootError(f"{entrypoint} has no {names}{then}") from None
    if names != serves:
        if not callable(value):
            raise BootError(f"{entrypoint}: {names} is {what_is(value)}; leave out the ()")
        value = value()
        if hasattr(value, "__await__"):
            close = getattr(value, "close", None)
            if close is not None:
                close()  # or Python warns that it was never awaited
            raise BootError(
                f"{entrypoint}: {names} is async; the app must be made by a plain function"
            )
    return value


def offered(module: ModuleType, entrypoint: str) -> str:
    """For a message: what in the module looks like an app, and how to say that it is one."""
    found = [*_offers(module)][:OFFERED_MAX]
    if not found:
        return ""
    words = ", ".join(f"{name} ({what})" for name, what in found)
    return f"; it has {words}: say `entrypoint: {entrypoint}:{found[0][0]}` to serve it"


def _offers(module: ModuleType) -> Iterator[tuple[str, str]]:
    function = type(offered)
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, (type, type(module))):
            continue
        if isinstance(value, function):
            if name in FACTORIES:
                yield f"{name}()", "a function"
            elif _takes_requests(value):
                yield name, "a function"
        elif type(value).__module__ != "builtins" and callable(value) and _is_app(value, name):
            yield name, what_is(value)


def _takes_requests(function: Any) -> bool:
    """Whether its arguments have the names that ASGI or WSGI gives them."""
    shape = shape_of(function)
    names = shape.names if shape is not None else ()
    return names[-1:] == ("start_response",) or names[-3:] == ("scope", "receive", "send")


def _is_app(value: Any, name: str) -> bool:
    """Whether it could be served if it were named; a Tornado app could not."""
    try:
        is_asgi(value, name)
    except BootError:
        return False
    return True
