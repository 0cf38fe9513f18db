"""`buntime health [URL]`: whether a runtime accepts requests. For HEALTHCHECK and scripts.

Requests `/api/health/ready` at the address in the settings, which should therefore be those of the
runtime: the same environment, `.env` or flags. Exit code 0, or 1 and why.
"""

import os
import re
import socket
import sys
import time

from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.start import read_settings
from buntime.core.errors import UsageError
from buntime.core.settings.endpoint import UNIX, Endpoint, TcpEndpoint, UnixEndpoint
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown

_TIMEOUT_S = 5.0
_ANSWER_MAX_BYTES = 64 << 10
_URL = re.compile(r"http://(\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?::([0-9]{1,5}))?(/[!-~]*)?")
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_READY = "/api/health/ready"


def parser() -> Parser:
    made = Parser(
        "buntime health [URL] [--FLAG VALUE...]",
        "Ask a runtime whether it takes requests. Exit code 0 if so, else 1.",
        "Without URL the address comes from these settings.",
        examples=(
            "buntime health",
            "buntime health http://127.0.0.1:8000",
        ),
    )
    made.add_words("URL", "http://HOST:PORT[/PATH] or unix:/path")
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    settings = read_settings(command, mode, os.environ, needs_apps=False)
    endpoint, path = _named(command) if command.words else (_configured(settings), "")
    path = path or settings.api_prefix + _READY
    try:
        status = ask(endpoint, path)
    except OSError as exc:
        reason = "no answer in time" if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        sys.stderr.write(
            f"buntime: cannot reach {endpoint}: {reason}; is it running and listening there?\n"
        )
        return 1
    if status == 200:
        sys.stdout.write("ok\n")
        return 0
    sys.stderr.write(f"buntime: {endpoint} answered {path} with {status or 'no HTTP'}\n")
    return 1


def ask(endpoint: Endpoint, path: str, timeout_s: float = _TIMEOUT_S) -> int:
    """The status that a GET gets, 0 if the answer is not HTTP. Raises OSError.

    Written by hand: http.client takes 40 ms to import, which health checks would pay every few
    seconds.
    """
    deadline = time.monotonic() + timeout_s
    with _connect(endpoint, timeout_s) as sock:
        host = "localhost" if isinstance(endpoint, UnixEndpoint) else _host_of(endpoint)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while b"\n" not in answer and len(answer) < _ANSWER_MAX_BYTES:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            piece = sock.recv(4096)
            if not piece:
                break
            answer += piece
    status = re.match(rb"HTTP/1\.[01] ([0-9]{3})\b", answer)
    return int(status[1]) if status else 0


def _connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    if isinstance(endpoint, TcpEndpoint):
        return socket.create_connection((endpoint.host, endpoint.port), timeout_s)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout_s)
        sock.connect(endpoint.path)
    except BaseException:
        sock.close()
        raise
    return sock


def _host_of(endpoint: TcpEndpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _named(command: Command) -> tuple[Endpoint, str]:
    """Where the URL leads, and its path, "" if it has none."""
    url = one_word(command, "one URL, or none")
    if url.startswith(UNIX) and url != UNIX:
        return UnixEndpoint(url.removeprefix(UNIX)), ""
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[2] or 80) <= 65535:
        raise UsageError(
            f'{shown(url)} is not an address to ask; write "http://HOST:PORT" or "unix:/path"'
        )
    return TcpEndpoint(match[1].strip("[]"), int(match[2] or 80)), (match[3] or "").rstrip("/")


def _configured(settings: Settings) -> Endpoint:
    endpoint = settings.endpoints[0]
    if isinstance(endpoint, UnixEndpoint):
        return endpoint
    if endpoint.port == 0:
        raise UsageError("PORT is 0, so the port is not known; give the runtime's URL")
    return TcpEndpoint(_ANYWHERE.get(endpoint.host, endpoint.host), endpoint.port)
