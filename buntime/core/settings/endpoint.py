"""Where the runtime listens: addresses with a port, and unix sockets.

"127.0.0.1:8000"             TcpEndpoint("127.0.0.1", 8000)
"[::1]:8000"                 TcpEndpoint("::1", 8000)
"unix:/run/b.sock?mode=660"  UnixEndpoint("/run/b.sock", 0o660)
"""

import re
from collections import Counter

from buntime.core.settings.setting import Situation, parse_path
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

UNIX = "unix:"  # the prefix of a socket's path, used in place of a host

# Who may connect: anybody who can reach the folder, as anybody on this machine can reach a port of
# 127.0.0.1. A proxy seldom runs as our user, and a stricter mode would refuse it.
MODE_DEFAULT = 0o666

_HOST_NAME = regex(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?")
_WITH_PORT = regex(r"(\[[^][]*\]|[^][:]*):([0-9]{1,5})")
_MODE = regex(r"mode=(0?[0-7]{3})")
_HOW = '"127.0.0.1:8000", "[::1]:8000" or "unix:/path"'


class TcpEndpoint(NamedTuple):
    """An address of this machine, without brackets, or a name for one; port 0 means any free
    port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


class UnixEndpoint(NamedTuple):
    """The absolute path of a unix socket, and the permissions it gets."""

    path: str
    mode: int = MODE_DEFAULT

    def __str__(self) -> str:
        return UNIX + self.path


Endpoint = TcpEndpoint | UnixEndpoint


def parse_host(text: str, situation: Situation) -> str | UnixEndpoint:
    """`HOST`: an address or name without its port, or a unix socket."""
    if text.startswith(UNIX):
        return _parse_unix(text, situation)
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _HOST_NAME.fullmatch(host):
        raise BadValue(
            f"{shown(text)} is not an address; write an IP address or a host name without "
            'its port, or "unix:/path"'
        )
    return host


def parse_listen(text: str, situation: Situation) -> tuple[Endpoint, ...]:
    """`RUNTIME_LISTEN`: endpoints separated by commas or blanks, each one once."""
    endpoints = tuple(
        _parse_endpoint(item, situation) for item in re.split(r"[,\s]+", text) if item
    )
    places = Counter(map(str, endpoints))
    for endpoint in endpoints:
        is_any_port = isinstance(endpoint, TcpEndpoint) and endpoint.port == 0
        if places[str(endpoint)] > 1 and not is_any_port:
            raise BadValue(f"{endpoint} is named twice; name it once")
    return endpoints


def parse_admin_listen(text: str, situation: Situation) -> Endpoint | None:
    """`RUNTIME_ADMIN_LISTEN`: one endpoint, or "none"."""
    if text == "none":
        return None
    return _parse_endpoint(text, situation)


def parse_admin_host(text: str, situation: Situation) -> str:
    """`RUNTIME_ADMIN_HOST`: a host name without its port, in lower case."""
    name = text.lower().removesuffix(".")
    if ":" in name or not _HOST_NAME.fullmatch(name):
        raise BadValue(f"{shown(text)} is not a host; write its name alone, as panel.example.com")
    return name


def _parse_endpoint(text: str, situation: Situation) -> Endpoint:
    if text.startswith(UNIX):
        return _parse_unix(text, situation)
    match = _WITH_PORT.fullmatch(text)
    if match is None:
        raise BadValue(
            f"{shown(text)} is neither an address with a port nor a socket; write {_HOW}"
        )
    host, port = match[1].strip("[]"), int(match[2])
    is_name = ":" not in host
    if is_name == match[1].startswith("[") or not _HOST_NAME.fullmatch(host) or port > 65535:
        raise BadValue(f"{shown(text)} is not an address to listen on; write {_HOW}")
    return TcpEndpoint(host, port)


def _parse_unix(text: str, situation: Situation) -> UnixEndpoint:
    path, mark, option = text.removeprefix(UNIX).partition("?")
    if not path:
        raise BadValue(f'{shown(text)} names no path; write it like "unix:/run/buntime.sock"')
    path = parse_path(path, situation)
    if not mark:
        return UnixEndpoint(path)
    mode = _MODE.fullmatch(option)
    if mode is None:
        raise BadValue(
            f"{shown(text)} has an unknown option; behind the ? can be the socket's permissions, "
            'as in "unix:/run/buntime.sock?mode=660"'
        )
    return UnixEndpoint(path, int(mode[1], 8))
