"""People's mistakes, and what they are told about each: what is wrong, where, and what to do.

`APPS` are reported in the terminal, by `buntime check`, in the log, on the error page and in the
panel. Each of the others says where it is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FETCH = "from buntime import Response\n\ndef fetch(request):\n    return Response('hello')\n"
PLACES = ("terminal", "log", "page", "panel")


class Told(NamedTuple):
    """Parts of a text, which must contain all of them. `{folder}` is the app's or plugin's."""

    what: str
    where: str
    then: str


class AppMistake(NamedTuple):
    """An app that cannot be served. `then` is a mapping if it differs between places."""

    files: Mapping[str, str | bytes]
    what: str
    where: str
    then: str | Mapping[str, str]
    event: str = "app.invalid"

    def told(self, place: str) -> Told:
        then = self.then if isinstance(self.then, str) else self.then[place]
        return Told(self.what, self.where, then)


def manifest(text: str | bytes, what: str, then: str, line: int = 1) -> AppMistake:
    """A mistake in buntime.yaml; line 0 means the whole file."""
    where = "{folder}/buntime.yaml" + (f":{line}" if line else "")
    return AppMistake({"app.py": FETCH, "buntime.yaml": text}, what, where, then)


def code(text: str, what: str, where: str, then: str = "", **files: str) -> AppMistake:
    """Code that cannot be loaded; without `then` its author finds the fault in the stack trace."""
    every = {
        "terminal": 'run: "${{EDITOR:-vi}}"',
        "log": "hint=buntime show {app} --errors",
        "page": "buntime logs {app}",
        "panel": "buntime show {app}",
    }
    return AppMistake({"app.py": text, **files}, what, where, then or every, "app.boot_failed")


APPS: Mapping[str, AppMistake] = {
    "typo-in-a-key": manifest("timout: 5\n", "unknown key 'timout'", "did you mean timeout?"),
    "key-in-wrong-case": manifest("Env: {A: b}\n", "unknown key 'Env'", "did you mean env?"),
    "wrong-type": manifest("\nttl: soon\n", "ttl: 'soon' is not a duration", "write seconds", 2),
    "list-for-text": manifest("env: {KEY: [1]}\n", "env: KEY: a list is not text", 'write ""'),
    "too-little": manifest("maxMemory: 10\n", "maxMemory: 10 is too small", "write 16mb or more"),
    "ttl-and-timeout": manifest(
        "ttl: 10\ntimeout: 30\n", "ttl 10s is shorter than timeout 30s", "raise ttl or lower", 0
    ),
    "key-given-twice": manifest("ttl: 5\nttl: 6\n", "ttl is given twice", "remove one", 2),
    "bad-cron-line": manifest(
        "cron:\n- {name: a, schedule: '99 * * * *', path: /x}\n",
        "cron: job 1: schedule: '99 * * * *'",
        'write a schedule like "*/5 * * * *"',
    ),
    "tab-in-yaml": manifest(
        "env:\n\tA: b\n", "the line begins with a tab", "indent with spaces", 2
    ),
    "bracket-left-open": manifest(
        "ttl: [1\n", "did not find expected ',' or ']'", "close what was opened above", 2
    ),
    "list-as-manifest": manifest("- ttl: 5\n", "expected lines", 'like "timeout: 30s"'),
    "not-utf-8": manifest(b"# caf\xe9\n", "not UTF-8", "save the file in this encoding"),
    "no-such-entrypoint": manifest(
        "entrypoint: ap.py\n", "entrypoint 'ap.py' is not a file", "add it or correct its name", 0
    ),
    "no-entrypoint": AppMistake(
        {"notes.txt": ""}, "no entrypoint; looked for", "{folder}", "add one of them, or name"
    ),
    "page-and-program": AppMistake(
        {"app.py": FETCH, "index.html": ""},
        "both index.html and app.py are here",
        "{folder}",
        "say `entrypoint: app.py`",
    ),
    "missing-package": code(
        "import nonesuch\n",
        "No module named 'nonesuch'",
        "app.py",
        "cd {folder} && python3 -m venv .venv && .venv/bin/pip install nonesuch",
    ),
    "syntax-error": code(
        "import os\n\ndef fetch(request)\n    pass\n",
        "SyntaxError",
        "(app.py, line 3)",
        "correct it",
    ),
    "exception-at-import": code("\nx = 1 / 0\n", "ZeroDivisionError", "app.py"),
    "wrong-name-imported": code(
        "from buntime import Respons\n", "cannot import name 'Respons' from 'buntime'", "line 1"
    ),
    "circle-of-imports": code(
        "import a\n",
        "circular import",
        "b.py, line 1",
        "import one of them inside the function that uses it",
        **{"a.py": "from b import x\n", "b.py": "from a import y\nx = 1\n"},
    ),
    "server-of-its-own": code(
        "from wsgiref.simple_server import make_server\nmake_server('', 1, None)\n",
        "the module starts its own server",
        "line 2",
        'put that call under `if __name__ == "__main__":`',
    ),
    "exits-at-import": code(
        "raise SystemExit(2)\n", "called sys.exit()", "line 1", 'under `if __name__ == "__main__":`'
    ),
    "nothing-to-serve": code("x = 1\n", "nothing to serve", "app.py"),
    "variable-not-there": code(
        "import os\nos.environ['NONESUCH']\n",
        "the app's environment has no NONESUCH",
        "line 2",
        "buntime secrets set variable-not-there NONESUCH",
    ),
    "secret-not-set": AppMistake(
        {"app.py": FETCH, "buntime.yaml": "secrets: [STRIPE_KEY]\n"},
        "STRIPE_KEY",
        "secret-not-set",
        "buntime secrets set secret-not-set STRIPE_KEY",
        "app.boot_failed",
    ),
    "dies-while-it-loads": AppMistake(
        {"app.py": "import os\nos._exit(3)\n"},
        "exit code 3",
        "dies-while-it-loads",
        {
            "terminal": "run:",
            "log": "buntime show {app} --autopsies",
            "page": "buntime logs {app}",
            "panel": "buntime show {app}",
        },
        "worker.died",
    ),
    "loads-for-ever": AppMistake(
        {"app.py": "import time\ntime.sleep(60)\n"},
        "not load in",
        "app.py, line 2",
        {
            "terminal": "--boot-timeout 5m",
            "log": "raise RUNTIME_BOOT_TIMEOUT",
            "page": "buntime logs {app}",
            "panel": "buntime show {app}",
        },
        "app.boot_timeout",
    ),
}


class Unstarted(NamedTuple):
    """An app for which no worker can be started, because there is no interpreter for it."""

    text: str
    told: Told
    event: str


UNSTARTED: Mapping[str, Unstarted] = {
    "no-such-python": Unstarted(
        "python: /nowhere/python3\n",
        Told(
            "/nowhere/python3 cannot be run",
            "{folder}/buntime.yaml",
            "name another one as `python` in the manifest",
        ),
        "app.start_failed",
    ),
    "old-python": Unstarted(
        'python: "2.7"\n',
        Told("there is no '2.7' on the PATH", "{folder}/buntime.yaml: python", "install it, or"),
        "app.invalid",
    ),
}


class Asked(NamedTuple):
    """An app that loads, and a request that fails: reported on the page, and in the log."""

    manifest: str
    code: str
    status: int
    page: Told
    log: Told | None = None
    event: str = ""
    body: bytes = b""


_SHOWN = "buntime show {app} --errors"
REQUESTS: Mapping[str, Asked] = {
    "raises": Asked(
        "ttl: 60\n",
        "def fetch(request):\n    return request.nonesuch\n",
        500,
        Told("no attribute 'nonesuch'", 'app.py", line 2', _SHOWN),
        Told("no attribute 'nonesuch'", 'app.py", line 2', _SHOWN),
        "app.request_failed",
    ),
    "answers-nothing": Asked(
        "ttl: 60\n",
        "def fetch(request):\n    pass\n",
        500,
        Told("fetch returned None", "fetch", "must return a buntime.Response, such as"),
        Told("fetch returned None", "app=answers-nothing", "must return a buntime.Response"),
        "app.request_failed",
    ),
    "takes-too-long": Asked(
        "ttl: 60\ntimeout: 300ms\n",
        "import time\ndef fetch(request):\n    time.sleep(30)\n",
        504,
        Told("did not answer in 0.3 s", "its buntime.yaml", "buntime logs takes-too-long"),
        Told("did not answer in time", "app=takes-too-long", "raise `timeout`"),
        "app.timeout",
    ),
    "wants-memory": Asked(
        "ttl: 60\nmaxAddressSpace: 300mb\n",
        "def fetch(request):\n    return bytearray(10**9)\n",
        500,
        Told("MemoryError", 'app.py", line 2', _SHOWN),
        Told("MemoryError", 'app.py", line 2', _SHOWN),
        "app.request_failed",
    ),
    "dies": Asked(
        "ttl: 60\n",
        "import os\ndef fetch(request):\n    os._exit(3)\n",
        502,
        Told("worker died over this request", "dies", "buntime show dies --autopsies"),
        Told("exit code 3", "app=dies", "buntime show dies --autopsies"),
        "worker.died",
    ),
    "uses-what-is-not-there": Asked(
        "ttl: 60\nuses: [kv2]\n",
        "import buntime\ndef fetch(request):\n    return buntime.service('kv2').get('x')\n",
        500,
        Told("no plugin offers the service kv2", 'app.py", line 3', "did you mean kv?"),
        Told("no plugin offers the service kv2", 'app.py", line 3', "did you mean kv?"),
        "app.request_failed",
    ),
    "sends-too-much": Asked(
        "ttl: 60\nmaxBodySize: 10\n",
        FETCH,
        413,
        Told("the body is larger than 10 bytes", "the app's buntime.yaml", "raise `maxBodySize`"),
        body=b"x" * 100,
    ),
    "wants-a-key": Asked(
        "visibility: protected\n",
        FETCH,
        401,
        Told("this app needs a key", "X-API-Key", "buntime keys add NAME --role apps:open"),
    ),
    "wants-people": Asked(
        "auth: required\n",
        FETCH,
        503,
        Told("no plugin is enabled that signs people in", "this", "buntime plugins enable authn"),
    ),
}

# Folders that are skipped, and what the log says about them; `{apps}` is the worker folder.
FOLDERS: Mapping[str, tuple[Mapping[str, str], str, Told]] = {
    "bad version": (
        {"shop@one/app.py": FETCH},
        "folder.bad_version",
        Told("its version must be like 1.2.0", "{apps}/shop@one", "rename it"),
    ),
    "no name for a path": (
        {"we ird/app.py": FETCH},
        "folder.unroutable",
        Told("no request can name it", "{apps}/we ird", "rename it with letters"),
    ),
    "reserved name": (
        {"api/app.py": FETCH},
        "folder.reserved",
        Told("the runtime reserves its name", "{apps}/api", "rename it"),
    ),
    "hidden": (
        {".hidden/app.py": FETCH},
        "folder.hidden",
        Told("its name begins with a dot", "{apps}/.hidden", "rename it if it is an app"),
    ),
    "two manifests": (
        {"two/app.py": FETCH, "two/buntime.yaml": "ttl: 60\n", "two/manifest.yml": "ttl: 70\n"},
        "manifest.second",
        Told("second manifest is not read", "{apps}/two/manifest.yml", "merge it into the first"),
    ),
    "credentials in env": (
        {"open/app.py": FETCH, "open/buntime.yaml": "env: {DB_PASSWORD: x}\n"},
        "manifest.warning",
        Told("DB_PASSWORD: this looks like", "{apps}/open/buntime.yaml", "buntime secrets set"),
    ),
    "one host of two apps": (
        {
            "first/app.py": FETCH,
            "first/buntime.yaml": "hosts: [x.example]\n",
            "second/app.py": FETCH,
            "second/buntime.yaml": "hosts: [x.example]\n",
        },
        "host.disputed",
        Told("names another one's host", "ignored=second", "take it out of its manifest"),
    ),
}

# Not mistakes: Windows line ends, a BOM, a line on stdout.
WELL: Mapping[str, Mapping[str, bytes]] = {
    "windows": {"app.py": FETCH.replace("\n", "\r\n").encode(), "buntime.yaml": b"ttl: 60\r\n"},
    "bom": {"app.py": b"\xef\xbb\xbf" + FETCH.encode(), "buntime.yaml": b"\xef\xbb\xbfttl: 60\n"},
    "prints": {"app.py": b'print("{}")\n' + FETCH.encode()},
}
