"""Which times of files would show a further change."""

from __future__ import annotations

import pytest

from buntime.core.values.filetimes import is_settled

SECOND = 1_800_000_000 * 10**9  # a time of a file system that may count seconds only
FINE = SECOND + 4_000_000  # a time of one that counts fractions


@pytest.mark.parametrize(
    ("changed_ns", "age_ms", "expected"),
    [
        (FINE, 0, False),
        (FINE, 10, False),  # the coarsest tick of a kernel
        (FINE, 100, False),
        (FINE, 101, True),
        (SECOND, 101, False),
        (SECOND, 2_000, False),  # a tick of FAT
        (SECOND, 2_001, True),
        (FINE, -500, False),  # in the future
        (SECOND, -500, False),
    ],
)
def test_is_settled(changed_ns: int, age_ms: int, expected: bool) -> None:
    """A time is settled when some ticks of the coarsest clock that can have left it are over."""
    assert is_settled(changed_ns, changed_ns + age_ms * 10**6) is expected
