"""Requests that the runtime itself makes: what they say, and what becomes of their answers."""

from __future__ import annotations

from typing import cast

import pytest

from buntime.server.http1.inner import check_request
from buntime.server.http1.service import Service
from tests.support.apps import make_app
from tests.support.exchanges import FakeResponder, FakeService


class Check:
    """A request of an app's `check`, in the hands of a worker."""

    def __init__(self, hosts: tuple[str, ...] = ()) -> None:
        self.statuses: list[int] = []
        app, service = make_app("shop", hosts=hosts), cast(Service, FakeService())
        self.exchange = check_request(service, app, "/healthz?deep=1", then=self.statuses.append)
        self.exchange.hand_over(FakeResponder(self.exchange), 30.0)


@pytest.mark.parametrize(
    ("hosts", "host"),
    [((), "localhost"), (("a.test", "b.test"), "a.test"), (("*.shop.test",), "shop.test")],
)
def test_host(hosts: tuple[str, ...], host: str) -> None:
    """Host is a host of the app's; a wildcard becomes the host below which it counts."""
    head = Check(hosts).exchange.head
    assert dict(head.headers)["host"] == head.host == host


def test_status() -> None:
    """The status of the answer is reported once."""
    check = Check()
    check.exchange.release()
    check.exchange.respond(202, [], b"begun")
    check.exchange.client.cut()
    assert check.statuses == [202]


def test_cut_off() -> None:
    """An answer that is cut off has the status 0."""
    check = Check()
    check.exchange.client.abort()
    check.exchange.client.cut()
    assert check.statuses == [0]
    assert check.exchange.is_ended
