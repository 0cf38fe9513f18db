"""What an app's author can do about a module or a handler that fails, in half a sentence.

    ModuleNotFoundError: No module named 'flask'   python3 -m venv .venv && .venv/bin/pip install …

Loaded once something has failed. An exception class of the app may raise on any access.
"""

from __future__ import annotations

import json
import os
import sys
from errno import EACCES
from shlex import quote

from buntime.sdk.credentialnames import is_credential_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from buntime.wire import Message

# Modules whose packages have other names: these are the most common ones.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "multipart": "python-multipart",
    "MySQLdb": "mysqlclient",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "rest_framework": "djangorestframework",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "socketio": "python-socketio",
    "yaml": "pyyaml",
}
# Folders that many packages share: which one is missing cannot be told.
_SHARED = frozenset(("azure", "google", "zope"))
_OF_PYTHON_2 = frozenset(
    """
    BaseHTTPServer ConfigParser Cookie HTMLParser Queue SimpleHTTPServer SocketServer StringIO
    __builtin__ cPickle cStringIO commands cookielib httplib thread urllib2 urlparse
    """.split()
)
# Functions in which other servers open a port.
_SERVERS = frozenset(("server_bind", "run_simple", "bind_socket", "bind_sockets", "create_server"))
_FILES = ("requirements.txt", "pyproject.toml")
_NAME_CHARS = 100
_CAUSES_MAX = 20  # an app may have made a ring of them
_OWN_FOLDER = (
    "with `data: true` in buntime.yaml it has a folder of its own, APP_DATA_DIR, and `write` names "
    "others"
)


def remedy(exc: BaseException, init: Message) -> str:
    """Return where `exc` was raised and what to do about it: `" (b.py, line 3); install it …"`."""
    place = "" if isinstance(exc, SyntaxError) else _place(exc.__traceback__, init)
    what = _advice(exc, init)
    return place + (f"; {what}" if what else "")


def advice(exc: BaseException, init: Message) -> str:
    """Return what to do about `exc` of a handler, or "": its stack says where it was raised.

    What is about how a module is run, or served, does not apply to handlers.
    """
    is_of_module = isinstance(exc, SystemExit) or (isinstance(exc, OSError) and _starts_server(exc))
    return "" if is_of_module else _advice(exc, init)


def _place(trace: TracebackType | None, init: Message) -> str:
    """Name the innermost line of the app's own code; a SyntaxError says its own."""
    folder, place = init["dir"], ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(f"{folder}/") and "/site-packages/" not in file:
            name = file[len(folder) + 1 :]
            place = f" ({'' if name == init['entrypoint'] else f'{name}, '}line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _advice(exc: BaseException, init: Message) -> str:
    text = str(exc)
    if isinstance(exc, ModuleNotFoundError):
        return _of_missing_module(str(exc.name or ""), init)
    if isinstance(exc, ImportError) and "partially initialized" in text:
        return "two modules import each other; import one of them inside the function that uses it"
    if isinstance(exc, ImportError) and "no known parent package" in text:
        return (
            "the app's folder is no package: import its modules by their names, without the dot, "
            "or put them into a folder and name that, as in `entrypoint: shop.main:app`"
        )
    if isinstance(exc, SyntaxError):
        return _of_syntax(exc)
    if isinstance(exc, (SystemExit, OSError)) and _starts_server(exc):
        return (
            "the module starts its own server, but Buntime serves the app itself: put that "
            'call under `if __name__ == "__main__":`'
        )
    if isinstance(exc, SystemExit):
        return 'put code for running it as a program under `if __name__ == "__main__":`'
    if isinstance(exc, FileNotFoundError) and isinstance(exc.filename, str):
        return _of_missing_file(exc.filename, exc.__traceback__, init)
    if isinstance(exc, PermissionError) and (exc.filename is not None or exc.errno == EACCES):
        return _of_refusal(exc)
    if "unable to open database file" in text or "attempt to write a readonly database" in text:
        return f"the app may not use that folder, or it is not there; {_OWN_FOLDER}"
    if isinstance(exc, AttributeError) and "module '_app_" in text:
        name = text.partition("module '_app_")[2].partition("'")[0]
        return (
            f"that is the app's own {name}.py, which hides the module {name} of the standard "
            "library: rename it"
        )
    if isinstance(exc, KeyError) and _is_of_environ(exc.__traceback__):
        return _of_variable(str(exc.args[0]), init)
    return ""


def _of_missing_module(name: str, init: Message) -> str:
    folder = init["dir"]
    first = name.partition(".")[0][:_NAME_CHARS]
    if first in _OF_PYTHON_2:
        return f"{first} is a module of Python 2, but the app runs on Python {_version()}; port it"
    if not first.isidentifier():
        return ""
    for inner in ("src", "lib", "app"):
        if os.path.exists(f"{folder}/{inner}/{first}.py") or os.path.isdir(
            f"{folder}/{inner}/{first}"
        ):
            return f"it is in {inner}/: write `path: [{inner}]` in buntime.yaml"
    if _has_auto_install(init):
        return f"add {_PACKAGES.get(first, 'its package')} to the app's lock file"
    if "/.releases/" in folder:  # a deploy makes this folder anew
        return (
            "have the host install it: `autoInstall: true` in buntime.yaml, and a lock file beside "
            "it, from `pip freeze > requirements.lock`"
        )
    given = next((file for file in _FILES if os.path.isfile(f"{folder}/{file}")), None)
    if given is None and first in _SHARED:
        return f"install the package that has {first}.…, with the app's .venv/bin/pip"
    wanted = {"requirements.txt": "-r requirements.txt", "pyproject.toml": "."}.get(
        given or "", _PACKAGES.get(first, first)
    )
    made = "" if os.path.isdir(f"{folder}/.venv") else "python3 -m venv .venv && "
    return f"install it: cd {quote(folder)} && {made}.venv/bin/pip install {wanted}"


def _has_auto_install(init: Message) -> bool:
    config = init.get("env", {}).get("WORKER_CONFIG")
    return bool(config) and json.loads(config).get("autoInstall") is True


def _of_syntax(exc: SyntaxError) -> str:
    if isinstance(exc, TabError):
        return "indent with spaces alone"
    if "Missing parentheses in call to" in str(exc):
        return f"this is Python 2, but the app runs on Python {_version()}; port it"
    return f"correct it, or name a `python` in buntime.yaml other than {_version()}"


def _of_refusal(exc: PermissionError) -> str:
    if exc.filename is None:  # of a socket
        return "in a sandbox an app cannot listen on a port; Buntime listens, and serves the app"
    if os.path.exists(exc.filename) and not os.access(exc.filename, os.R_OK):
        return f"let the app's user read {str(exc.filename)[:_NAME_CHARS]}"
    return f"the app may not use {str(exc.filename)[:_NAME_CHARS]}; {_OWN_FOLDER}"


def _of_missing_file(name: str, trace: TracebackType | None, init: Message) -> str:
    if not name or os.path.isabs(name):
        return ""
    shown = name[:_NAME_CHARS]
    if _is_of_program(trace):
        return f"install the program {shown} on the host, or write where it is"
    left_out = (
        "; a deploy leaves out what .gitignore and .buntimeignore name"
        if "/.releases/" in init["dir"]
        else ""
    )
    return f"relative paths begin at {os.getcwd()}, and {shown} is not there{left_out}"


def _is_of_program(trace: TracebackType | None) -> bool:
    """Whether a program was to be started."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name == "_execute_child"


def _of_variable(name: str, init: Message) -> str:
    name = name[:_NAME_CHARS]
    if name == "APP_DATA_DIR":
        return "the app has such a folder with `data: true` in buntime.yaml"
    if is_credential_name(name):  # which `env` would not pass on
        return (
            f"the app's environment has no {name}: write `secrets: [{name}]` in buntime.yaml, and "
            f"then: buntime secrets set {quote(init['name'])} {quote(name)}"
        )
    return (
        f"the app's environment has no {name}: write `env: {{{name}: ...}}` in buntime.yaml, or "
        f"where it is a secret `secrets: [{name}]`, and then: "
        f"buntime secrets set {quote(init['name'])} {quote(name)}"
    )


def _starts_server(exc: BaseException) -> bool:
    """Whether a server's code is in the stack of the exception, or of its cause."""
    seen: BaseException | None = exc
    for _ in range(_CAUSES_MAX):
        if seen is None:
            break
        trace = seen.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_name in _SERVERS:
                return True
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    return False


def _is_of_environ(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code is type(os.environ).__getitem__.__code__


def _version() -> str:
    return "{}.{}".format(*sys.version_info)
