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
    assert sink.events()[1:] == ["runtime.workers_limited"]
    files.tell(asked, asked)
    assert len(sink.events()) == 2
    files.tell(asked, fitted)
    assert len(sink.events()) == 3


def test_plugins_that_come_and_go() -> None:
    """Each takes a few descriptors: only a loss that is larger by a tenth is told of again."""
    sink = FakeSink()
    files = OpenFiles(make_log(sink))
    asked = make_settings()
    left = (9_700, 9_688, 9_706, 8_740, 8_720, 8_740)
    for connections in left:
        files.tell(asked, replace(asked, connections_max=connections))
    assert sink.events() == ["runtime.connections_limited"] * 2
    assert [each.fields["connections"] for each in sink.records] == [9_700, 8_720]
