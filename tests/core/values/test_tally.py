"""Frequent events are logged rarely, and none is lost."""

from __future__ import annotations

from buntime.core.values.tally import Tally


def test_the_first_is_told_at_once() -> None:
    """The first one is reported at once, so that the log shows when it began."""
    assert Tally(every_s=60.0).add(now=0.0) == 1


def test_what_follows_is_told_together() -> None:
    """All later ones are reported together once the time has passed."""
    tally = Tally(every_s=60.0)
    told = [tally.add(now) for now in (0.0, 1.0, 59.9, 60.0, 60.1, 200.0)]
    assert told == [1, 0, 0, 3, 0, 2]
    assert tally.total == sum(told) == 6
