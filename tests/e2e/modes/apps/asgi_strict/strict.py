"""Stands between an ASGI app and its server, and reports what either of them does wrong.

Both sides are held to the ASGI specification 3.0, with its HTTP part 2.5 and lifespan part 2.0.
Some of what is checked is more than it says, but what a server has to do for an app to be
reachable under a root_path: the path begins with it, and raw_path decodes to path.
"""

import re
import sys
from urllib.parse import unquote_to_bytes

MARK = "ASGI VIOLATION"
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
HTTP_KEYS = {
    "type": str,
    "asgi": dict,
    "http_version": str,
    "method": str,
    "scheme": str,
    "path": str,
    "raw_path": bytes,
    "query_string": bytes,
    "root_path": str,
}


class Violation(AssertionError):
    """The specification says otherwise."""


def check(is_right, message):
    if not is_right:
        sys.stderr.write(f"{MARK}: {message}\n")
        raise Violation(message)


class Strict:
    """Wraps an app; each violation is written to stderr and raised."""

    def __init__(self, app):
        self.app = app
        self.lifespan = "never begun"
        self.state = {}

    async def __call__(self, scope, receive, send):
        check(type(scope) is dict, f"the scope is a {type(scope).__name__}")
        kind = scope.get("type")
        if kind == "lifespan":
            await self.serve_lifespan(scope, receive, send)
        else:
            check(kind == "http", f"a scope of type {kind!r}")
            await self.serve_http(scope, receive, send)

    async def serve_lifespan(self, scope, receive, send):
        check_asgi(scope)
        check(self.lifespan == "never begun", "a second lifespan scope")
        check(scope.get("state") == {}, f"the lifespan's state is {scope.get('state')!r}")
        self.state = scope["state"]
        self.lifespan = "begun"

        async def checked_receive():
            event = await receive()
            expected = {"begun": "lifespan.startup", "up": "lifespan.shutdown"}.get(self.lifespan)
            check(event == {"type": expected}, f"{event!r} while the lifespan is {self.lifespan}")
            self.lifespan = {"begun": "starting", "up": "stopping"}[self.lifespan]
            return event

        async def checked_send(event):
            expected = {"starting": "lifespan.startup", "stopping": "lifespan.shutdown"}
            stage = expected.get(self.lifespan)
            kinds = (f"{stage}.complete", f"{stage}.failed")
            check(event["type"] in kinds, f"the app sent {event!r} while {self.lifespan}")
            self.lifespan = {"starting": "up", "stopping": "down"}[self.lifespan]
            await send(event)

        await self.app(scope, checked_receive, checked_send)

    async def serve_http(self, scope, receive, send):
        check(self.lifespan == "up", f"a request while the lifespan is {self.lifespan}")
        check_http(scope)
        check(scope["state"] is not self.state, "the state is not a copy of the lifespan's")
        check(scope["state"] == self.state, "the state is not what the lifespan left in it")
        call = Call(scope, receive, send)
        await self.app(scope, call.receive, call.send)
        check(call.stage == "complete" or call.gone, "the app returned before its response's end")


class Call:
    """The events of one request, in both directions."""

    def __init__(self, scope, receive, send):
        lengths = [int(value) for name, value in scope["headers"] if name == b"content-length"]
        self.length = lengths[0] if lengths else None
        self.is_head = scope["method"] == "HEAD"
        self.has_ended = False  # the request's body
        self.gone = False
        self.received = 0
        self.stage = "nothing sent"
        self._receive = receive
        self._send = send

    async def receive(self):
        event = await self._receive()
        check(type(event) is dict, f"receive gave a {type(event).__name__}")
        if event.get("type") == "http.disconnect":
            check(event.keys() == {"type"}, f"the disconnect has more to tell: {event!r}")
            self.gone = True
            return event
        check(event.get("type") == "http.request", f"receive gave {event.get('type')!r}")
        check(not self.gone, "http.request after http.disconnect")
        check(not self.has_ended, "http.request after the one without more_body")
        body, more = event.get("body", b""), event.get("more_body", False)
        check(type(body) is bytes, f"the body is a {type(body).__name__}")
        check(type(more) is bool, f"more_body is a {type(more).__name__}")
        check(event.keys() <= {"type", "body", "more_body"}, f"unknown keys in {event.keys()}")
        self.received += len(body)
        self.has_ended = not more
        if self.length is not None and self.has_ended:
            check(self.received == self.length, f"{self.received} bytes of {self.length} came")
        return event

    async def send(self, event):
        kind = event.get("type")
        if self.stage == "nothing sent":
            check(kind == "http.response.start", f"the app began with {kind!r}")
            check_response(event)
            self.stage = "started"
        else:
            check(self.stage == "started", f"the app sent {kind!r} after the end")
            check(kind == "http.response.body", f"the app went on with {kind!r}")
            check(isinstance(event.get("body", b""), bytes), "the app's body is not bytes")
            self.stage = "started" if event.get("more_body", False) else "complete"
        result = await self._send(event)
        check(result is None, "send gave something back")


def check_asgi(scope):
    asgi = scope.get("asgi")
    check(type(asgi) is dict, f"asgi is {asgi!r}")
    check(asgi.get("version") == "3.0", f"asgi.version is {asgi.get('version')!r}")
    spec = asgi.get("spec_version", "2.0")
    check(spec in ("2.0", "2.1", "2.2", "2.3", "2.4", "2.5"), f"asgi.spec_version is {spec!r}")


def check_http(scope):
    for key, kind in HTTP_KEYS.items():
        check(type(scope.get(key)) is kind, f"{key} is {scope.get(key)!r}, not of type {kind}")
    check_asgi(scope)
    check(scope["http_version"] in ("1.0", "1.1", "2"), f"version {scope['http_version']!r}")
    check(scope["method"] == scope["method"].upper(), f"method {scope['method']!r}")
    check(scope["scheme"] in ("http", "https"), f"scheme {scope['scheme']!r}")
    check_path(scope)
    check_headers(scope["headers"])
    for key in ("client", "server"):
        check_address(key, scope.get(key))
    check(type(scope.get("state")) is dict, f"state is {scope.get('state')!r}")
    extensions = scope.get("extensions", {})
    check(type(extensions) is dict, f"extensions is {extensions!r}")
    check(all(type(value) is dict for value in extensions.values()), "an extension is no dict")


def check_path(scope):
    path, raw, root = scope["path"], scope["raw_path"], scope["root_path"]
    check(path.startswith("/"), f"path is {path!r}")
    check(b"?" not in raw, f"raw_path {raw!r} has the query")
    check(unquote_to_bytes(raw).decode("utf-8", "replace") == path, f"{raw!r} is not {path!r}")
    check(not root.endswith("/"), f"root_path is {root!r}")
    check(path == root or path.startswith(root + "/"), f"path {path!r} is not below {root!r}")
    check(scope["query_string"].isascii(), f"query_string is {scope['query_string']!r}")


def check_headers(headers):
    names = []
    for pair in headers:
        check(len(pair) == 2, f"a header is {pair!r}")
        name, value = pair
        check(type(name) is bytes and type(value) is bytes, f"header {pair!r} is not of bytes")
        check(TOKEN.fullmatch(name), f"header {name!r} is not a token in lower case")
        check(value == value.strip(b" \t"), f"header {name!r} has space around {value!r}")
        check(not set(value) & {0, 10, 13}, f"header {name!r} has {value!r}")
        names.append(name)
    check(names.count(b"host") == 1, f"there are {names.count(b'host')} host headers")
    check(names.count(b"content-length") <= 1, "there are several lengths")
    check(b"transfer-encoding" not in names, "transfer-encoding is the server's business")


def check_address(key, address):
    if address is None:
        return
    check(len(address) == 2, f"{key} is {address!r}")
    host, port = address
    check(type(host) is str and host != "", f"{key} has the host {host!r}")
    check(type(port) is int and 0 <= port < 65536, f"{key} has the port {port!r}")


def check_response(event):
    check(type(event.get("status")) is int, f"the app's status is {event.get('status')!r}")
    for name, value in event.get("headers", ()):
        check(type(name) is bytes and type(value) is bytes, f"the app's header is {name!r}")
        check(TOKEN.fullmatch(name), f"the app's header {name!r} is not a token in lower case")
