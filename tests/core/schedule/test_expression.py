"""When a cron schedule is due."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.schedule.expression import Schedule, parse_schedule
from buntime.core.values.units import BadValue

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
TEXTS = ("* * * * *", "*/20 * * * *", "0 * * * *", "30 2 * * *", "15,45 1,2 * * *", "0 0 * * 0")


def due(text: str, zone: str, start: str, count: int) -> list[str]:
    """The local times after `start`, as "29T03:00+02:00"."""
    tz = ZoneInfo(zone)
    schedule, found = Schedule(text, tz), []
    moment = datetime.fromisoformat(start).replace(tzinfo=tz).timestamp()
    for _ in range(count):
        moment = schedule.after(moment) or 0.0
        found.append(datetime.fromtimestamp(moment, tz).isoformat(timespec="minutes")[8:])
    return found


def test_forms() -> None:
    """A schedule has five fields, in quotes, or is an alias; spaces do not count."""
    assert parse_schedule(" */5  * * * 1-5 ") == "*/5 * * * 1-5"
    assert parse_schedule("@Daily") == "0 0 * * *"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "is not a schedule"),
        ("", "is not a schedule"),
        ("@often", "is not one of @hourly"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("99 * * * *", "Bad minute"),
        ("*/0 * * * *", "Bad minute"),
        ("5-1 * * * *", "Bad minute"),
        ("٣ * * * *", "Bad minute"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("0 0 30 2 1#5/0", "Bad day-of-week"),
        ("1," * 200 + "1 * * * *", "200 at most"),
    ],
)
def test_refused(value: object, says: str) -> None:
    """A schedule that is invalid or never due is refused, with its text and the right form."""
    with pytest.raises(BadValue, match=says):
        parse_schedule(value)


@given(st.text(alphabet="0123456789*/,-#LW MONJAN", max_size=40))
def test_garbage_is_refused_or_due(text: str) -> None:
    """Any text is refused by BadValue, or is due some time."""
    try:
        kept = parse_schedule(text)
    except BadValue:
        return
    assert Schedule(kept, UTC).after(1_700_000_000.0) is not None


def test_spring() -> None:
    """A time that the clock skips is due right after the gap; a step continues in real time."""
    assert due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        "29T03:00+02:00",
        "30T02:30+02:00",
    ]
    assert due("15,45 2 * * *", "America/New_York", "2026-03-08T00:00", 2) == [
        "08T03:00-04:00",
        "09T02:15-04:00",
    ]
    assert due("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00", 3) == [
        "29T01:30+01:00",
        "29T03:00+02:00",
        "29T03:30+02:00",
    ]
    assert due("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00", 2) == [
        "04T02:30+11:00",
        "05T02:15+11:00",
    ]


def test_autumn() -> None:
    """A time that occurs twice counts only the first time; a step continues in real time."""
    assert due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == [
        "25T02:30+02:00",
        "26T02:30+01:00",
    ]
    assert due("30 1 * * *", "America/New_York", "2026-11-01T00:00", 2) == [
        "01T01:30-04:00",
        "02T01:30-05:00",
    ]
    assert due("*/30 * * * *", "Europe/Berlin", "2026-10-25T02:00", 4) == [
        "25T02:30+02:00",
        "25T02:00+01:00",
        "25T02:30+01:00",
        "25T03:00+01:00",
    ]
    assert due("*/20 * * * *", "Australia/Lord_Howe", "2026-04-05T01:20", 4) == [
        "05T01:40+11:00",
        "05T01:40+10:30",
        "05T02:00+10:30",
        "05T02:20+10:30",
    ]


def test_within_the_second_hour() -> None:
    """Starting within the repeated hour gives a time ahead, not one that has passed."""
    tz = ZoneInfo("Europe/Berlin")
    second = datetime(2026, 10, 25, 2, 10, tzinfo=tz, fold=1).timestamp()
    found = Schedule("0-59 2 * * *", tz).after(second)
    assert found == datetime(2026, 10, 26, 2, 0, tzinfo=tz).timestamp()


@given(
    st.sampled_from(TEXTS),
    st.sampled_from(ZONES),
    st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24"]),
    st.integers(0, 3 * 86_400),
)
def test_law(text: str, zone: str, day: str, offset_s: int) -> None:
    """The next time is ahead, and no time is due between, from whichever moment one asks."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(seconds=offset_s)
    schedule, moment = Schedule(text, ZoneInfo(zone)), start.timestamp()
    found = schedule.after(moment)
    assert found is not None
    assert found > moment
    assert schedule.after((moment + found) / 2) == found
    assert schedule.after(found - 1) == found
