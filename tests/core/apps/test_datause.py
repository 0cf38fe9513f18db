"""What is reported about data that approach their `dataMax`."""

from __future__ import annotations

from buntime.core.apps.datause import AGAIN_S, DataUse, Measured


def told(use: DataUse, size: int, now: float = 0.0, most: int = 100) -> list[str]:
    return [str(each.level) for each in use.take([Measured("shop", size, most)], now)]


def test_each_level_is_told_once() -> None:
    """Each level is reported once: at 80 %, above 100 %, and when there is room again; small
    moves around a bound are not."""
    use = DataUse()
    assert told(use, 79) == []
    assert told(use, 80) == ["data.filling"]
    assert told(use, 78) == []
    assert told(use, 100) == []
    assert told(use, 101) == ["data.over"]
    assert told(use, 100) == ["data.filling"]
    assert told(use, 74) == ["data.within"]
    assert told(use, 79) == []


def test_what_cannot_be_counted() -> None:
    """What an app keeps the runtime from reading ends no report, and may begin one."""
    use = DataUse()

    def told_of_part(size: int, now: float) -> list[str]:
        found = use.take([Measured("shop", size, 100, is_whole=False)], now)
        return [str(each.level) for each in found]

    assert told_of_part(85, 0.0) == ["data.filling"]
    assert told_of_part(0, 0.0) == []
    assert told_of_part(101, 0.0) == ["data.over"]
    assert told_of_part(85, 1.0) == []
    assert told_of_part(0, AGAIN_S) == ["data.over"]
    assert told(use, 0, AGAIN_S) == ["data.within"]


def test_what_is_over_is_told_again() -> None:
    """Data above the limit are reported again each hour, since nothing stops the app."""
    use = DataUse()
    assert told(use, 200, 10.0) == ["data.over"]
    assert told(use, 300, 10.0 + AGAIN_S - 1) == []
    assert told(use, 300, 10.0 + AGAIN_S) == ["data.over"]
    assert told(use, 300, 10.0 + AGAIN_S + 1) == []


def test_another_limit_and_none() -> None:
    """A raised limit counts at the next look; an app without a limit is forgotten."""
    use = DataUse()
    told(use, 200)
    assert [each.measured.name for each in use.raised()] == ["shop"]
    assert told(use, 200, most=1000) == ["data.within"]
    assert [*use.raised()] == []
    told(use, 2000, most=1000)
    assert use.take([], 0.0) == []
    assert [*use.raised()] == []
