"""The same reduction of settings by the limit of open files is logged once."""

from __future__ import annotations

from dataclasses import replace

from buntime.server.lifetime.openfiles import OpenFiles
from tests.support.fakes import FakeSink, make_log
from tests.support.settings import make_settings


def test_it_is_told_once_for_the_same() -> None:
    sink = FakeSink()
    files = OpenFiles(make_log(sink))
    asked = make_settings()
    fitted = replace(asked, connections_max=asked.connections_max - 5)
    files.tell(asked, fitted)
    files.tell(asked, fitted)
    assert sink.events() == ["runtime.connections_limited"]
    files.tell(asked, replace(fitted, pool_size=asked.pool_size - 1))
    assert sink.events()[1:] == ["runtime.connections_limited", "runtime.workers_limited"]
    files.tell(asked, asked)
    assert len(sink.events()) == 3
