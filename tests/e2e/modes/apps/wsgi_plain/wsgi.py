"""What PEP 3333 offers and frameworks rarely use, watched over by wsgiref.validate."""

import json
import sys
from io import BytesIO
from wsgiref.validate import validator

closed = []


class Pieces:
    """An iterable with a `close`, as the server has to call it."""

    def __init__(self, key, pieces):
        self.key = key
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        closed.append(self.key)


def show(environ, start_response):
    """The environ, as far as it can be written as JSON."""
    told = {key: value for key, value in environ.items() if type(value) in (str, bool, tuple)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def iterate(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Pieces(environ["QUERY_STRING"], [b"one ", b"", b"two"])


def break_off(environ, start_response):
    """Raises in the midst of its pieces."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        yield b"one "
        raise RuntimeError("no such luck")

    return Pieces(environ["QUERY_STRING"], pieces())


def tell_closed(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(closed).encode()]


def write(environ, start_response):
    """The old way: a function to write to, then an iterable."""
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"one ")
    send(b"two ")
    return [b"three"]


def wrap_file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](BytesIO(b"0123456789" * 20_000), 4096)


def replace(environ, start_response):
    """Begins one answer, fails, and gives another in its place."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "yes")])
    try:
        raise RuntimeError("no such luck")
    except RuntimeError:
        headers = [("Content-Type", "text/plain")]
        start_response("503 Out Of Luck", headers, sys.exc_info())
    return [b"sorry"]


def read_lines(environ, start_response):
    """The body by all methods that the specification names."""
    body = environ["wsgi.input"]
    told = [body.readline(), body.read(3), *body.readlines(4), b"|".join(body), body.read(100)]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([piece.decode() for piece in told]).encode()]


def complain(environ, start_response):
    environ["wsgi.errors"].write("a complaint\n")
    environ["wsgi.errors"].writelines(["and ", "another\n"])
    environ["wsgi.errors"].flush()
    start_response("204 Told", [])
    return []


def raise_early(environ, start_response):
    raise LookupError("before start_response")


def answer_nothing(environ, start_response):
    return [b"a body without a head"]


PAGES = {
    "/show": show,
    "/iterate": iterate,
    "/break-off": break_off,
    "/closed": tell_closed,
    "/write": write,
    "/file": wrap_file,
    "/replace": replace,
    "/lines": read_lines,
    "/complain": complain,
    "/raise": raise_early,
    "/headless": answer_nothing,
}


def serve(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/show/"):
        return show(environ, start_response)
    return PAGES[path](environ, start_response)


checked = validator(serve)


def application(environ, start_response):
    """The checked app, but for what breaks the rules on purpose."""
    rash = environ["PATH_INFO"] in ("/file", "/headless")
    return (serve if rash else checked)(environ, start_response)
