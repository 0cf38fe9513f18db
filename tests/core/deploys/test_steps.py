"""Steps of a deploy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.deploys.steps import Progress, Step

WHOLE = (
    Step.RECEIVED,
    Step.UNPACKED,
    Step.CHECKED,
    Step.INSTALLING,
    Step.RELEASING,
    Step.BOOTED,
    Step.PROBED,
    Step.ACTIVE,
)
WAYS = {
    "with all steps": WHOLE,
    "nothing to install or to probe": (*WHOLE[:3], Step.BOOTED, Step.ACTIVE),
    "a static site": (*WHOLE[:3], Step.ACTIVE),
    "a dry run": (*WHOLE[:3], Step.TRIED),
    "what is there already": (Step.RECEIVED, Step.UNCHANGED),
    "told by its digest": (Step.UNCHANGED,),
    "activated again": (Step.CHECKED, Step.BOOTED, Step.ACTIVE),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_ways(way: tuple[Step, ...]) -> None:
    """Each of these sequences leads to an end."""
    progress = Progress()
    for step in way:
        assert not progress.is_over
        progress.reach(step)
    assert progress.is_over


def test_nothing_is_active_that_was_not_checked() -> None:
    """ACTIVE cannot be reached without CHECKED."""
    assert not Progress().may_reach(Step.ACTIVE)
    progress = Progress()
    progress.reach(Step.RECEIVED)
    assert not progress.may_reach(Step.CHECKED)
    with pytest.raises(ValueError, match="no way to active"):
        progress.reach(Step.ACTIVE)


@given(st.lists(st.sampled_from([*Step])))
def test_each_step_once(steps: list[Step]) -> None:
    """No step is reached twice, none out of order, and none after the end."""
    progress, reached = Progress(), [Step.BEGUN]
    for step in steps:
        if progress.may_reach(step):
            progress.reach(step)
            reached.append(step)
    assert len(reached) == len(set(reached))
    order = [*Step]
    assert [order.index(step) for step in reached] == sorted(order.index(step) for step in reached)


def test_failing() -> None:
    """The step that was attempted is the one that failed, and nothing comes after it."""
    progress = Progress()
    progress.reach(Step.RECEIVED)
    progress.fail(Step.UNPACKED)
    assert progress.is_over
    assert repr(progress) == "Progress(received, failed at unpacked)"
    assert not progress.may_reach(Step.UNPACKED)
    with pytest.raises(ValueError, match="is over"):
        progress.fail(Step.CHECKED)
