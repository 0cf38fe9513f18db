"""The jobs of a plugin's process: which one comes next."""

from __future__ import annotations

from buntime.worker.followers import Job
from buntime.worker.lanes import CALLS, HOOKS, Lanes


def job(lane: int, caller: str = "") -> Job:
    made = Job()
    made.lane, made.caller = lane, caller
    return made


def test_callers_take_turns() -> None:
    """Callers take turns, so one with many waiting calls does not hold up others; each caller's
    calls stay in order."""
    lanes = Lanes((1, 2, 1))
    calls = [job(CALLS, caller) for caller in ("a", "a", "a", "b", "c", "c")]
    for each in calls:
        lanes.append(each)
    taken = []
    while lanes.has_next():
        taken.append(lanes.popleft())
        lanes.give_back(CALLS)
    assert [calls.index(each) for each in taken] == [0, 3, 4, 1, 5, 2]
    assert len(lanes) == 0


def test_calls_have_slots_whoever_makes_them() -> None:
    """A caller's turn does not come before there is a slot; hooks have their own slots."""
    lanes = Lanes((1, 2, 1))
    for caller in ("a", "a", "b"):
        lanes.append(job(CALLS, caller))
    assert [lanes.popleft().caller for _ in range(2)] == ["a", "b"]
    assert not lanes.has_next()
    lanes.append(job(HOOKS))
    assert lanes.popleft().lane == HOOKS
    lanes.give_back(CALLS)
    assert lanes.popleft().caller == "a"
