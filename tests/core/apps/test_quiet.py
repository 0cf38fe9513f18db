"""When a change is acted on, and which file changes too often for that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.quiet import Edit, Edits, Quiet


def test_it_waits_for_quiet() -> None:
    """An app that is still changing is not acted on yet."""
    quiet: Quiet[str] = Quiet(quiet_s=1.0, longest_s=30.0)
    quiet.touch("shop", 10.0)
    quiet.touch("shop", 10.5)
    assert (quiet.take_due(11.4), len(quiet)) == ([], 1)
    assert quiet.take_due(11.5) == ["shop"]
    assert (quiet.take_due(20.0), len(quiet)) == ([], 0)


@given(st.lists(st.floats(0.0, 0.9), min_size=1, max_size=100))
def test_it_does_not_wait_for_ever(gaps: list[float]) -> None:
    """An app that never stops changing is acted on after the longest time, once each time."""
    quiet: Quiet[str] = Quiet(quiet_s=1.0, longest_s=5.0)
    now, first = 0.0, None
    for gap in gaps:
        now += gap
        first = now if first is None else first
        quiet.touch("shop", now)
        taken = quiet.take_due(now)
        assert bool(taken) == (now - first >= 5.0)
        first = None if taken else first
    assert quiet.take_due(now + 1.5) == ([] if first is None else ["shop"])


def test_a_file_that_changes_too_often() -> None:
    """A file counts a limited number of times within the period, is reported once, and then
    ignored."""
    edits = Edits(most=2, within_s=10.0)
    assert [edits.judge("shop", "a.py", now) for now in (0.0, 5.0, 11.0, 12.0, 13.0, 99.0)] == [
        *(Edit.COUNTS, Edit.COUNTS, Edit.COUNTS, Edit.ONE_TOO_MANY, Edit.IGNORED, Edit.IGNORED),
    ]
    assert edits.judge("shop", "b.py", 13.0) is Edit.COUNTS
    assert edits.judge("blog", "a.py", 13.0) is Edit.COUNTS
    edits.forget("shop")
    assert edits.judge("shop", "a.py", 99.0) is Edit.COUNTS
