"""A plugin's life: swaps side by side and one after the other, failures, deaths, waits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.generations import (
    TRANSITIONS,
    Decision,
    Drain,
    End,
    Event,
    Generation,
    Life,
    Phase,
    Refused,
    Serve,
    Start,
    Status,
)
from buntime.core.values.ways import LifecycleError


@dataclass(frozen=True, eq=False)
class Code:
    """One state of a plugin's code."""

    name: str = "one"
    overlap: bool = True


class World:
    """A plugin whose decisions are written down as words: "start 1", "drain 1"."""

    def __init__(self, overlap: bool = True) -> None:
        self.life: Life[Code] = Life()
        self.known: dict[int, Generation[Code]] = {}
        self.now = 100.0
        self.one, self.two = Code("one", overlap), Code("two", overlap)

    def words(self, decisions: list[Decision[Code]]) -> list[str]:
        for each in decisions:
            if isinstance(each, Start):
                self.known[each.generation.number] = each.generation
        kinds = {Start: "start", Serve: "serve", Drain: "drain", End: "end", Refused: "refused"}
        return [f"{kinds[type(each)]} {each.generation.number}" for each in decisions]

    def enable(self, code: Code | None = None) -> list[str]:
        return self.words(self.life.enable(code or self.one, self.now))

    def reload(self, code: Code | None = None) -> list[str]:
        return self.words(self.life.reload(code or self.two, self.now))

    def disable(self) -> list[str]:
        return self.words(self.life.disable(self.now))

    def tick(self, wait_s: float = 0.0) -> list[str]:
        self.now += wait_s
        return self.words(self.life.tick(self.now))

    def ready(self, number: int, **services: set[str]) -> list[str]:
        return self.words(self.life.ready(self.known[number], self.now, **services))

    def failed(self, number: int) -> list[str]:
        return self.words(self.life.boot_failed(self.known[number], "bad code", self.now))

    def drained(self, number: int) -> list[str]:
        return self.words(self.life.drained(self.known[number], self.now))

    def gone(self, number: int) -> list[str]:
        return self.words(self.life.gone(self.known[number], "died", self.now))

    @property
    def serving(self) -> str | None:
        return self.life.serving and self.life.serving.code.name


def running(overlap: bool = True) -> World:
    world = World(overlap)
    assert world.enable() == ["start 1"]
    assert world.life.status is Status.STARTING
    assert world.ready(1) == ["serve 1"]
    assert world.life.status is Status.SERVING
    return world


def test_a_reload_side_by_side() -> None:
    """The old one serves until the new one is ready, then finishes what it has."""
    world = running()
    assert world.reload() == ["start 2"]
    assert (world.serving, world.life.status) == ("one", Status.RELOADING)
    assert not world.life.holds
    assert world.ready(2) == ["serve 2", "drain 1"]
    assert world.serving == "two"
    assert world.drained(1) == ["end 1"]
    assert world.gone(1) == []
    assert (world.life.status, world.life.failure) == (Status.SERVING, "")


def test_a_reload_of_one_writer() -> None:
    """The new one starts when the old one's process is gone; what comes meanwhile waits."""
    world = running(overlap=False)
    assert world.reload() == ["drain 1"]
    assert world.life.holds
    assert world.life.status is Status.RELOADING
    assert world.drained(1) == ["end 1"]
    assert world.gone(1) == ["start 2"]
    assert world.life.holds
    assert world.ready(2) == ["serve 2"]
    assert not world.life.holds
    assert world.serving == "two"


@pytest.mark.parametrize(("old", "new"), [(True, False), (False, True)])
def test_either_code_may_want_to_be_alone(old: bool, new: bool) -> None:
    """One of two that cannot share is enough."""
    world = World()
    world.enable(Code(overlap=old))
    world.ready(1)
    assert world.reload(Code(overlap=new)) == ["drain 1"]


def test_a_new_generation_that_fails() -> None:
    """What served before it serves on, and nothing is tried again by itself."""
    world = running()
    world.reload()
    assert world.failed(2) == ["end 2", "refused 2"]
    assert world.gone(2) == []
    assert (world.serving, world.life.failure, world.life.retry_at) == ("one", "bad code", None)


def test_a_new_generation_that_dies_while_it_boots() -> None:
    """Likewise."""
    world = running()
    world.reload()
    assert world.gone(2) == ["refused 2"]
    assert world.serving == "one"


def test_one_writer_whose_new_code_fails() -> None:
    """The old code is started again at once, and what waits waits for it."""
    world = running(overlap=False)
    world.reload()
    world.drained(1)
    world.gone(1)
    assert world.failed(2) == ["end 2", "refused 2"]
    assert world.life.holds
    assert world.gone(2) == ["start 3"]
    assert world.ready(3) == ["serve 3"]
    assert world.serving == "one"


def test_one_writer_whose_old_code_fails_too() -> None:
    """Then it backs off with the code that has served, and nobody waits."""
    world = running(overlap=False)
    world.reload()
    world.drained(1)
    world.gone(1)
    world.gone(2)
    assert world.gone(3) == ["refused 3"]
    assert (world.life.status, world.life.holds) == (Status.BACKING_OFF, False)
    assert world.tick(1.0) == ["start 4"]
    assert world.known[4].code is world.one


@pytest.mark.parametrize("overlap", [True, False])
def test_services_that_are_used(overlap: bool) -> None:
    """A new generation that lacks one is refused; what is not used may go."""
    world = running(overlap)
    world.reload()
    if not overlap:
        world.drained(1)
        world.gone(1)
    assert world.ready(2, offers={"mail"}, needed={"kv"}) == ["end 2", "refused 2"]
    assert world.gone(2) == ([] if overlap else ["start 3"])
    if not overlap:
        assert world.ready(3, offers=set(), needed={"kv"}) == ["serve 3"], "there is no other"
    assert world.serving == "one"


def test_deaths() -> None:
    """It is started again after 1 s, 2 s, 4 s ... 60 s, and is away meanwhile."""
    world = running()
    waits = []
    number = 1
    for _ in range(8):
        assert world.gone(number) == []
        assert world.life.status is Status.BACKING_OFF
        assert not world.life.holds
        assert world.life.retry_at is not None
        waits.append(world.life.retry_at - world.now)
        assert world.tick() == []
        number += 1
        assert world.tick(waits[-1]) == [f"start {number}"]
        assert world.ready(number) == [f"serve {number}"]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    world.now += 60
    world.gone(number)
    assert world.life.retry_at == world.now + 1


def test_a_first_start_that_fails() -> None:
    """There is nothing before it: it is tried again."""
    world = World()
    world.enable()
    assert world.failed(1) == ["end 1", "refused 1"]
    assert (world.life.status, world.life.failure) == (Status.BACKING_OFF, "bad code")
    assert world.gone(1) == []
    assert world.tick(1.0) == ["start 2"]


def test_one_writer_that_takes_long_to_end() -> None:
    """Its successor waits for the process to be gone, though its time has come."""
    world = World(overlap=False)
    world.enable()
    world.failed(1)
    assert world.tick(5.0) == []
    assert world.gone(1) == ["start 2"]


def test_a_reload_ends_a_back_off() -> None:
    """New code is tried at once."""
    world = running()
    world.gone(1)
    assert world.reload() == ["start 2"]
    assert world.life.retry_at is None
    assert world.ready(2) == ["serve 2"]
    assert world.serving == "two"


def test_the_old_one_dies_while_the_new_one_boots() -> None:
    """The new one is as good as a restart."""
    world = running()
    world.reload()
    assert world.gone(1) == []
    assert world.life.retry_at is None
    assert world.ready(2) == ["serve 2"]


def test_the_old_one_dies_and_the_new_one_fails() -> None:
    """What has served before is tried again."""
    world = running()
    world.reload()
    world.gone(1)
    assert world.gone(2) == ["refused 2"]
    assert world.tick(1.0) == ["start 3"]
    assert world.known[3].code is world.one


def test_the_only_writer_dies_while_it_drains() -> None:
    """The new one starts at once."""
    world = running(overlap=False)
    world.reload()
    assert world.gone(1) == ["start 2"]


def test_a_second_reload() -> None:
    """What boots is given up for newer code, and cannot come to serve any more."""
    world = running()
    world.reload()
    three = Code("three")
    assert world.reload(three) == ["refused 2", "end 2", "start 3"]
    assert world.ready(2) == []
    assert world.ready(3) == ["serve 3", "drain 1"]
    assert world.gone(2) == []
    assert world.serving == "three"


def test_a_second_reload_of_one_writer() -> None:
    """Only the newest code is started."""
    world = running(overlap=False)
    world.reload()
    three = Code("three", overlap=False)
    assert world.reload(three) == []
    world.drained(1)
    assert world.gone(1) == ["start 2"]
    assert world.known[2].code is three


def test_disable_and_enable() -> None:
    """What runs finishes; enabled again meanwhile, another process starts beside it."""
    world = running()
    assert world.disable() == ["drain 1"]
    assert world.life.status is Status.STOPPING
    assert world.enable() == ["start 2"]
    assert world.drained(1) == ["end 1"]
    assert world.ready(2) == ["serve 2"]
    assert world.gone(1) == []
    assert world.disable() == ["drain 2"]
    world.drained(2)
    world.gone(2)
    assert world.life.status is Status.DISABLED
    assert world.reload() == []


def test_disable_while_it_boots() -> None:
    """What comes of the boot does not matter any more."""
    world = World()
    world.enable()
    assert world.disable() == ["end 1"]
    assert world.ready(1) == []
    assert world.failed(1) == []
    assert world.gone(1) == []
    assert world.life.status is Status.DISABLED


def test_disable_while_it_backs_off() -> None:
    """Nothing is started any more."""
    world = running()
    world.gone(1)
    assert world.disable() == []
    assert world.tick(100.0) == []
    assert world.life.status is Status.DISABLED


def test_an_event_without_an_entry_raises() -> None:
    """A bug does not go unseen."""
    generation = Generation(1, Code())
    with pytest.raises(LifecycleError):
        generation.meet(Event.DRAIN)
    assert set(TRANSITIONS) == set(Phase) - {Phase.GONE}


STEPS = st.lists(
    st.tuples(
        st.sampled_from("enable disable reload tick ready failed drained gone".split()),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_invariants(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever happens: one boots, one serves, one writer is alone, and it comes back."""
    world = World()
    for what, place, overlap in steps:
        world.now += 1.0
        alive = world.life.alive
        if what in ("enable", "reload"):
            getattr(world, what)(Code("x", overlap))
        elif what in ("disable", "tick"):
            getattr(world, what)()
        elif alive:
            generation = alive[place % len(alive)]
            if what == "ready" and not overlap:
                world.ready(generation.number, offers=set(), needed={"kv"})
            else:
                getattr(world, what)(generation.number)
        life = world.life
        phases = [each.phase for each in life.alive]
        assert phases.count(Phase.BOOTING) <= 1
        assert phases.count(Phase.SERVING) == (life.serving is not None)
        assert Phase.GONE not in phases
        if any(not each.code.overlap for each in life.alive):
            assert len(life.alive) == 1
        if life.status is Status.BACKING_OFF:
            assert life.serving is None
            assert not life.holds
    settle(world)


def settle(world: World) -> None:
    """An enabled plugin serves at last, and one that is not has no process."""
    for _ in range(20):
        world.tick(60.0)
        for each in list(world.life.alive):
            if each.phase is Phase.BOOTING:
                world.ready(each.number)
            elif each.phase is Phase.DRAINING:
                world.drained(each.number)
            elif each.phase is Phase.ENDING:
                world.gone(each.number)
    assert world.life.status in (Status.SERVING, Status.DISABLED)
    assert len(world.life.alive) == (world.life.status is Status.SERVING)
    assert not world.life.holds
