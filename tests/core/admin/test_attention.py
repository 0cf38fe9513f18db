"""What needs attention is reported when it does, and not before."""

from __future__ import annotations

import pytest

from buntime.core.admin import attention as items
from buntime.core.telemetry.pluginmeters import Lately


@pytest.mark.parametrize(
    ("requests", "failed", "is_told"),
    [(100, 5, False), (100, 10, True), (1000, 49, False), (1000, 50, True), (0, 0, False)],
)
def test_failed_requests(requests: int, failed: int, *, is_told: bool) -> None:
    """Failed requests are reported if there are at least ten and a twentieth of all."""
    assert (items.of_failed_requests("shop", requests, failed) is not None) == is_told


@pytest.mark.parametrize(
    ("free_mb", "size_mb", "level"),
    [
        (100_000, 200_000, None),
        (9_000, 200_000, "warning"),
        (400, 1_000, None),
        (100, 1_000, "warning"),
        (5, 1_000, "error"),
        (1_000, 500_000, "error"),
    ],
)
def test_disks(free_mb: int, size_mb: int, level: str | None) -> None:
    """A small disk may have little free space, as long as it is a fair share of the disk."""
    item = items.of_disk("/srv", free_mb * 10**6, size_mb * 10**6)
    assert (item.level if item is not None else None) == level


def test_boots() -> None:
    """Missing secrets are reported first, then whether the app is in a crash loop."""
    app = {"app": "shop", "bootFailures": 1, "bootError": "KeyError: 'X'\n  File ..."}
    assert items.of_boot(app).text == "shop does not load: KeyError: 'X'"
    crashing = items.of_boot(app | {"bootFailures": 5})
    assert crashing.code == "app_crash_loop"
    assert crashing.text == "shop has failed to load 5 times in a row: KeyError: 'X'"
    assert items.of_boot(app, ["A", "B"]).command == "buntime secrets set shop A"


def test_standstills() -> None:
    """One standstill is told in the singular."""
    assert "stood still 1 time in" in items.of_standstills(1, 0.2).text
    assert "stood still 2 times in" in items.of_standstills(2, 0.2).text


def test_order_and_bounds() -> None:
    """The worst items come first, and their number is bounded even with 3,000 apps."""
    found = items.in_order(
        item
        for number in range(3000)
        for item in (items.of_maintenance(f"a{number}", "m"), *items.of_fault(f"a{number}", ["x"]))
    )
    assert len(found) == items.ITEMS_MAX
    assert {each.level for each in found} == {"error"}


def test_whose_errors_they_are() -> None:
    """Answers of 5xx are not laid on the app: a plugin may have refused."""
    item = items.of_failed_requests("shop", 14, 10)
    assert item is not None
    assert item.text == (
        "10 of 14 requests to shop (71%) were answered with an error (5xx) in the last ten minutes."
    )
    assert "a plugin refused" in item.hint


def test_words_of_others_stay_in_their_line() -> None:
    """A message with line breaks and escapes becomes one line of bounded length."""
    told = items.first_line("\x1b[31mred\x07" + "x" * 10_000 + "\nnext")
    assert "\x1b" not in told
    assert "\n" not in told
    assert len(told) == 500
    assert items.of_maintenance("shop", "a\nb").text == "shop is closed for its visitors: a"


@pytest.mark.parametrize("state", ["serving", "asleep", "disabled", "starting", "waiting"])
def test_plugins_that_are_well(state: str) -> None:
    """A plugin in one of these states needs no attention."""
    assert items.of_plugin("audit", state, "", guards=True) is None
    told = items.of_plugin("audit", "failed", "boom", guards=True)
    assert told is not None
    assert told.level == "error"


@pytest.mark.parametrize(
    ("count", "verdicts", "ignores", "level"),
    [
        (1, 0, False, "warning"),
        (3, 0, False, "error"),
        (3, 57, False, "error"),
        (3, 58, False, "warning"),
        (300, 0, True, "warning"),
    ],
)
def test_hooks(count: int, verdicts: int, level: str, *, ignores: bool) -> None:
    """A hook that refuses a twentieth of the requests by its failures is an error."""
    lately = Lately(count, verdicts, 12.3, "KeyError: 'x'\nmore")
    item = items.of_hook("audit", "on_request", lately, ignores=ignores)
    assert (item.level, item.command) == (level, "buntime logs plugin:audit --level warn")
    assert item.text.endswith("in the last 5 minutes, the last time 12 s ago: KeyError: 'x'")
    assert ("each time" in item.text) == (verdicts == 0)
    assert ("went on without it" if ignores else "502 or 503") in item.hint


def test_hooks_that_no_request_waits_for() -> None:
    """Where a hook for another event fails, no request was refused, and none is spoken of."""
    item = items.of_hook("audit", "on_shutdown", Lately(9, 0, 1.0, "x"), ignores=False)
    assert item.level == "warning"
    assert item.hint == "Correct it, then: buntime plugins reload audit"
    assert "has failed 9 times in the last" in item.text
