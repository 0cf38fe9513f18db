"""Which runtime a command talks to: the first of these that is set:

1. `--to WHERE`: a URL, the name of a login, or `local`
2. `--state-dir DIR`: the runtime on this machine with this state folder
3. `BUNTIME_TO`, with the values of `--to`
4. the default login, which is the last one that was made
5. the runtime of this machine, by RUNTIME_STATE_DIR or its default

It does not matter which runtimes are running: a command that removes something must not reach
another host because a process has ended.

The key is `BUNTIME_KEY` if it is set, else that of the login. This machine's runtime is reached by
the socket in its state folder, which needs none.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from buntime.commands import keyrings
from buntime.commands.arguments import Command
from buntime.commands.logins import Login, read_logins
from buntime.commands.start import read_settings
from buntime.core.access.operators import names_this_machine
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown, suggestion

LOCAL = "local"
SOCKET = "control.sock"
EXIT_UNREACHABLE = 3
EXIT_REFUSED = 4
_PORTS = {"http": 80, "https": 443}
_LOCAL_URL = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/|$)")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A runtime, and how to reach it: by a socket's path, or by host and port."""

    name: str  # what messages call it: "https://apps.example.com"
    host: str = "localhost"
    port: int = 0
    is_tls: bool = False
    path: str = ""  # in front of the runtime's own paths, "/hosting"
    socket: str = ""
    key: str = field(default="", repr=False)
    is_local: bool = False  # found by a state folder


def find_target(command: Command, mode: Mode, environ: Mapping[str, str]) -> Target:
    """Find it by the rule above. Raises UsageError, and CommandError if there is none."""
    to, folder = command.args.get("to"), command.args.get("state_dir")
    if to and folder:
        raise UsageError("--to and --state-dir name different runtimes; give one")
    if to != LOCAL and not folder:
        logins = read_logins(environ)
        where = to or environ.get("BUNTIME_TO") or logins.default
        if where and where != LOCAL:
            known = logins.named(where) or logins.named(_as_url(where))
            if known is not None:
                return _kept(*known, environ)
            if not _is_url(where):
                meant = suggestion(where, logins.hosts)
                raise UsageError(
                    f"there is no login {shown(where)}{meant}; write a URL, or buntime login URL "
                    f"--name {where if where.isalnum() else 'NAME'}"
                )
            is_insecure = bool(command.args.get("insecure"))
            return remote(Login(where, _key_of(environ), is_insecure))
    return _local(read_settings(command, mode, environ, needs_apps=False))


def remote(login: Login, name: str = "") -> Target:
    """The runtime at a URL. Raises UsageError if the URL is invalid, or the key would be sent
    unencrypted."""
    url, text = split_url(login.url), _as_url(login.url)
    is_tls, host = url.scheme == "https", url.hostname or ""
    if login.key and not is_tls and not names_this_machine(url.netloc) and not login.is_insecure:
        raise UsageError(
            f"{text} would send the key unencrypted; use https://, or "
            "--insecure where the network is your own"
        )
    port = url.port or _PORTS[url.scheme]
    called = f"{name} ({text})" if name else text
    path = url.path.rstrip("/")
    return Target(name=called, host=host, port=port, is_tls=is_tls, path=path, key=login.key)


def split_url(text: str) -> SplitResult:
    """The URL of a runtime; without a scheme it is https, of this machine http."""
    try:
        url = urlsplit(_as_url(text))
        is_url = url.scheme in _PORTS and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is not a number
        is_url = False
    if not is_url or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"{shown(text)} is not the address of a runtime; write https://HOST[:PORT][/PATH]"
        )
    if url.username is not None:
        raise UsageError("leave the user and the password out of the URL; the key is enough")
    if url.query or url.fragment:
        raise UsageError(f"{shown(text)} has a ? or #; write https://HOST[:PORT][/PATH]")
    return url


def _as_url(text: str) -> str:
    if "://" not in text:
        text = f"{'http' if _LOCAL_URL.match(text) else 'https'}://{text}"
    return text.rstrip("/")


def _is_url(where: str) -> bool:
    return any(char in where for char in ":/.") or where == "localhost"


def _kept(name: str, login: Login, environ: Mapping[str, str]) -> Target:
    key = _key_of(environ) or login.key
    if not key and login.in_keyring:
        key = checked_key(keyrings.get(login.url, name), "the value in the keyring")
    return remote(Login(login.url, key, login.is_insecure), name)


def _key_of(environ: Mapping[str, str]) -> str:
    return checked_key(environ.get("BUNTIME_KEY", ""), "BUNTIME_KEY")


def checked_key(text: str, what: str) -> str:
    """A key, checked to be valid in a header field; errors do not reveal it. Raises UsageError."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{what} is not a key: it has blanks or other characters that no key has")
    return key


def _local(settings: Settings) -> Target:
    """The runtime of a state folder."""
    path, name = os.path.join(settings.state_dir, SOCKET), f"the runtime of {settings.state_dir}"
    try:
        os.stat(path)
    except PermissionError:
        why = (
            f"this user may not enter the state folder {settings.state_dir}: give the command as "
            "the user of its runtime, or as root, with the settings of the runtime, "
        )
    except OSError:
        # Not by local.key, sent to the port of the settings: any program may listen there.
        why = (
            f"no runtime on this machine uses the state folder {settings.state_dir}: start one "
            "(buntime DIR), name its folder (--state-dir DIR), "
        )
    else:
        return Target(name=name, socket=path, is_local=True)
    message = f"{why}or log in to a host (buntime login URL){_without_state(settings.state_dir)}"
    raise CommandError("unreachable", message, exit_code=EXIT_UNREACHABLE)


def _without_state(folder: str) -> str:
    """Why a runtime that has this folder may run, and have no socket there."""
    try:
        is_read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:  # there is no such folder, or it is closed
        return ""
    why = "its file system is read-only, so a runtime with this folder has no state, nor a socket"
    return f"; {why} for commands" if is_read_only else ""
