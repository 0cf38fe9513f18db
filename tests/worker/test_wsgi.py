"""Kind wsgi: PEP 3333, point by point."""

import pytest

from tests.support.workshop import Lasting, Workshop

ENVIRON = """
import json
from wsgiref.validate import validator

@validator
def app(environ, start_response):
    seen = {key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
"""


def test_environ(shop: Workshop) -> None:
    """The environ is complete, decoded as PEP 3333 requires, and passes wsgiref's validator."""
    headers = [
        ("host", "example.com"),
        ("content-type", "text/plain"),
        ("content-length", "3"),
        ("cookie", "a=1"),
        ("x-a", "1"),
        ("cookie", "b=2"),
        ("x-a", "2"),
        ("x_a", "spoofed"),
        ("x-latin", "caf\xe9"),
    ]
    worker = shop.boot(ENVIRON, concurrency=4)
    assert worker.ready()["kind"] == "wsgi"
    seen = worker.get("/shop/a%20b/%C3%A9?q=%20", "POST", headers, b"abc").json
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/a b/\xc3\xa9",
        "QUERY_STRING": "q=%20",
        "REQUEST_URI": "/shop/a%20b/%C3%A9?q=%20",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.7",
        "REMOTE_PORT": "50123",
        "HTTP_HOST": "example.com",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_A": "1,2",
        "HTTP_X_LATIN": "caf\xe9",
        "HTTP_X_BASE": "/shop",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert worker.stderr == ""


def test_flags_follow_the_config(shop: Workshop) -> None:
    """run_once, multiprocess and multithread follow from ttl, workers and concurrency."""
    config = {"ttl": 0, "workers": 3, "lowMemory": True}
    seen = shop.start(ENVIRON, config=config).get().json
    flags = [seen["wsgi." + name] for name in ("run_once", "multiprocess", "multithread")]
    assert flags == [True, True, False]


@pytest.mark.parametrize(
    ("target", "base", "script", "path"),
    [
        ("/shop", "/shop", "/shop", ""),
        ("/shop@1/x", "/shop@1", "/shop@1", "/x"),
        ("/%73hop/x", "/%73hop", "/shop", "/x"),
        ("/x", "", "", "/x"),
        ("/x", "/", "", "/x"),
    ],
)
def test_base_and_path(shop: Workshop, target: str, base: str, script: str, path: str) -> None:
    """SCRIPT_NAME is the decoded base, PATH_INFO what follows it."""
    seen = shop.start(ENVIRON).get(target, base=base).json
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == (script, path)


@pytest.mark.parametrize(
    ("host", "scheme", "name", "port"),
    [
        ("example.com:81", "http", "example.com", "81"),
        ("example.com", "https", "example.com", "443"),
        ("[::1]:81", "http", "[::1]", "81"),
    ],
)
def test_unix_socket(shop: Workshop, host: str, scheme: str, name: str, port: str) -> None:
    """Behind a unix socket the Host header names the server, and there is no REMOTE_ADDR."""
    worker = shop.start(ENVIRON)
    seen = worker.get(headers={"host": host}, scheme=scheme, server=None, client=None).json
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == (name, port)
    assert "REMOTE_ADDR" not in seen


INPUT = """
from wsgiref.validate import validator

@validator
def app(environ, start_response):
    file = environ["wsgi.input"]
    how = environ["PATH_INFO"][1:]
    if how == "lines":
        read = [file.readline(), file.readline(2)] + file.readlines()
    elif how == "iterate":
        read = list(file)
    elif how == "sizes":
        read = [file.read(3), file.read(0), file.read(100_000), file.read(1)]
    else:
        read = [file.read(10_000_000), file.read(1)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"|".join(read)]
"""


@pytest.mark.parametrize(
    ("how", "body", "seen"),
    [
        ("lines", b"ab\ncd\nef\ng", b"ab\n|cd|\n|ef\n|g"),
        ("iterate", b"a\nb\n\nc", b"a\n|b\n|\n|c"),
        ("sizes", b"abcdef", b"abc||def|"),
        ("all", b"", b"|"),
        ("all", b"x" * 200_000, b"x" * 200_000 + b"|"),
        ("lines", b"y" * 200_000 + b"\n", b"y" * 200_000 + b"\n||"),
    ],
)
def test_input(shop: Workshop, how: str, body: bytes, seen: bytes) -> None:
    """wsgi.input reads like a file, by sizes, lines and iteration, and ends where the body does,
    whether its length was declared or not."""
    worker = shop.start(INPUT)
    for fields in ({"content-length": str(len(body))}, {}):
        if len(body) < 1000:
            assert worker.get("/shop/" + how, "POST", fields, body=body).body == seen
        number = worker.request("/shop/" + how, "POST", fields, end=False)
        worker.upload(number, body)
        assert worker.answer(number).body.rstrip(b"|") == seen.rstrip(b"|")
    assert worker.stderr == ""


ANSWERS = """
import sys

class Closing:
    def __init__(self, *pieces):
        self.pieces = iter(pieces)
    def __iter__(self):
        return self
    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece
    def close(self):
        print("closed")

def late(start_response):
    yield b""
    start_response("201 Created", [("X-Late", "yes")])
    yield b""
    yield b"late"

def app(environ, start_response):
    case = environ["PATH_INFO"][1:]
    headers = [("Content-Type", "text/plain")]
    if case == "late":
        return late(start_response)
    if case == "never":
        return [b"x"]
    if case == "never-generated":
        return iter([b"x"])
    if case == "twice":
        start_response("200 OK", headers)
        start_response("200 OK", headers)
    if case == "replaced":
        start_response("200 OK", headers)
        try:
            1 / 0
        except ZeroDivisionError:
            start_response("500 Oops", [("X-Error", "1")], sys.exc_info())
        return [b"replaced"]
    if case == "too-late":
        write = start_response("200 OK", headers)
        write(b"sent")
        try:
            1 / 0
        except ZeroDivisionError:
            start_response("500 Oops", [], sys.exc_info())
    if case == "write":
        write = start_response("200 OK", headers)
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"three"]
    if case == "status":
        start_response("abc", headers)
    if case == "header":
        start_response("200 OK", [("X-A", "a\\r\\nb: c")])
    if case == "not-text":
        start_response("200 OK", [("X-A", 1)])
    if case == "length":
        start_response("200 OK", [("Content-Length", "10")])
        return Closing(b"12345", b"67890")
    if case == "too-much":
        start_response("200 OK", [("Content-Length", "5")])
        return Closing(b"12345", b"67890")
    if case == "too-little":
        start_response("200 OK", [("Content-Length", "15")])
        return Closing(b"12345", b"67890")
    if case == "empty":
        start_response("204 No Content", [])
        return []
    if case == "file":
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](open(__file__, "rb"), 1000)
    if case == "log":
        environ["wsgi.errors"].write("logged\\n")
    start_response("200 OK", headers)
    if case == "text":
        return Closing("text")
    if case == "list-of-text":
        return ["text"]
    if case == "fails":
        return Closing(b"begun", KeyError("middle"))
    if case == "exit":
        sys.exit(1)
    return Closing(b"a", b"", b"b")
"""


@pytest.mark.parametrize(
    ("case", "messages", "body"),
    [
        ("late", ["RESPONSE", "BODY"], b"late"),
        ("replaced", ["RESPONSE"], b"replaced"),
        ("write", ["RESPONSE", "BODY", "BODY", "BODY"], b"one two three"),
        ("length", ["RESPONSE", "BODY"], b"1234567890"),
        ("empty", ["RESPONSE"], b""),
        ("log", ["RESPONSE", "BODY", "BODY"], b"ab"),
        ("pieces", ["RESPONSE", "BODY", "BODY"], b"ab"),
    ],
)
def test_answers(shop: Workshop, case: str, messages: list[str], body: bytes) -> None:
    """The head waits for the first piece, then each piece is sent at once."""
    worker = shop.start(ANSWERS)
    answer = worker.get("/shop/" + case)
    assert (answer.types, answer.body) == (messages, body)
    assert worker.stderr == ("logged\n" if case == "log" else "")
    if case == "late":
        assert (answer.status, answer.pairs) == (201, [("x-late", "yes")])
    if case == "replaced":
        assert (answer.status, answer.pairs) == (500, [("x-error", "1")])


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("never", "AssertionError: the app gave a body before it called start_response()"),
        ("never-generated", "AssertionError: the app gave a body before"),
        ("twice", "AssertionError: start_response() was called twice, without exc_info"),
        ("too-late", "ZeroDivisionError: division by zero"),
        ("status", "ValueError: a WSGI status is text such as \"200 OK\", not 'abc'"),
        ("header", "ValueError: header 'X-A': the value holds '\\r'"),
        ("not-text", "TypeError: header 'X-A': name and value must be str"),
        ("text", "TypeError: WSGI: a piece of the body must be bytes, not str"),
        ("list-of-text", "TypeError: WSGI: a piece of the body must be bytes, not str"),
        ("too-little", "ValueError: the response's Content-Length is 15, but its body has 5 fewer"),
        ("fails", "KeyError: 'middle'"),
        ("exit", "SystemExit: 1"),
    ],
)
def test_faults(lasting: Lasting, case: str, message: str) -> None:
    """What an app may not do is an ERROR of its request that says so."""
    worker = lasting(ANSWERS)
    answer = worker.get("/shop/" + case)
    assert answer.error is not None
    assert answer.error.startswith(message)
    assert worker.get("/shop/late").text == "late"


def test_async_app_in_disguise(shop: Workshop) -> None:
    """The error for an ASGI app that its wrapper hides says how to show it."""
    source = """
    async def inner(scope, receive, send): ...
    def app(*args):
        return inner(*args, None)
    """
    worker = shop.start(source)
    error = worker.get().error
    assert error is not None
    assert "the app was taken for WSGI but returned a coroutine; if it is ASGI, define" in error
    assert "never awaited" not in worker.stderr


FRAMEWORKS = {
    "bottle": """
    import bottle
    app = bottle.Bottle()
    @app.post("/")
    def index():
        return f"{bottle.request.content_length} {len(bottle.request.body.read())}"
    @app.post("/form")
    def form():
        return bottle.request.forms["a"]
    """,
    "django": """
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path
    settings.configure(
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DATA_UPLOAD_MAX_MEMORY_SIZE=None,
        SECRET_KEY="x",
    )
    django.setup()
    def index(request):
        return HttpResponse(f"{request.META['CONTENT_LENGTH']} {len(request.body)}")
    def form(request):
        return HttpResponse(request.POST["a"])
    urlpatterns = [path("", index), path("form", form)]
    app = WSGIHandler()
    """,
    "flask": """
    import flask
    app = flask.Flask(__name__)
    @app.post("/")
    def index():
        request = flask.request
        return f"{request.content_length} {len(request.get_data())}"
    @app.post("/form")
    def form():
        return flask.request.form["a"]
    """,
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_body_in_chunks_reaches_frameworks(shop: Workshop, framework: str) -> None:
    """A body of unknown length is read to its end first, so that it has a length: be it small, or
    larger than what is kept in memory, complete already or still arriving."""
    worker = shop.start(FRAMEWORKS[framework])
    assert worker.get("/shop/", "POST", body=b"x" * 11).text == "11 11"
    for size in (11, 700_000):
        number = worker.request("/shop/", "POST", end=False)
        worker.upload(number, b"x" * size)
        assert worker.answer(number).text == f"{size} {size}"
    fields = {"content-type": "application/x-www-form-urlencoded"}
    number = worker.request("/shop/form", "POST", headers=fields, end=False)
    worker.upload(number, b"a=chunked")
    assert worker.answer(number).text == "chunked"


COLLECTED = """
import os, sys
def app(environ, start_response):
    print("called")
    file = environ["wsgi.input"]
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/lines":
        lines = [file.readline(3), *file.readlines(), file.read()]
        return [repr((lines, environ["CONTENT_LENGTH"], environ["wsgi.input_terminated"])).encode()]
    length = environ.get("CONTENT_LENGTH")
    open_ones = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    files = sum(map(os.path.isfile, open_ones))  # the worker may open an epoll for its threads
    return [f"{length} {len(file.read(9))} {files}".encode()]
"""


def test_a_body_in_chunks_is_a_file(shop: Workshop) -> None:
    """It reads like a body of known length, and no file for it stays open."""
    worker = shop.start(COLLECTED)
    seen = worker.get("/shop/lines", "POST", body=b"abcd\ne\nf").text
    assert seen == repr(([b"abc", b"d\n", b"e\n", b"f", b""], "8", True))
    open_files = set()
    for _ in range(3):
        number = worker.request("/shop/", "POST", end=False)
        worker.upload(number, b"x" * 600_000)
        length, read, files = worker.answer(number).text.split()
        assert (length, read) == ("600000", "9")
        open_files.add(files)
    assert len(open_files) == 1, open_files
    assert worker.get("/shop/", "POST").text.startswith("None 0")  # nothing has arrived


def test_a_body_in_chunks_that_breaks_off(shop: Workshop) -> None:
    """The app is not called with half a body, in memory or in a file."""
    worker = shop.start(COLLECTED)
    for size in (10, 600_000):
        number = worker.request("/shop/", "POST", end=False)
        worker.upload_some(number, b"x" * size)
        worker.cancel(number)
        assert worker.answer(number).error == "ClientGone: the client has closed the connection"
    assert worker.stdout == ""


def test_more_than_declared_is_told(shop: Workshop) -> None:
    """What exceeds the declared length is not sent, but reported."""
    worker = shop.start(ANSWERS)
    number = worker.request("/shop/too-much")
    answer = worker.answer(number)
    assert (answer.types, answer.body) == (["RESPONSE"], b"12345")
    assert worker.get("/shop/late").text == "late"
    message = worker.take_type("FAULT", number)["message"]
    assert message == "ValueError: the response has ended, but more of its body was sent"


@pytest.mark.parametrize("case", ["pieces", "fails", "length", "too-much", "too-little", "text"])
def test_iterables_are_closed(shop: Workshop, case: str) -> None:
    """close() is called once, however the response ends."""
    worker = shop.start(ANSWERS, concurrency=1)
    worker.get("/shop/" + case)
    worker.get("/shop/late")
    assert worker.stdout == "closed\n"


def test_file_wrapper(shop: Workshop) -> None:
    """wsgi.file_wrapper sends a file in pieces."""
    answer = shop.start(ANSWERS).get("/shop/file")
    assert answer.body == (shop.folder / "app.py").read_bytes()
    assert len(answer.messages) > 2


def test_flask_answers_in_one_message(shop: Workshop) -> None:
    """With a Content-Length from the framework there is one message, and close() runs after it."""
    source = """
    import flask
    app = flask.Flask(__name__)
    @app.get("/")
    def index():
        response = flask.Response("hello")
        response.call_on_close(lambda: print("closed"))
        return response
    @app.get("/url")
    def url():
        return flask.url_for("index")
    """
    worker = shop.start(source)
    answer = worker.get("/shop/")
    assert (answer.types, answer.text) == (["RESPONSE"], "hello")
    assert worker.get("/shop/url").text == "/shop/"
    assert worker.terminate() == 0
    assert worker.stdout == "closed\n"
