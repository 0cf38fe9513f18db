"""The contestants. Each is started as its documentation recommends for production.

Others log no access, which is in their favour; Buntime logs each request, as it does by default.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from bench.servers import HOST, KEY, Server, free_port, started
from bench.sites import lay_out

ROOT = Path(__file__).resolve().parent.parent
# The Python of the environment that has gunicorn, uvicorn and granian; build.py makes it.
PEERS = os.environ.get("BENCH_PEERS", "")
CONNECTIONS_MAX = 11_000  # more than any scenario opens
PROXY = "behind nginx"


class Kind(Enum):
    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"


@dataclass(frozen=True)
class Place:
    """Where a contestant should listen, and its own folder."""

    folder: Path
    port: int
    upstream_port: int = 0


@dataclass(frozen=True)
class Contestant:
    """A server that can be started."""

    name: str
    kind: Kind
    command: Callable[[Place], list[str]]
    prepare: Callable[[Path], object] = lambda folder: None  # prepares its folder, once
    lacks: Callable[[], str | None] = lambda: None  # why it cannot be started here
    env: Mapping[str, str] = field(default_factory=dict)
    upstream: Contestant | None = None  # started before it

    @contextlib.contextmanager
    def serve(self, folder: Path) -> Iterator[Server]:
        """Start it in a new folder; it has ended when the block ends."""
        folder.mkdir(parents=True)
        self.prepare(folder)
        with contextlib.ExitStack() as stack:
            port, upstream_port = free_port(), 0
            if self.upstream:
                upstream = stack.enter_context(self.upstream.serve(folder / "upstream"))
                upstream_port = upstream.port
                port = free_port()
            command = self.command(Place(folder, port, upstream_port))
            logs_pid = self.kind is Kind.OURS
            yield stack.enter_context(
                started(
                    self.name, command, port=port, folder=folder, env=self.env, logs_pid=logs_pid
                )
            )


# Buntime

CHECKOUT = (sys.executable, str(ROOT / "buntime.py"))
PYZ = (sys.executable, str(ROOT / "dist/buntime.pyz"))
BINARY = (str(ROOT / "dist/buntime"),)
FORMS = {"buntime": CHECKOUT, "buntime.pyz": PYZ, "buntime binary": BINARY}


def buntime(
    *apps: str, name: str = "buntime", form: str = "buntime", plugins: tuple[str, ...] = ()
) -> Contestant:
    """Buntime in production, with its log as JSON in a file, serving these apps of bench/apps with
    these plugins of bench/plugins."""
    start = FORMS[form]
    artifact = Path(start[-1])
    return Contestant(
        name=name,
        kind=Kind.OURS,
        command=lambda place: [
            *start,
            *(str(place.folder / "apps"), "--host", HOST, "--port", str(place.port)),
            *("--state-dir", str(place.folder / "state")),
        ],
        prepare=lambda folder: lay_out(folder, apps, plugins),
        lacks=lambda: None if artifact.exists() else f"{artifact.name} has not been built",
        env={
            "RUNTIME_ENV": "production",
            "RUNTIME_MASTER_KEY": KEY,
            "RUNTIME_LOG_FORMAT": "json",
            "RUNTIME_CONNECTIONS_MAX": str(CONNECTIONS_MAX),
        },
    )


# Others


def peer(name: str, *arguments: str) -> Contestant:
    """A server from PyPI; `{port}` in its arguments becomes its port."""
    return Contestant(
        name=name,
        kind=Kind.PEER,
        command=lambda place: [
            *(PEERS, "-m"),
            *(argument.replace("{port}", str(place.port)) for argument in arguments),
        ],
        lacks=lambda: None if PEERS else "start it by `python3 build.py bench`",
        env={"PYTHONPATH": str(ROOT)},  # bench.peers
    )


GUNICORN = peer(
    "gunicorn",
    *"gunicorn --worker-class gthread --workers 1 --threads 8 --keep-alive 75".split(),
    *"--log-level warning --bind 127.0.0.1:{port} bench.peers:wsgi".split(),
)
UVICORN = peer(
    "uvicorn h11",
    *"uvicorn --http h11 --loop asyncio --no-access-log --log-level warning".split(),
    *"--timeout-keep-alive 75 --port {port} bench.peers:asgi".split(),
)
UVICORN_2 = peer(
    "uvicorn h11, 2 processes",
    *"uvicorn --http h11 --loop asyncio --workers 2 --no-access-log --log-level warning".split(),
    *"--timeout-keep-alive 75 --port {port} bench.peers:asgi".split(),
)
_GRANIAN = "--workers 1 --no-access-log --log-level warning --host 127.0.0.1 --port {port}".split()
GRANIAN = peer("granian", *"granian --interface asgi".split(), *_GRANIAN, "bench.peers:asgi")
GRANIAN_WSGI = peer("granian", *"granian --interface wsgi".split(), *_GRANIAN, "bench.peers:wsgi")

NGINX_CONF = """\
daemon off;
pid {folder}/nginx.pid;
worker_processes auto;
worker_rlimit_nofile {files};
error_log {folder}/error.log;
{user}
events {{ worker_connections {files}; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {upstream}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      {location}
    }}
  }}
}}
"""
NGINX_UPSTREAM = """upstream app {{
    server 127.0.0.1:{upstream_port};
    keepalive 64;
    keepalive_requests 1000000000;
  }}"""
NGINX_PROXY = """proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"""


def _nginx_command(place: Place) -> list[str]:
    files = place.folder / "apps"
    upstream = NGINX_UPSTREAM.format(upstream_port=place.upstream_port)
    config = place.folder / "nginx.conf"
    config.write_text(
        NGINX_CONF.format(
            folder=place.folder,
            files=CONNECTIONS_MAX,
            # Otherwise its workers run as nobody, who may not read root's folder.
            user="user root;" if os.geteuid() == 0 else "",
            upstream=upstream if place.upstream_port else "",
            port=place.port,
            location=NGINX_PROXY if place.upstream_port else f"root {files};",
        )
    )
    return ["nginx", "-e", str(place.folder / "error.log"), "-c", str(config)]


def _lacks_nginx() -> str | None:
    return None if shutil.which("nginx") else "nginx is missing (Debian: apt install nginx)"


NGINX = Contestant(
    name="nginx",
    kind=Kind.PEER,
    command=_nginx_command,
    prepare=lambda folder: lay_out(folder, ("site",)),
    lacks=_lacks_nginx,
)


def behind_nginx(contestant: Contestant) -> Contestant:
    """nginx in front of the contestant, with keep-alive."""
    return Contestant(
        name=f"{contestant.name} {PROXY}",
        kind=Kind.PEER,
        command=_nginx_command,
        lacks=lambda: contestant.lacks() or _lacks_nginx(),
        upstream=contestant,
    )


# Limits


def limit(name: str, module: str) -> Contestant:
    """A process of bench/ that does next to nothing, with the Python that runs the runtime."""
    return Contestant(
        name=name,
        kind=Kind.LIMIT,
        command=lambda place: [sys.executable, "-m", module, str(place.port)],
        env={"PYTHONPATH": str(ROOT)},
    )


BARE_LOOP = limit("bare loop", "bench.bareloop")
BARE_RELAY = limit("bare relay", "bench.relay")
