"""`buntime open`: sign in to the panel in a browser, by a link that works once.

The link opens everything, so it is never passed on a command line, which all users can see: the
browser gets a file that leads there, and that only its owner can read.
"""

import contextlib
import os
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from urllib.parse import urlsplit

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api
from buntime.commands.tables import print_json, say
from buntime.commands.targets import find_target
from buntime.core.access.operators import names_this_machine
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode

_FILE = "buntime-open.html"
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Buntime</title>'
    '<meta name="referrer" content="no-referrer">'
    '<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">Go on</a>\n'
)


def parser() -> Parser:
    made = Parser(
        "buntime open [--no-browser | --sign-out] [--state-dir DIR]",
        "Sign in to the panel of this machine's runtime: prints a link that is good once, for 15 "
        "minutes, and opens a browser where there is a display.",
        examples=("buntime open", "buntime open --no-browser", "buntime open --sign-out"),
    )
    made.add_argument("--no-browser", action="store_true", help="print the link alone")
    made.add_argument("--sign-out", action="store_true", help="end all sessions instead")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if command.words:
        raise UsageError("open takes no arguments (see buntime open --help)")
    target = find_target(command, mode, os.environ)
    if not target.socket:
        raise CommandError(
            "socket_only",
            f"a sign-in link is made on the host of {target.name} itself: run "
            "buntime open --to local there, or sign in with a key",
        )
    if command.args["sign_out"]:
        Api(target).delete("/api/session", all=True)
        say("All browsers are signed out.")
        return 0
    answer = Api(target).post("/api/session/links")
    if command.args["json"]:
        print_json(answer)
        return 0
    url = str(answer["url"])
    say(f"Good once, until {answer['expiresAt']}:")
    say(url)
    place = urlsplit(url)
    if os.environ.get("SSH_CONNECTION") and names_this_machine(place.netloc):
        there = f"{place.port}:{place.hostname}:{place.port}"
        say(f"From another machine, open a tunnel first: ssh -L {there} {socket.gethostname()}")
    elif not command.args["no_browser"] and has_display(os.environ, sys.platform) and _open(url):
        say("Opened in a browser.")
    return 0


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Whether there is a display for a browser."""
    if platform == "darwin":
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> bool:
    """Whether a browser was found; it gets the file, not the link."""
    try:
        path = write_page(url, os.environ)
    except OSError:
        return False
    with contextlib.suppress(webbrowser.Error):
        return webbrowser.open(f"file://{path}")
    return False


def write_page(url: str, environ: Mapping[str, str]) -> str:
    """Write a page that leads there into a folder of the user; returns its path."""
    folder = environ.get("XDG_RUNTIME_DIR") or os.path.join(
        environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", ""), ".cache"), "buntime"
    )
    os.makedirs(folder, mode=0o700, exist_ok=True)
    fd, fresh = tempfile.mkstemp(dir=folder, suffix=".html")  # for its owner alone
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(_PAGE.format(url=url))
        path = os.path.join(folder, _FILE)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    return path
