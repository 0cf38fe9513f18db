"""The stages of a worker's boot."""

from __future__ import annotations

import pytest

from buntime.core.pool.boot import STEPS, Boot, BootError, Stage, Step


def at(stage: Stage) -> Boot:
    boot = Boot()
    boot.stage = stage
    return boot


def test_every_way_is_in_the_table() -> None:
    """Each stage has an entry; an event without one is the worker's fault, and raises."""
    assert set(STEPS) == set(Stage)
    for stage in Stage:
        for step in Step:
            boot = at(stage)
            if step in STEPS[stage]:
                boot.step(step)
                assert boot.stage is STEPS[stage][step]
            else:
                with pytest.raises(BootError, match=f"{step.name} of a worker that is"):
                    boot.step(step)
                assert boot.stage is stage


@pytest.mark.parametrize("order", [(Step.UP, Step.ADOPT), (Step.ADOPT, Step.UP)])
def test_its_app_may_come_before_it_is_up(order: tuple[Step, Step]) -> None:
    """The app's code may be sent before the worker reports that it is up: the two cross."""
    boot = Boot()
    for step in (*order, Step.LOADED):
        boot.step(step)
    assert (boot.is_up, boot.is_loaded, boot.has_failed) == (True, True, False)


def test_is_up() -> None:
    """An interpreter is up only once it has said so, whatever it was sent."""
    assert {stage for stage in Stage if not at(stage).is_up} == {Stage.STARTING, Stage.ADOPTED}


def test_the_first_reason_counts() -> None:
    """What a worker says while it is killed for its timeout does not replace the first reason."""
    boot = at(Stage.LOADING)
    boot.fail("the app did not load in 30 s")
    boot.fail("KeyboardInterrupt")
    boot.step(Step.LOADED)
    boot.step(Step.UP)
    assert (boot.has_failed, boot.is_loaded) == (True, False)
    assert repr(boot) == "Boot(FAILED, the app did not load in 30 s)"


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.UP, Stage.LOADED])
def test_only_an_app_can_fail_to_load(stage: Stage) -> None:
    """A spare has no app that could fail, and a loaded app stays loaded."""
    with pytest.raises(BootError):
        at(stage).fail("a lie")
    assert at(stage).error == ""
