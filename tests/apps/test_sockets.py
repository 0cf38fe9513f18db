"""Servers of real-time messages, used by the client of their package."""

from __future__ import annotations

import pytest

from tests.apps.conftest import Site, run_client

SOCKETIO_CLIENT = """
import sys, socketio
host, path, *transports = sys.argv[1:]
with socketio.SimpleClient(request_timeout=30) as client:
    client.connect(host, socketio_path=path, transports=transports, wait_timeout=15)
    print(client.call("add", [2, 3], timeout=15), client.transport)
"""


def call_socketio(site: Site, *transports: str) -> str:
    """What the server's `add` answers to the package's own client, and the transport used."""
    host = site.url.removesuffix(site.base)
    return run_client(SOCKETIO_CLIENT, host, f"{site.base}/socket.io", *transports)


@pytest.mark.app("socketio")
def test_socketio(site: Site) -> None:
    """It works by long polling, by WebSocket, and by an upgrade from one to the other."""
    assert call_socketio(site, "polling") == "5 polling"
    assert call_socketio(site, "websocket") == "5 websocket"
    assert call_socketio(site, "polling", "websocket") == "5 websocket"


@pytest.mark.app("flask-socketio")
def test_flask_socketio(site: Site) -> None:
    assert call_socketio(site, "polling") == "5 polling"
    assert call_socketio(site, "polling", "websocket") == "5 polling"
