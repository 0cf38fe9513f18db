"""Proxies with the configurations of docs/proxies.md, in front of a runtime on a unix socket."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.harness import ROOT, wait_until

DOC = (ROOT / "docs/proxies.md").read_text("utf-8")


def documented(language: str) -> list[str]:
    """The page's configurations for one proxy: `"nginx"` -> their texts."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOC, re.DOTALL | re.MULTILINE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def nginx(tmp_path: Path, upstream: str, port: int) -> list[str]:
    """The command of an nginx with the documented configuration, except for paths and ports."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("there is no nginx here")
    [text] = documented("nginx")
    for old, new in (
        ("unix:/run/buntime/http.sock", upstream),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    ):
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    path = tmp_path / "nginx.conf"
    path.write_text(
        f"{user}daemon off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{text}}}\n"
    )
    return [program, "-p", str(tmp_path), "-e", str(tmp_path / "error.log"), "-c", str(path)]


def caddy(tmp_path: Path, upstream: str, port: int) -> list[str]:
    """The command of a Caddy with the documented configurations, except for paths and ports."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("there is no caddy here")
    plain, below = documented("caddyfile")
    assert "unix//run/buntime/http.sock" in plain
    upstream = upstream.replace("unix:", "unix/")  # as Caddy writes it
    plain = plain.replace("unix//run/buntime/http.sock", upstream)
    # Both sites of the docs in one: what is in the second one's braces comes first.
    inner = below.partition("{\n")[2].rpartition("}")[0]
    inner = inner.replace("127.0.0.1:8000", upstream)
    site = plain.partition("{\n")[2].rpartition("}")[0]
    path = tmp_path / "Caddyfile"
    path.write_text(
        "{\n\tadmin off\n\tauto_https off\n}\n"
        f"http://127.0.0.1:{port} {{\n{inner}\thandle {{\n{site}\t}}\n}}\n"
    )
    return [program, "run", "--adapter", "caddyfile", "--config", str(path)]


Proxy = Callable[[Path, str, int], list[str]]


@contextlib.contextmanager
def before(make: Proxy, tmp_path: Path, upstream: str) -> Iterator[str]:
    """A proxy in front of `upstream`, `unix:/path` or `host:port`; yields its URL.

    `tmp_path` is for the proxy's files.
    """
    port = free_port()
    with (
        open(tmp_path / "output", "wb") as output,
        subprocess.Popen(
            make(tmp_path, upstream, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        ) as process,
    ):

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "output").read_text()
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_until(answers, what="the proxy")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
