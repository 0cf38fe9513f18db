"""Operators behind a real nginx that ends TLS, with the configuration of docs/proxies.md."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.harness import OPERATORS_KEY, running, write_app
from tests.support.operators import Operator
from tests.support.proxies import before, nginx

HOST = "panel.example.org"
APP = """
import json
from buntime import Response

def fetch(request):
    return Response(json.dumps(dict(request.headers)))
"""


def with_tls(tmp_path: Path, upstream: str, port: int) -> list[str]:
    """The same with a certificate made here."""
    argv = nginx(tmp_path, upstream, port)
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a"
    subprocess.run(
        ["openssl", *made.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    path = tmp_path / "nginx.conf"
    listen = f"listen 127.0.0.1:{port};"
    text = path.read_text()
    assert listen in text
    tls = f"{listen[:-1]} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
    path.write_text(text.replace(listen, tls))
    return argv


@pytest.fixture(scope="module", params=["unix", ""], ids=["trusted", "untrusted"])
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, bool]]:
    """The URL of nginx in front of a runtime, and whether the runtime trusts it."""
    tmp_path = tmp_path_factory.mktemp("proxy")
    write_app(tmp_path / "apps/shop", {"app.py": APP}, ttl=600)
    upstream = f"unix:{tmp_path / 's'}"
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": OPERATORS_KEY,
        "RUNTIME_LISTEN": upstream,
        "RUNTIME_TRUSTED_PROXIES": request.param,
        "RUNTIME_ADMIN_HOST": HOST,
    }
    with running(tmp_path / "apps", env=env), before(with_tls, tmp_path, upstream) as url:
        yield url.replace("http:", "https:"), bool(request.param)


def operator_at(url: str, name: str = HOST) -> Operator:
    """An operator who uses a host name, followed by nginx's port."""
    return Operator(url, host=f"{name}:{url.rpartition(':')[2]}")


def test_a_session(proxy: tuple[str, bool]) -> None:
    """The cookie is only for TLS if the runtime knows of it; writes need the page's Origin."""
    url, is_trusted = proxy
    operator = operator_at(url)
    told = operator.ask("POST", "/api/session", {"key": OPERATORS_KEY})
    [field] = told.headers.get_all("set-cookie") or []
    assert field.startswith("__Host-bt=" if is_trusted else "bt=")
    assert field.endswith(
        "; Path=/; HttpOnly; SameSite=Strict; Priority=High" + "; Secure" * is_trusted
    )
    operator.look()
    assert operator.ask("POST", "/api/apps/shop/recycle").status == 202
    for origin in (f"https://{HOST}", "https://apps.example.org", f"https://evil.{operator.host}"):
        answer = operator.ask("POST", "/api/apps/shop/recycle", fields={"Origin": origin})
        assert (answer.status, answer.error["code"]) == (403, "cross_site")
    plain = {"Origin": f"http://{operator.host}"}
    assert operator.ask("POST", "/api/apps/shop/recycle", fields=plain).status == (
        403 if is_trusted else 202
    )


def test_the_other_cookie(proxy: tuple[str, bool]) -> None:
    """A session's cookie does not count under the name that it has on the other side of TLS."""
    url, is_trusted = proxy
    operator = operator_at(url)
    operator.sign_in(OPERATORS_KEY)
    [(name, token)] = operator.cookies.items()
    assert name == ("__Host-bt" if is_trusted else "bt")
    operator.cookies = {"bt" if is_trusted else "__Host-bt": token}
    assert operator.ask("GET", "/api/workers").status == 401


def test_other_hosts(proxy: tuple[str, bool]) -> None:
    """The operators' host has no app; other hosts have no panel and no session, nor its cookie."""
    url, _ = proxy
    operator, visitor = operator_at(url), operator_at(url, "apps.example.org")
    operator.sign_in(OPERATORS_KEY)
    assert operator.ask("GET", "/cpanel/").status == 200
    assert operator.ask("GET", "/shop/").status == 404
    visitor.cookies = {**operator.cookies, "own": "1"}
    assert visitor.ask("GET", "/shop/").json()["cookie"] == "own=1"
    assert visitor.ask("GET", "/cpanel/").status == 404
    assert visitor.ask("GET", "/api/workers").status == 401
    lies: dict[str, str | None] = {"X-Forwarded-Host": operator.host}
    assert visitor.ask("GET", "/cpanel/", fields=lies).status == 404
