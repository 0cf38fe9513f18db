"""`buntime --names WORD`: names of apps for a shell's Tab, by the control socket of this machine.

    "sh"     -> shop
    "shop@"  -> shop@1.0.0, shop@1.2.0

`buntime --names WORD LINE...` completes the words of `buntime plugins`, given the line so far:

    "en", ["buntime", "plugins"]            -> enable
    "ke", ["buntime", "plugins", "enable"]  -> keyval

Started at each Tab, so it imports almost nothing (40 ms in all), and never waits long: without a
runtime, or if commands go to another host, it prints nothing.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

FLAG = "--names"
_TIMEOUT_S = 0.05  # for each step; this does not wait for a busy runtime
_ANSWER_MAX_BYTES = 4 << 20
_ADDRESS_MAX_BYTES = 100
PLUGINS = "plugins"
# The words that may follow it: those for folders, and those for names of plugins.
FOR_FOLDERS = ("list", "check", "install")
FOR_NAMES = ("show", "enable", "disable", "reload", "reset", "options", "remove")


def print_names(argv: list[str], environ: Mapping[str, str]) -> None:
    """Print the completions of the word `argv[0]`, one per line; never fails."""
    word, *line = argv or [""]
    try:
        found = plugin_words(word, line, environ) if line else names(word, environ)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    sys.stdout.write("".join(f"{name}\n" for name in found))


def names(word: str, environ: Mapping[str, str]) -> list[str]:
    """`"sh"` -> ["shop"]. Raises various errors if nothing can be known."""
    if asks_elsewhere(environ):
        return []
    apps = _ask(environ, "apps?limit=1000")["apps"]
    if "@" in word[1:]:
        found = [f"{app['app']}@{each}" for app in apps for each in app["versions"] if each]
    else:
        found = [app["app"] for app in apps]
    return [name for name in found if name.startswith(word) and name.isprintable()]


def plugin_words(word: str, line: list[str], environ: Mapping[str, str]) -> list[str]:
    """The completions of `word` in a line of `buntime plugins`, see above.

    `line` has the words before it, or all of them. Raises like `names`.
    """
    behind = line[line.index(PLUGINS) + 1 :]
    action = next((each for each in behind if not each.startswith("-")), None)
    if action not in (*FOR_FOLDERS, *FOR_NAMES):
        found = [*FOR_FOLDERS, *FOR_NAMES]
    elif action in FOR_FOLDERS or asks_elsewhere(environ):
        return []
    else:
        found = [each["name"] for each in _ask(environ, "plugins?limit=1000")["plugins"]]
    return [name for name in found if name.startswith(word) and name.isprintable()]


def asks_elsewhere(environ: Mapping[str, str]) -> bool:
    """Whether commands go to another host, see `targets`."""
    if to := environ.get("BUNTIME_TO"):
        return to != "local"
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", ""), ".config")
    try:
        with open(os.path.join(config, "buntime/hosts.json"), "rb") as file:
            return bool(json.load(file).get("default"))
    except FileNotFoundError:
        return False


def state_folder(environ: Mapping[str, str]) -> str:
    """As the settings do, which take longer to import than everything else here."""
    if chosen := environ.get("RUNTIME_STATE_DIR"):
        return chosen
    if home := environ.get("XDG_STATE_HOME"):
        return os.path.join(home, "buntime")
    if os.geteuid() == 0 or not environ.get("HOME"):
        return "/var/lib/buntime"
    return os.path.join(environ["HOME"], ".local/state/buntime")


def _ask(environ: Mapping[str, str], what: str) -> Any:
    """The answer of the state folder's runtime to a request such as "apps?limit=1000"."""
    folder, prefix = state_folder(environ), environ.get("RUNTIME_API_PREFIX", "")
    path = f"{prefix.rstrip('/')}/api/{what}"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_TIMEOUT_S)
        _connect(sock, folder)
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
            if len(answer) > _ANSWER_MAX_BYTES:
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError("no answer of ours")
    return json.loads(body)


def _connect(sock: socket.socket, folder: str) -> None:
    path = os.path.join(folder, "control.sock")
    if len(os.fsencode(path)) <= _ADDRESS_MAX_BYTES:
        sock.connect(path)
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        sock.connect(f"/proc/self/fd/{fd}/control.sock")
    finally:
        os.close(fd)
