"""The last lines of apps are kept within limits, fairly."""

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.telemetry.applines import numbered, seq_of
from buntime.core.telemetry.rings import (
    LINE_OVERHEAD_BYTES,
    RING_BYTES,
    RING_OVERHEAD_BYTES,
    Rings,
)

START = 1772368496789000


def lines(count: int, first: int = 1, size: int = 100) -> list[bytes]:
    return [numbered('{"x":"' + "a" * size + '"}', START + n) for n in range(first, first + count)]


def add(rings: Rings, app: str, added: list[bytes]) -> None:
    rings.add(app, added, seq_of(added[-1]))


def kept(rings: Rings, app: str, seq: int = 0) -> list[int]:
    ring = rings.get(app)
    return [] if ring is None else [seq_of(line) - START for line in ring.after(seq)]


def test_lines_after() -> None:
    """Lines after a given number are returned in order."""
    rings = Rings()
    add(rings, "shop", lines(5))
    assert kept(rings, "shop") == [1, 2, 3, 4, 5]
    assert kept(rings, "shop", START + 3) == [4, 5]
    assert kept(rings, "shop", START + 5) == []
    assert kept(rings, "other") == []


def test_one_app_is_bounded() -> None:
    """The oldest lines are dropped, and the number of the last dropped one is known."""
    rings = Rings()
    for batch in range(100):
        add(rings, "shop", lines(100, 1 + 100 * batch))
    ring = rings.get("shop")
    assert ring is not None
    assert rings.size_bytes == ring.size_bytes <= RING_BYTES
    numbers = kept(rings, "shop")
    assert numbers == list(range(numbers[0], 10_001))
    assert ring.gone == START + numbers[0] - 1
    assert kept(rings, "shop", ring.gone) == numbers


def test_line_longer_than_a_ring() -> None:
    """A line longer than a ring is not kept, and counts as dropped."""
    rings = Rings()
    add(rings, "shop", lines(1, size=RING_BYTES))
    ring = rings.get("shop")
    assert ring is not None
    assert (ring.gone, ring.size_bytes) == (START + 1, RING_OVERHEAD_BYTES)


def test_all_are_bounded() -> None:
    """With many apps, the loud ones lose lines and the quiet ones keep all."""
    rings = Rings(limit_bytes=1_000_000)
    for app in range(100):
        add(rings, f"quiet{app}", lines(5))
    for _ in range(10):
        for app in range(5):
            add(rings, f"loud{app}", lines(500))
            assert rings.size_bytes <= 1_000_000
    assert all(kept(rings, f"quiet{app}") == [1, 2, 3, 4, 5] for app in range(100))
    assert all(kept(rings, f"loud{app}") for app in range(5))


def test_thousands_of_apps() -> None:
    """The number of apps is limited too; those silent for the longest time are dropped."""
    rings = Rings(limit_bytes=1_000_000)
    for app in range(5000):
        add(rings, f"app{app}", lines(1, first=app + 1))
        assert rings.size_bytes <= 1_000_000
    assert len(rings) < 1000
    assert kept(rings, "app4999") == [5000]
    assert rings.get("app0") is None


def test_silent_apps_are_forgotten() -> None:
    """An app is forgotten when its last line is too old."""
    rings = Rings()
    add(rings, "old", lines(3))
    add(rings, "new", lines(3, first=10))
    rings.drop_before(START + 10)
    assert rings.names() == ["new"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 2000))))
def test_sizes(batches: list[tuple[int, int, int]]) -> None:
    """The total is the sum of the rings, and a ring's size that of its lines, whatever is added."""
    rings, first = Rings(limit_bytes=40_000), 1
    for app, count, size in batches:
        add(rings, f"app{app}", lines(count, first, size))
        first += count
    assert rings.size_bytes <= 40_000
    sizes = []
    for app in rings.names():
        ring = rings.get(app)
        assert ring is not None
        told = sum(len(line) + LINE_OVERHEAD_BYTES for line in ring.lines)
        assert ring.size_bytes == RING_OVERHEAD_BYTES + told
        sizes.append(ring.size_bytes)
    assert rings.size_bytes == sum(sizes)
