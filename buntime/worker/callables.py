"""What can be known about a callable before it is called: whether it is async, and its arguments.

Without `inspect`, which costs 21 ms; it is imported only for the rare callable that is not Python
code.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import partial
    from types import FunctionType, MethodType
    from typing import Any
else:
    from _functools import partial  # `functools` adds nothing to it, and 5 ms

    FunctionType = type(lambda: None)  # as in `types`, which takes as long as six of our modules
    MethodType = type(FunctionType.__get__(lambda: None, object()))

# CPython's co_flags, the same from 3.9 on.
CO_VARARGS = 0x04
CO_COROUTINE = 0x80
CO_ITERABLE_COROUTINE = 0x100  # types.coroutine
CO_ASYNC_GENERATOR = 0x200


class Shape:
    """The positional arguments a caller can give: `names`, of which the first `required` it must.

    `more` means that any further ones are accepted too.
    """

    __slots__ = ("more", "names", "required")

    def __init__(self, names: tuple[str, ...], required: int, *, more: bool) -> None:
        self.names = names
        self.required = required
        self.more = more

    def takes(self, count: int) -> bool:
        """Return whether a call with `count` positional arguments fits."""
        return self.required <= count and (self.more or count <= len(self.names))

    def without(self, count: int) -> Shape:
        """Return the shape when the first `count` arguments are given."""
        return Shape(self.names[count:], max(0, self.required - count), more=self.more)


def is_async(function: Any) -> bool:
    """Return whether calling it gives a coroutine, as far as can be seen."""
    function = _unwrap_partials(function)
    if _is_coroutine_function(function):
        return True
    if isinstance(function, (FunctionType, MethodType, type)):
        return False
    return callable(function) and _is_coroutine_function(type(function).__call__)


def yields_async(function: Any) -> bool:
    """Return whether it is an async generator function: calling it is sync, iterating is not."""
    function = _unwrap_partials(function)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return bool(getattr(code, "co_flags", 0) & CO_ASYNC_GENERATOR)


def wraps_async(function: Any) -> bool:
    """Return whether it is a plain function that a decorator made from an async one.

    Calling it may give a coroutine, or run one to its end.
    """
    function = _unwrap_partials(function)
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        if is_async(inner):
            return True
        function = inner
    return False


def shape_of(function: Any) -> Shape | None:
    """Return the shape of a call, None if it is unknown."""
    if isinstance(function, partial):
        shape = shape_of(function.func)
        if shape is None:
            return None
        shape = shape.without(len(function.args))
        given = [name for name in shape.names if name in function.keywords]
        # Parameters after one that is given by name can only be given by name.
        names = shape.names[: shape.names.index(given[0])] if given else shape.names
        return Shape(names, min(shape.required, len(names)), more=shape.more and not given)
    if isinstance(function, MethodType):
        shape = shape_of(function.__func__)
        return shape and shape.without(1)
    if isinstance(function, type):
        return _shape_of_class(function)
    if isinstance(function, FunctionType):
        wrapped = getattr(function, "__wrapped__", None)
        return _shape_of_code(function) if wrapped is None else shape_of(wrapped)
    call = type(function).__call__ if callable(function) else None
    if isinstance(call, FunctionType):
        shape = shape_of(call)
        return shape and shape.without(1)
    return _inspected(function)


def _unwrap_partials(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _is_coroutine_function(function: Any) -> bool:
    function = _unwrap_partials(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if getattr(code, "co_flags", 0) & (CO_COROUTINE | CO_ITERABLE_COROUTINE):
        return True
    # The marks of asyncio.coroutine, asgiref and Cython, and of inspect.markcoroutinefunction.
    return bool(
        getattr(function, "_is_coroutine", None) or getattr(function, "_is_coroutine_mark", None)
    )


def _shape_of_class(cls: type) -> Shape | None:
    for name in ("__init__", "__new__"):
        method = getattr(cls, name)
        if isinstance(method, FunctionType):
            shape = shape_of(method)
            return shape and shape.without(1)
    return None


def _shape_of_code(function: FunctionType) -> Shape:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    required = len(names) - len(function.__defaults__ or ())
    return Shape(names, required, more=bool(code.co_flags & CO_VARARGS))


def _inspected(function: Any) -> Shape | None:
    import inspect  # 21 ms, for callables written in C

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return Shape(
        tuple(place.name for place in places),
        sum(place.default is place.empty for place in places),
        more=any(p.kind is p.VAR_POSITIONAL for p in parameters),
    )
