"""`buntime deploy` and its like against a real runtime: through nginx with TLS, and on the host."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

from tests.support import proxies
from tests.support.client import fetch
from tests.support.deploying import AS_ROOT
from tests.support.harness import OPERATORS_KEY, Runtime, running
from tests.support.runs import run
from tests.support.scriptedserver import make_certificate

APP = """
from buntime import Response

def fetch(request):
    return Response("{version}")
"""
LIMIT_BYTES = 300_000  # the proxy's limit of bodies


class Host(NamedTuple):
    """A runtime, the URL of the proxy in front of it, and a laptop's environment."""

    runtime: Runtime
    url: str
    state: Path
    env: dict[str, str]
    home: Path

    def ran(self, *words: str | Path) -> CompletedProcess[str]:
        return run(*words, cwd=self.home / "shop", env=self.env)

    def write(self, text: str) -> None:
        (self.home / "shop/app.py").write_text(text)

    def served(self, path: str = "/shop/") -> str:
        return fetch(self.runtime, path).body.decode()


def with_tls(folder: Path) -> proxies.Proxy:
    """The documented nginx, with a certificate and a limit of bodies."""
    cert, key = make_certificate(folder)

    def make(tmp_path: Path, upstream: str, port: int) -> list[str]:
        command = proxies.nginx(tmp_path, upstream, port)
        config = tmp_path / "nginx.conf"
        listen = f"listen 127.0.0.1:{port}"
        text = config.read_text().replace(
            f"{listen};", f"{listen} ssl;\nssl_certificate {cert};\nssl_certificate_key {key};"
        )
        text, count = re.subn(
            r"client_max_body_size +0;", f"client_max_body_size {LIMIT_BYTES};", text
        )
        assert count == 1
        config.write_text(text)
        return command

    return make


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    for name in ("apps", "state", "proxy", "home/shop"):
        (folder / name).mkdir(parents=True)
    (folder / "state").chmod(0o711)
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": str(folder / "state"),
        "RUNTIME_TRUSTED_PROXIES": "127.0.0.1",
        **AS_ROOT,
    }
    with (
        running(folder / "apps", env=env) as runtime,
        proxies.before(
            with_tls(folder / "proxy"), folder / "proxy", f"127.0.0.1:{runtime.port}"
        ) as proxy,
    ):
        url = proxy.replace("http://", "https://")
        laptop = {
            "HOME": str(folder / "home"),
            "SSL_CERT_FILE": str(folder / "proxy/cert.pem"),
            "BUNTIME_KEY": OPERATORS_KEY,
            "BUNTIME_TO": url,
        }
        yield Host(runtime, url, folder / "state", laptop, folder / "home")


def test_through_a_proxy(host: Host) -> None:
    """A deploy, a failed one, the next, and a rollback: each says what it did, and what serves."""
    host.write(APP.format(version="first"))
    done = host.ran("deploy")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"shop@1.0.0 to {host.url}: 1 file, ")
    assert [line.split()[2] for line in lines[1:]][-2:] == ["booted", "active"]
    assert lines[-1].endswith(f"  {host.url}/shop/")
    assert host.served() == "first"
    again = host.ran("deploy", "--version", "1.0.0", "--json")
    assert (again.returncode, json.loads(again.stdout)["step"]) == (0, "unchanged")
    same = host.ran("deploy")
    assert (same.returncode, same.stderr) == (0, "")
    assert "nothing was done: shop@1.0.0 has this content, and is active; " in same.stdout

    host.write("raise ValueError('no luck')\n")
    broken = host.ran("deploy")
    assert broken.returncode == 1
    assert "ValueError: no luck" in broken.stderr
    assert "buntime: error: the deploy of shop@1.0.1 failed at booted: " in broken.stderr
    assert broken.stderr.endswith("; what served before, if anything, goes on serving\n")
    assert host.served() == "first"

    host.write(APP.format(version="second"))
    assert host.ran("deploy").returncode == 0
    assert host.served() == "second"
    host.write(APP.format(version="first"))
    older = host.ran("deploy", "--version", "1.0.0")
    assert (older.returncode, older.stderr) == (0, "")
    assert f"  unchanged  {host.url}/shop@1.0.0/\n" in older.stdout
    assert older.stdout.endswith("is not active; to make it so: buntime activate shop@1.0.0\n")
    assert host.served() == "second"
    host.write(APP.format(version="second"))
    back = host.ran("rollback", "shop")
    assert (back.returncode, back.stderr) == (0, "")
    assert back.stdout.startswith("shop: rolling back from 1.0.1\n")
    assert host.served() == "first"
    newest = next(
        each for each in json.loads(host.ran("show", "shop", "--json").stdout)["versions"]
        if not each["active"]
    )["version"]  # fmt: skip
    there = host.ran("activate", f"shop@{newest}")
    assert there.returncode == 0
    assert there.stdout.startswith(f"shop: going from 1.0.0 to {newest}\n")
    assert host.served() == "second"
    removed = host.ran("remove", "shop@1.0.0", "--yes")
    assert (removed.returncode, removed.stdout) == (0, "shop@1.0.0: removed\n")
    refused = host.ran("remove", f"shop@{newest}", "--yes", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (
        1,
        "version_active",
    )


def test_removing_all(host: Host) -> None:
    """With `--all` the active version goes too; a version and `--all` exclude each other."""
    host.write(APP.format(version="gone"))
    for version in ("1.0.0", "1.1.0"):
        host.write(APP.format(version=version))
        done = host.ran("deploy", "--app", "brief", "--version", version)
        assert done.returncode == 0, done.stderr
    both = host.ran("remove", "brief@1.0.0", "--all", "--yes")
    assert (both.returncode, "not both" in both.stderr) == (2, True)
    dry = host.ran("remove", "brief", "--all", "--dry-run")
    lines = "brief@1.0.0: {0}\nbrief@1.1.0: {0}\n"
    assert (dry.returncode, dry.stdout) == (0, lines.format("would be removed"))
    done = host.ran("remove", "brief", "--all", "--yes")
    assert (done.returncode, done.stdout) == (0, lines.format("removed"))
    assert host.ran("show", "brief").returncode == 1
    again = host.ran("remove", "brief", "--all", "--yes")
    assert (again.returncode, "there is no app brief" in again.stderr) == (1, True)


def test_refusals(host: Host) -> None:
    """Each has its exit code, and says what to do: other content, a limit, a key, no runtime."""
    host.write(APP.format(version="one"))
    assert host.ran("deploy", "--app", "refused", "--version", "1.0.0").returncode == 0
    host.write(APP.format(version="other"))
    done = host.ran("deploy", "--app", "refused", "--version", "1.0.0")
    assert (done.returncode, "already exists with other content" in done.stderr) == (1, True), (
        done.stderr
    )
    large = host.home / "shop/large"
    large.write_bytes(os.urandom(LIMIT_BYTES * 8))
    done = host.ran("deploy", "--app", "refused", "--version", "1.1.0")
    large.unlink()
    assert done.returncode == 3
    assert "(nginx: client_max_body_size 500m)" in done.stderr
    done = run("list", cwd=host.home, env={**host.env, "BUNTIME_KEY": "bt_wrong"})
    assert (done.returncode, "buntime keys add" in done.stderr) == (4, True)
    env = {name: value for name, value in host.env.items() if name != "SSL_CERT_FILE"}
    done = run("list", cwd=host.home, env=env)
    assert (done.returncode, "SSL_CERT_FILE=ca.pem" in done.stderr) == (3, True)


def test_on_the_host(host: Host) -> None:
    """By the control socket it needs no key, and a dry run changes nothing."""
    host.write(APP.format(version="here"))
    env = {"HOME": str(host.home)}
    words = ("--app", "@acme/local", "--state-dir", host.state)
    tried = run("deploy", ".", "--dry-run", *words, cwd=host.home / "shop", env=env)
    assert (tried.returncode, tried.stdout.splitlines()[-1].split()[2]) == (0, "tried")
    assert fetch(host.runtime, "/@acme/local/").status == 404
    done = run("deploy", ".", *words, cwd=host.home / "shop", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert host.served("/@acme/local/") == "here"
    assert done.stdout.split()[-1] == f"http://127.0.0.1:{host.runtime.port}/@acme/local/"


def test_a_preview(host: Host) -> None:
    """A preview is reported with the link that opens it, and what serves stays."""
    host.write(APP.format(version="live"))
    assert host.ran("deploy", "--app", "looked-at").returncode == 0
    host.write(APP.format(version="coming"))
    done = host.ran("deploy", "--app", "looked-at", "--preview", "pr-12", "--ttl", "1d", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    url = json.loads(done.stdout.splitlines()[-1])["url"]
    assert url.startswith(f"{host.url}/looked-at@0.0.0-preview.pr-12/")
    assert fetch(host.runtime, url.removeprefix(host.url)).status == 303
    assert fetch(host.runtime, "/looked-at@0.0.0-preview.pr-12/").status == 404
    assert host.served("/looked-at/") == "live"
