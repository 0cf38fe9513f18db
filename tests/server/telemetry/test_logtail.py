"""A follower gets each line, or a count in the place of missing ones, in bounded memory."""

from buntime.core.telemetry.applines import LineFilter, numbered, seq_of
from buntime.core.telemetry.records import Level
from buntime.server.telemetry.logtail import LogTail

SEQ = 1772368496789000


def line(number: int, level: str = "info", size: int = 100) -> bytes:
    head = f'{{"time":"2026-03-01T12:34:56.789Z","level":"{level}","message":"'
    return numbered(head + "x" * size + '"}', SEQ + number)


class Followed:
    def __init__(self, kept_bytes: int = 1000, level: Level = Level.DEBUG) -> None:
        self.wakes = 0
        self.tail = LogTail(
            lambda app: app == "shop",
            LineFilter(level).compiled(),
            self._wake,
            kept_bytes=kept_bytes,
        )

    def _wake(self) -> None:
        self.wakes += 1

    def put(self, app: str, lines: list[bytes]) -> None:
        self.tail.put([(line, app) for line in lines])

    def take(self, size_bytes: int = 10_000) -> list[int]:
        """Numbers of lines, and -count for a gap."""
        return [
            -piece if isinstance(piece, int) else seq_of(piece) - SEQ
            for piece in self.tail.take(size_bytes)
        ]


def test_lines_that_are_wanted() -> None:
    """A follower gets lines of the apps that he may see, at the level that he wants, and one call
    to wake him."""
    followed = Followed(level=Level.WARN)
    followed.put("shop", [line(1), line(2, "warn"), line(3, "error")])
    followed.put("other", [line(4, "error")])
    followed.tail.wake()
    followed.put("shop", [line(5, "warn")])
    followed.tail.wake()
    assert followed.wakes == 1
    assert followed.take() == [2, 3, 5]
    assert followed.take() == []
    followed.put("shop", [line(6)])
    followed.tail.wake()
    assert followed.wakes == 1


def test_pieces() -> None:
    """One take is bounded, and the rest comes with the next."""
    followed = Followed()
    followed.put("shop", [line(number) for number in range(1, 6)])
    assert followed.take(150) == [1]
    assert followed.take(200) == [2, 3]
    assert followed.take() == [4, 5]


def test_slow_reader() -> None:
    """Lines beyond the bound are counted, and the count is where they are missing."""
    followed = Followed(kept_bytes=3 * len(line(1)))
    followed.put("shop", [line(number) for number in range(1, 6)])
    assert followed.take(1) == [1]
    followed.put("shop", [line(6), line(7), line(8)])
    assert followed.take() == [2, 3, -2, 6, -2]
    followed.put("shop", [line(9)])
    assert followed.take() == [9]


def test_gap_at_the_end() -> None:
    """A gap is reported once, even if no line follows."""
    followed = Followed(kept_bytes=2 * len(line(1)))
    followed.put("shop", [line(number) for number in range(1, 6)])
    followed.tail.wake()
    assert followed.wakes == 1
    assert followed.take() == [1, 2, -3]
    assert followed.take() == []


def test_memory() -> None:
    """However much comes, the memory stays bounded."""
    followed = Followed(kept_bytes=5000)
    for number in range(1000):
        followed.put("shop", [line(number)])
    taken = followed.take(10**9)
    kept = [number for number in taken if number >= 0]
    assert len(kept) * len(line(1)) <= 5000
    assert len(kept) - sum(number for number in taken if number < 0) == 1000
