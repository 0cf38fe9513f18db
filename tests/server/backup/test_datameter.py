"""Data are measured on a thread, and reported where they are large."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buntime.server.backup.datameter import DataMeter


class FakeLoop:
    """Runs what is due when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.due.append((delay_s, callback))

    def run_blocking(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        then(work())

    def turn(self) -> float:
        """Run the only call that is due; returns its delay."""
        [(delay_s, callback)] = self.due
        self.due.clear()
        self.now += delay_s
        callback()
        return delay_s


class FakeLog:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, object]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, message, **fields: self.told.append((level, event, fields))


def test_the_whole_way(tmp_path: Path) -> None:
    """Every minute, data with a limit are measured without following links, and data without one
    are not read. A missing folder counts as empty."""
    shop, blog = tmp_path / "@acme+shop", tmp_path / "blog"
    (shop / "below").mkdir(parents=True)
    blog.mkdir()
    (shop / "below/a").write_bytes(bytes(5000))
    (blog / "large").write_bytes(bytes(9000))
    os.symlink(blog, shop / "link")
    limits = {str(shop): 6000, str(tmp_path / "gone"): 1}
    loop, log = FakeLoop(), FakeLog()
    meter = DataMeter(loop, log, lambda: limits)  # type: ignore[arg-type]
    meter.start()
    assert loop.turn() == 60.0
    (shop / "b").write_bytes(bytes(2000))
    loop.turn()
    assert [each.measured.name for each in meter.use.raised()] == ["@acme+shop"]
    limits.clear()
    loop.turn()
    assert [*meter.use.raised()] == []
    levels = [(level, event, fields["app"]) for level, event, fields in log.told]
    assert levels == [
        ("warn", "data.filling", "@acme/shop"),
        ("error", "data.over", "@acme/shop"),
    ]
    assert log.told[-1][2]["max"] == 6000
