"""Lines picked from several logs are those one would pick from all of them merged."""

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.telemetry.linepicks import Bounds, FirstLines, LastLines

LOGS = st.lists(st.integers(0, 500), unique=True).flatmap(
    lambda numbers: st.lists(st.integers(0, 3), min_size=len(numbers), max_size=len(numbers)).map(
        lambda apps: [
            sorted(n for n, app in zip(numbers, apps, strict=True) if app == one)
            for one in range(4)
        ]
    )
)


@given(LOGS, st.integers(1, 20))
def test_first(logs: list[list[int]], count: int) -> None:
    """The first lines, and whether there are more; no log is read further than necessary."""
    picked = FirstLines(Bounds(count, 10_000))
    for log in logs:
        for number in log:
            if not picked.wants(number):
                break
            picked.put(number, b"%d" % number)
    merged = sorted(number for log in logs for number in log)
    assert [int(line) for line in picked.lines()] == merged[:count]
    assert picked.has_more == (len(merged) > count)


@given(LOGS, st.integers(1, 20))
def test_last(logs: list[list[int]], count: int) -> None:
    """The last lines, from logs that are read backwards."""
    picked = LastLines(Bounds(count, 10_000))
    for log in logs:
        for number in reversed(log):
            if not picked.wants(number):
                break
            picked.put(number, b"%d" % number)
    merged = sorted(number for log in logs for number in log)
    assert [int(line) for line in picked.lines()] == merged[-count:]


def test_bytes() -> None:
    """There are fewer lines if they are long, but at least one."""
    for kind, expected in ((FirstLines, [1, 2]), (LastLines, [8, 9])):
        picked = kind(Bounds(100, 250))
        for number in range(1, 10) if kind is FirstLines else range(9, 0, -1):
            if picked.wants(number):
                picked.put(number, b"%100d" % number)
        assert [int(line) for line in picked.lines()] == expected
        alone = kind(Bounds(100, 5))
        for number in (1, 2):
            alone.put(number, b"%100d" % number)
        assert len(alone.lines()) == 1
