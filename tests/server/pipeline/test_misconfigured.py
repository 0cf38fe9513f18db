"""How often a fault that requests meet is logged."""

from __future__ import annotations

from buntime.server.pipeline import misconfigured
from buntime.server.pipeline.misconfigured import Misconfigured


class Log:
    """Keeps what is logged, as (fault, path, requests)."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, object, object]] = []

    def error(self, event: str, message: str, /, **fields: object) -> None:
        assert event == "app.invalid"
        self.lines.append((fields["error"], fields["path"], fields["requests"]))


def test_a_fault_is_logged_once_a_minute() -> None:
    """The first request, and then how many came since; another fault has its own minute."""
    log = Log()
    told = Misconfigured(log.error)
    for now in (0.0, 1.0, 59.0):
        told.tell("shop: no entrypoint", "/shop/", now)
    told.tell("blog: bad ttl", "/blog/", 59.5)
    assert log.lines == [("shop: no entrypoint", "/shop/", 1), ("blog: bad ttl", "/blog/", 1)]
    told.tell("shop: no entrypoint", "/shop/cart", 60.0)
    assert log.lines[2:] == [("shop: no entrypoint", "/shop/cart", 3)]


def test_memory_is_bounded() -> None:
    """Faults that nobody meets any more are not kept for ever."""
    log = Log()
    told = Misconfigured(log.error)
    for number in range(3 * misconfigured._FAULTS_MAX):
        told.tell(f"fault {number}", "/shop/", 0.0)
    assert len(log.lines) == 3 * misconfigured._FAULTS_MAX
    assert len(told._tallies) <= misconfigured._FAULTS_MAX
