"""Kind routes: a table of paths, compiled when the app is loaded.

    routes = {
        "/": Response("hello"),  # GET and HEAD
        "/todos": {"GET": listed, "POST": added},
        "/todos/:id": todo,  # every method
        "/files/*": file,  # request.params["*"] is the rest
    }

The most specific path wins, segment by segment: a literal before `:name` before `*`.
"""

from __future__ import annotations

from buntime.sdk.fields import is_token, unquote
from buntime.sdk.request import Response
from buntime.sdk.response import AsyncPieces, Pieces
from buntime.worker.fetch import Handler, error_response
from buntime.worker.report import BootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from buntime.wire import Message

ANY = "*"  # instead of a method: the handler takes them all


class Fixed(Handler):
    """A response instead of a handler."""

    __slots__ = ("response",)

    def __init__(self, response: Response, label: str) -> None:
        super().__init__(lambda _request: response, label)
        self.response = response


class Route:
    """The route of a path: a handler for each method, and the names of the path's parameters."""

    __slots__ = ("allow", "methods", "names")

    def __init__(self, names: list[str], methods: dict[str, Handler]) -> None:
        self.names = names
        self.methods = methods
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        self.allow = ", ".join(sorted({*methods, "OPTIONS"}))

    def handler(self, method: str) -> Handler | None:
        """Return the handler of a method, if there is one."""
        return self.methods.get(method) or self.methods.get(ANY)


class Node:
    """A position in a path, and where it may continue."""

    __slots__ = ("literals", "param", "rest", "route")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.param: Node | None = None
        self.rest: Route | None = None  # for whatever follows
        self.route: Route | None = None  # for a path that ends here

    def find(self, segments: list[str], at: int, values: list[str]) -> Route | None:
        """Find the most specific route for the rest of a path; fills in `values`."""
        if at == len(segments):
            return self.route
        segment = segments[at]
        child = self.literals.get(segment)
        if child is not None:
            route = child.find(segments, at + 1, values)
            if route is not None:
                return route
        if self.param is not None and segment:
            values.append(segment)
            route = self.param.find(segments, at + 1, values)
            if route is not None:
                return route
            values.pop()
        if self.rest is not None:
            values.append("/".join(segments[at:]))
        return self.rest


class Router:
    """A table of routes, ready to look up."""

    def __init__(self, table: dict[Any, Any]) -> None:
        """Compile a table. Raises BootError, which names the faulty entry."""
        self._root = Node()
        self.needs_loop = False
        for path, target in table.items():
            self._add(path, target)

    def __call__(self, head: Message) -> tuple[Handler, dict[str, str] | None]:
        """Find the handler of a request, and the parameters of its path."""
        values: list[str] = []
        route = self._root.find(_segments_of(head), 0, values)
        method = head["method"]
        if route is None:
            message = f"this app has no route for {head['target'].partition('?')[0]}"
            return Fixed(error_response(404, "not_found", message, head), "routes"), None
        handler = route.handler(method)
        if handler is not None:
            return handler, dict(zip(route.names, values)) if values else None
        if method == "OPTIONS":
            return Fixed(Response(None, 204, {"allow": route.allow}), "routes"), None
        message = f"this route takes {route.allow}, not {method}"
        response = error_response(405, "method_not_allowed", message, head)
        response.headers.set("allow", route.allow)
        return Fixed(response, "routes"), None

    def _add(self, path: Any, target: Any) -> None:
        label = f"routes[{path!r}]"
        methods = _methods_of(target, label)
        self.needs_loop |= any(handler.needs_loop for handler in methods.values())
        segments, names = _parsed(path, label)
        node = self._root
        for segment in segments:
            if segment.startswith(":"):
                node.param = node = node.param or Node()
            elif segment != "*":
                node = node.literals.setdefault(segment, Node())
        is_rest = segments[-1] == "*"
        if (node.rest if is_rest else node.route) is not None:
            raise BootError(f"{label}: another route has the same path, with other names")
        if is_rest:
            node.rest = Route(names, methods)
        else:
            node.route = Route(names, methods)


def _segments_of(head: Message) -> list[str]:
    """Decode a path after splitting it: an encoded slash is no separator."""
    path: str = head["target"].partition("?")[0]
    base: str = head["base"]
    if path.startswith(base):
        path = path[len(base) :]
    segments = path.split("/")[1:] or [""]
    if "%" not in path:
        return segments
    return [unquote(s.encode("utf-8", "replace")).decode("utf-8", "replace") for s in segments]


def _parsed(path: Any, label: str) -> tuple[list[str], list[str]]:
    """Split a path of the table: `"/todos/:id"` -> `(["todos", ":id"], ["id"])`."""
    if path == "*":
        path = "/*"
    if not isinstance(path, str) or not path.startswith("/"):
        raise BootError(f'{label}: a path is text that starts with "/", or "*"')
    segments = path.split("/")[1:]
    names = []
    for segment in segments:
        if segment.startswith(":"):
            if not segment[1:].isidentifier():
                raise BootError(f'{label}: "{segment}" needs a name such as ":id"')
            names.append(segment[1:])
        elif "*" in segment:
            if segment != "*" or segment is not segments[-1]:
                raise BootError(f'{label}: "*" can only be the whole last segment')
            names.append("*")
    if len(set(names)) < len(names):
        raise BootError(f"{label}: two parameters have the same name")
    return segments, names


def _methods_of(target: Any, label: str) -> dict[str, Handler]:
    if isinstance(target, Response):
        return {"GET": _fixed(target, label)}
    if callable(target):
        return {ANY: Handler(target, label)}
    if not isinstance(target, dict) or not target:
        raise BootError(
            f"{label} is {_what(target)}; it must be a handler, a Response, "
            "or a dict of them by method"
        )
    methods = {}
    for method, handler in target.items():
        entry = f"{label}[{method!r}]"
        if not isinstance(method, str) or not is_token(method) or method != method.upper():
            raise BootError(f'{entry}: a method is a word in capitals, such as "GET"')
        if isinstance(handler, Response):
            methods[method] = _fixed(handler, entry)
        elif callable(handler):
            methods[method] = Handler(handler, entry)
        else:
            raise BootError(f"{entry} is {_what(handler)}; it must be a handler or a Response")
    return methods


def _fixed(response: Response, label: str) -> Handler:
    body = response.body
    # A list or a file can be read again; an iterator, or an open file, cannot.
    source = body._source if isinstance(body, (Pieces, AsyncPieces)) else None
    if isinstance(body, AsyncPieces) or hasattr(source, "__next__") or hasattr(source, "read"):
        raise BootError(
            f"{label} is a Response whose body can be read only once; "
            "write a handler that makes a new one for each request"
        )
    return Fixed(response, label)


def _what(value: object) -> str:
    return "empty" if value == {} else f"of type {type(value).__name__}"
