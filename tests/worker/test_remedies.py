"""The error of a failed import says what the app's author can do about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buntime.worker.remedies import remedy
from tests.support.workshop import Workshop

ENVIRON = "the app's environment has no {0}: write `env: {{{0}: ...}}` in buntime.yaml, or"
MAIN = 'under `if __name__ == "__main__":`'
SERVER = """
class Server:
    def server_bind(self):
        raise OSError(98, "Address already in use")
Server().server_bind()
"""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nowhere", "nowhere' (line 1); install it: cd {dir} && python3 -m venv .venv && "),
        ("import nowhere", " && .venv/bin/pip install nowhere"),
        ("import MySQLdb", ".venv/bin/pip install mysqlclient"),
        ("import urllib2", "urllib2 is a module of Python 2, but the app runs on Python 3."),
        ("print 'x'", "; this is Python 2, but the app runs on Python 3."),
        ("def f(:", "; correct it, or name a `python` in buntime.yaml other than 3."),
        ("if 1:\n\tx = 1\n        y = 2", "; indent with spaces alone"),
        ("raise SystemExit(0)", f"; put code for running it as a program {MAIN}"),
        (SERVER, f"Buntime serves the app itself: put that call {MAIN}"),
        (f"try:\n  exec({SERVER!r})\nexcept OSError: raise SystemExit(1)", "serves the app itself"),
        ("import os\nos.environ['DB']", "KeyError: 'DB' (line 2); " + ENVIRON.format("DB")),
        ("import os\nos.environ['DB']", "and then: buntime secrets set shop DB"),
        (
            "import os\nos.environ['A_KEY']",
            "has no A_KEY: write `secrets: [A_KEY]` in bunt",
        ),
        ("import os\nos.environ['dbpass']", "has no dbpass: write `env: {dbpass: ...}` in bunt"),
        ("raise PermissionError(13, 'no', '/x')", "(line 1); the app may not use /x; with `data: "),
        ("raise ValueError('x')", "ValueError: x (line 1)"),
        ("import os\nos.environ['APP_DATA_DIR']", "has such a folder with `data: true` in bun"),
        ("from .other import x", "import its modules by their names, without the dot, or put the"),
        ("import zope.nowhere", "(line 1); install the package that has zope.…, with the app's"),
        ("import sqlite3\nsqlite3.connect('/no/x')", "is not there; with `data: true` in buntime"),
        (
            "open('data/a.json')",
            "(line 1); relative paths begin at {dir}, and data/a.json is not th",
        ),
        ("open('/no/such')", "No such file or directory: '/no/such' (line 1)"),
        (
            "import subprocess\nsubprocess.run(['nowhere'])",
            "(line 2); install the program nowhere on",
        ),
        ("raise PermissionError(13, 'no')", "in a sandbox an app cannot listen on a port"),
        ("raise PermissionError(1, 'no')", "PermissionError: [Errno 1] no (line 1)"),
    ],
)
def test_what_to_do(shop: Workshop, source: str, words: str) -> None:
    """Besides what is wrong, the error names the line, and what to change or to type."""
    folder = shop.folder
    assert words.replace("{dir}", str(folder)) in shop.boot(source).boot_error()["message"]


def test_files_of_the_folder_count(shop: Workshop) -> None:
    """What to install comes from the app's own list of packages; for a module in a subfolder the
    advice is to set `path`."""
    (shop.folder / "requirements.txt").write_text("flask\n")
    (shop.folder / ".venv").mkdir()
    message = shop.boot("import nowhere").boot_error()["message"]
    assert message.endswith("&& .venv/bin/pip install -r requirements.txt")
    (shop.folder / "src").mkdir()
    (shop.folder / "src/nowhere.py").touch()
    message = shop.boot("import nowhere").boot_error()["message"]
    assert message.endswith("; it is in src/: write `path: [src]` in buntime.yaml")


def test_packages_that_the_host_installs(tmp_path: Path) -> None:
    """Nothing is to be installed into a folder that the next deploy replaces, or by hand where a
    lock file says what is installed."""
    exc = ModuleNotFoundError("no", name="yaml")
    init = {"dir": "/srv/apps/.releases/shop/1.0.0", "entrypoint": "app.py", "name": "shop"}
    assert "`autoInstall: true` in buntime.yaml, and a lock file beside it" in remedy(exc, init)
    init["env"] = {"WORKER_CONFIG": '{"autoInstall": true}'}
    assert remedy(exc, init) == "; add pyyaml to the app's lock file"
    (tmp_path / "requirements.lock").touch()
    nowhere = ModuleNotFoundError("no", name="nowhere")
    assert remedy(nowhere, {**init, "dir": str(tmp_path)}) == (
        "; add its package to the app's lock file"
    )


def test_modules_that_are_in_each_others_way(shop: Workshop) -> None:
    """A circular import is called that, and the innermost file is named."""
    (shop.folder / "b.py").write_text("\nfrom app import fetch\n")
    message = shop.boot("import b\ndef fetch(request): ...").boot_error()["message"]
    assert "(b.py, line 2); two modules import each other; import one of them inside" in message


def test_names_are_bounded_and_quoted() -> None:
    """Text from the app's error cannot change the command in the advice."""
    init = {"dir": "/srv/a b", "entrypoint": "app.py", "name": "shop"}
    exc = ModuleNotFoundError("no", name="x" * 1000)
    assert len(remedy(exc, init)) < 300
    assert "cd '/srv/a b' && " in remedy(exc, init)
    assert remedy(ModuleNotFoundError("no", name="x; rm -rf ~"), init) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_closed(tmp_path: Path) -> None:
    """For a file that may not be read, the advice is not to open the folder for writing."""
    path = tmp_path / "settings.py"
    path.touch(mode=0)
    init = {"dir": str(tmp_path), "entrypoint": "app.py", "name": "shop"}
    assert f"let the app's user read {path}" in remedy(PermissionError(13, "no", str(path)), init)


def test_an_exception_that_raises(shop: Workshop) -> None:
    """An error without readable text is reported without advice."""
    source = "class E(OSError):\n def __str__(self): 1/0\nraise E"
    assert shop.boot(source).boot_error()["message"] == (
        "app.py: E: <its __str__ raised ZeroDivisionError>"
    )


HANDLER = """
import os
from buntime import Response
class Ring(OSError): pass
class Broken(ValueError):
    def __str__(self): raise KeyError
class Server:
    def server_bind(self):
        raise OSError(98, "Address already in use")
{async_}def fetch(request):
    {raises}
"""


@pytest.mark.parametrize("async_", ["", "async "])
@pytest.mark.parametrize(
    ("raises", "words"),
    [
        ("import nowhere", "install it: cd {dir} && python3 -m venv .venv && .venv/bin/pip inst"),
        ("os.environ['DB']", ENVIRON.format("DB")),
        ("os.environ['APP_DATA_DIR']", "the app has such a folder with `data: true`"),
        ("raise PermissionError(13, 'no', '/x')", "the app may not use /x; with `data: true`"),
        ("raise PermissionError(13, 'no')", "in a sandbox an app cannot listen on a port"),
        ("import sqlite3; sqlite3.connect('/no/x')", "or it is not there; with `data: true`"),
        ("raise PermissionError(1, 'no')", ""),
        ("raise SystemExit(1)", ""),
        ("Server().server_bind()", ""),
        (
            "ring = Ring(); other = ring.__context__ = Ring(); other.__cause__ = ring; raise ring",
            "",
        ),
        ("raise Broken", ""),
        ("{}['x']", ""),
    ],
)
def test_what_to_do_about_a_handler(shop: Workshop, async_: str, raises: str, words: str) -> None:
    """An error of a request has the same advice, without the one about how a module is run."""
    answer = shop.start(HANDLER.format(async_=async_, raises=raises)).get("/shop/")
    assert answer.error is not None
    told = words.replace("{dir}", str(shop.folder))
    assert told in answer.advice if words else answer.advice == ""


def test_a_client_that_left_is_no_mistake(shop: Workshop) -> None:
    """Nothing is looked up for a handler that was told that its client has gone."""
    source = """
    from buntime import Response
    def fetch(request):
        def pieces():
            while True:
                yield b"x" * 65536
        return Response(pieces())
    """
    worker = shop.start(source)
    number = worker.request()
    worker.take_type("RESPONSE", number)
    worker.cancel(number)
    answer = worker.answer(number)
    assert (answer.error or "").startswith("ClientGone")
    assert answer.advice == ""
