"""A reload that an operator asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from buntime.server.lifetime.deploys import Deploys
from buntime.server.loop.loop import Loop
from tests.support.fakes import FakeSink, make_log
from tests.support.shortage import no_threads

LONG_S = 30.0


def test_a_reload_that_fails() -> None:
    """It is reported, and who waits for the end of the reload hears of it."""
    errors: list[BaseException] = []
    told: list[str] = []
    loop = Loop(errors.append)
    deployments: Any = SimpleNamespace(served={})
    catalog: Any = None  # there is no app
    deploys = Deploys(loop, make_log(FakeSink()), catalog, deployments)
    with no_threads():
        deploys.reload(lambda: told.append("reloaded"))
    while not errors:
        loop.run_once(LONG_S)
    loop.close()
    assert isinstance(errors[0], BlockingIOError)
    assert told == ["reloaded"]
