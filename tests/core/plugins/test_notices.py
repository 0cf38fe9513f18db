"""What plugins are told, and what not."""

from __future__ import annotations

from buntime import wire
from buntime.core.plugins.notices import (
    LISTED_MAX,
    apps_told,
    plugin_told,
    worker_ended,
    worker_told,
)
from tests.support.apps import make_app


def test_a_worker() -> None:
    """The notice has the worker's app and end, but not its folder, environment or options."""
    told = worker_told("w3", 42, make_app("shop", env={"WORD": "s3cret"}))
    assert told == {
        "worker": "w3",
        "pid": 42,
        "app": "shop",
        "plugin": None,
        "version": None,
        "ephemeral": True,
    }
    ended = worker_ended(told, "exit code 3" * 1000, expected=False)
    assert (len(str(ended["how"])), ended["expected"]) == (300, False)


def test_lists_are_bounded() -> None:
    """However much an operator has installed, a notice fits into a line of the channel."""
    apps = apps_told((f"app{n}-{'x' * 300}", "1.0.0+" + "y" * 300) for n in range(5 * LISTED_MAX))
    assert len(apps) == LISTED_MAX
    plugin = plugin_told("p" * 500, "1" * 500, "serving", "/" + "b" * 500, map(str, range(10_000)))
    for told in (apps, [plugin] * LISTED_MAX):
        assert len(wire.to_json(told)) < wire.MAX_LINE - 100
