"""For tests of apps: calls an app of any kind in the test's own process, without a server.

    from buntime.testing import Client

    def test_home():
        with Client("apps/hello") as client:
            assert client.get("/").text == "Hello!"

The app runs in the same engine as in a worker, so it sees what it would see there. See
docs/testing.md.
"""

from buntime.testing.aio import AsyncClient, AsyncSession, AsyncStream
from buntime.testing.answer import Answer
from buntime.testing.client import Client
from buntime.testing.errors import AppNotLoaded, Denied
from buntime.testing.session import Session
from buntime.testing.stream import Stream

__all__ = [
    "Answer",
    "AppNotLoaded",
    "AsyncClient",
    "AsyncSession",
    "AsyncStream",
    "Client",
    "Denied",
    "Session",
    "Stream",
]
