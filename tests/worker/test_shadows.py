"""An app's files with names of the standard library, and errors that are hard to report."""

import sys

import pytest

from tests.support.workshop import Worker, Workshop

KINDS = {
    "fetch": """
        from buntime import Response
        def fetch(request):
            if request.path == "/raise":
                raise LookupError("shelf")
            if request.path == "/json":
                return Response.json([request.json()])
            return Response(piece for piece in ("one", "two"))
    """,
    "async fetch": """
        from buntime import Response
        async def pieces():
            yield "one"
            yield "two"
        async def fetch(request):
            if request.path == "/raise":
                raise LookupError("shelf")
            if request.path == "/json":
                return Response.json([await request.json()])
            return Response(pieces())
    """,
    "wsgi": """
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/raise":
                raise LookupError("shelf")
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/json":
                return [b"[" + environ["wsgi.input"].read() + b"]"]
            return iter([b"one", b"two"])
    """,
    "asgi": """
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                raise LookupError("none")
            if scope["path"].endswith("/raise"):
                raise LookupError("shelf")
            await send({"type": "http.response.start", "status": 200})
            if scope["path"].endswith("/json"):
                body = b"[" + (await receive())["body"] + b"]"
                await send({"type": "http.response.body", "body": body})
                return
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await send({"type": "http.response.body", "body": b"two"})
    """,
}


def shadow_all(shop: Workshop) -> None:
    """Every name in the standard library, as a file of the app that must not be imported."""
    for name in sys.stdlib_module_names:
        with open(f"{shop.folder}/{name}.py", "w") as file:  # not one call more: there are 300
            file.write(f"raise SystemError('the {name} of the app')")


def ask_all(worker: Worker) -> None:
    """Answer, report an error, answer again, stream, end."""
    assert worker.get("/shop/json", "POST", body=b'"a"').text == '["a"]'
    for _ in range(2):
        failed = worker.get("/shop/raise")
        assert failed.error == "LookupError: shelf"
        assert 'raise LookupError("shelf")' in failed.stack
        assert "shadows.py" not in failed.stack
    assert worker.get().text == "onetwo"
    assert worker.terminate() == 0
    assert "of the app" not in worker.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_worker_imports_from_the_standard_library(shop: Workshop, kind: str) -> None:
    """Whatever an app's files are called, its worker boots, answers, reports errors, and ends."""
    shadow_all(shop)
    ask_all(shop.start(KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_one_request_does_too(shop: Workshop, kind: str) -> None:
    """The same holds with ttl 0."""
    shadow_all(shop)
    worker = shop.start(KINDS[kind], config={"ttl": 0})
    assert worker.get("/shop/raise").error == "LookupError: shelf"


def test_an_import_that_fails_is_told(shop: Workshop) -> None:
    """An error that the app raises at its import is reported, with its line."""
    shadow_all(shop)
    error = shop.boot("raise LookupError('shelf')").boot_error()
    assert error["message"].startswith("app.py: LookupError: shelf (line ")
    assert "raise LookupError('shelf')" in error["stack"]


WHO = """
from buntime import Response
import {name}
def fetch(request):
    import vendored, {name} as again
    import {name}
    seen = [{name}.__file__, vendored.{name}.__file__, again.__file__]
    return Response.json(seen)
"""


@pytest.mark.parametrize("name", ["token", "types", "queue", "random", "string", "calendar"])
def test_each_gets_its_own(shop: Workshop, name: str) -> None:
    """The app's modules get the app's file, those in vendor/ the standard library's."""
    own = shop.write("X = 1", f"{name}.py")
    shop.write(f"import {name}", "vendor/vendored.py")
    seen = shop.start(WHO.format(name=name)).get().json
    assert seen[0] == seen[2] == str(own)
    assert seen[1] != str(own)


def test_a_package_of_such_a_name(shop: Workshop) -> None:
    """Its modules are imported absolutely and relatively, and what it lacks comes from the
    library."""
    shop.write("from .parts import X", "html/__init__.py")
    shop.write("X = 'own'", "html/parts.py")
    shop.write("Y = 'own'", "email.py")
    source = """
    import html.parts
    from html import X
    from html.parts import X as again
    from email import Y
    from email.message import Message
    from buntime import Response
    def fetch(request):
        return Response.json([X, again, html.parts.X, Y, Message.__module__])
    """
    assert shop.start(source).get().json == ["own"] * 4 + ["email.message"]


def test_an_entrypoint_of_such_a_name(shop: Workshop) -> None:
    """The entrypoint is one module, also for modules that import it by its name."""
    shop.write("import profile", "other.py")
    source = """
    import other
    from buntime import Response
    def fetch(request):
        return Response.json([__name__, vars(other.profile) is globals()])
    """
    answer = shop.start(source, entrypoint="profile.py").get()
    assert answer.json == ["_app_profile", True]


def test_files_that_are_no_modules(shop: Workshop) -> None:
    """Data and plain folders with such names hide nothing."""
    shop.write("{}", "json.txt")
    shop.write("X = 1", "email/parts.py")
    source = """
    import builtins, email, json
    from buntime import Response
    def fetch(request):
        return Response.json([json.loads("1"), builtins.__import__.__module__])
    """
    assert shop.start(source).get().json == [1, "builtins"]


HARD = {
    "its __str__": "class E(Exception):\n    def __str__(self): raise SystemExit(1)\nraise E",
    "a str of its own": """
class S(str):
    def __format__(self, spec): raise SystemError
    def __bool__(self): raise SystemError
    __len__ = __bool__
class E(Exception):
    def __str__(self): return S("text")
raise E
""",
    "its traceback": """
class E(Exception):
    __traceback__ = property(lambda self: 1 / 0)
raise E
""",
    "its name": """
class M(type(Exception)):
    __name__ = property(lambda cls: 1 / 0)
class E(Exception, metaclass=M): pass
raise E
""",
    "its notes": "exc = ValueError()\nexc.__cause__ = Exception()\n"
    "import traceback\ntraceback.format_exception = None\nraise exc",
    "a loader": "import linecache\nlinecache.getline = linecache.getlines = None\n"
    "linecache.checkcache = None\nraise ValueError",
    "open": "import builtins, tokenize\ndel tokenize.open, builtins.open\nraise ValueError",
    "stderr": """
import sys
class Broken:
    def write(self, text): raise SystemError("broken")
    flush = write
sys.stderr = Broken()
raise ValueError
""",
}


@pytest.mark.parametrize("what", HARD)
@pytest.mark.parametrize("async_", ["", "async "], ids=["sync", "async"])
def test_what_is_hard_to_tell_is_told(shop: Workshop, what: str, async_: str) -> None:
    """Reporting an error raises nothing, so that there is an answer, and the worker keeps
    serving."""
    shop.forks = bool(async_)  # to import asyncio takes five times as long as all the rest
    lines = "\n        ".join(HARD[what].strip().splitlines())
    source = f"""
    from buntime import Response
    {async_}def fetch(request):
        if request.path == "/fine":
            return Response("fine")
        {lines}
"""
    worker = shop.start(source.replace("\n    ", "\n"))
    answer = worker.get()
    assert answer.error is not None
    assert answer.error.partition(":")[0] in ("E", "ValueError")
    assert worker.get("/shop/fine").text == "fine"
