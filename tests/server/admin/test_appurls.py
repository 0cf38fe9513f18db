"""The URLs of apps, as seen from the address of the request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from buntime.server.admin.appurls import AppUrls

AT = ["unix:/run/buntime.sock", "http://127.0.0.1:8000", "http://127.0.0.1:8001"]


def call(host: str, *, scheme: str = "http", source: str = "key", operators: bool = True) -> Any:
    """A request with this Host, at the operators' address or at the apps' address."""
    sender = SimpleNamespace(scheme=scheme, host=None, prefix="/pre")
    exchange = SimpleNamespace(
        sender=sender, head=SimpleNamespace(host=host), is_operators=operators
    )
    return SimpleNamespace(caller=SimpleNamespace(source=source), exchange=exchange)


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        (call("localhost:8001"), "http://localhost:8000/shop/"),
        (call("[::1]:8001"), "http://127.0.0.1:8000/shop/"),
        (call("admin.example.com", scheme="https"), "https://admin.example.com/shop/"),
        (call("apps.example.com:80", operators=False), "http://apps.example.com:80/pre/shop/"),
        (call("whatever", source="socket"), "http://127.0.0.1:8000/shop/"),
    ],
)
def test_urls(asked: Any, url: str) -> None:
    """An app's URL uses the address of the request; if that is the operators' own, which has no
    apps, it uses the apps' address."""
    assert AppUrls(AT).of(asked, "shop") == url


def test_any_address() -> None:
    """A wildcard listening address is not a host name; seen from this machine it is localhost."""
    asked = call("x", source="socket")
    assert AppUrls(["http://0.0.0.0:80"]).of(asked, "@acme/shop@1") == (
        "http://localhost:80/@acme/shop@1/"
    )
