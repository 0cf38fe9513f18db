"""What happens often is told seldom, and nothing of it is lost."""

from __future__ import annotations

from buntime.core.values.tally import Tally


def test_the_first_is_told_at_once() -> None:
    """Whoever reads the log learns of it when it begins."""
    assert Tally(every_s=60.0).add(now=0.0) == 1


def test_what_follows_is_told_together() -> None:
    """Later, once the time has passed: all that was not told of."""
    tally = Tally(every_s=60.0)
    told = [tally.add(now) for now in (0.0, 1.0, 59.9, 60.0, 60.1, 200.0)]
    assert told == [1, 0, 0, 3, 0, 2]
    assert tally.total == sum(told) == 6
