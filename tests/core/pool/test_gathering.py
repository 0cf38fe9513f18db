"""Which requests wait for their bodies, and which go on without."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from buntime.core.pool.gathering import MEMORY_MAX_BYTES, SPACING_S, Gathering


def test_half_of_the_slots_are_for_those_that_lack_nothing() -> None:
    """Requests whose body is incomplete may take fewer than half of the slots."""
    gathering = Gathering()
    lacking = {"a", "b", "c"}
    for request in sorted(lacking):
        gathering.take(request, 10)
    went = []
    for now, request in enumerate("abc"):
        if gathering.may_go(4, lacking.__contains__, now):
            gathering.let_go(request, now)
            went.append(request)
    assert (went, gathering.size_bytes) == (["a", "b"], 10)
    lacking.remove("a")
    assert gathering.may_go(4, lacking.__contains__, 3)


def test_one_may_always_go() -> None:
    """One may always go, even if half of the slots is none."""
    assert Gathering().may_go(1, lambda _: True, 0)


def test_those_that_lack_some_go_one_after_the_other() -> None:
    """Requests with incomplete bodies start at intervals even with free slots: each takes a
    spare."""
    gathering = Gathering()
    gathering.take("a", 10)
    gathering.let_go("a", 5.0)
    assert not gathering.may_go(8, lambda _: True, 5.0 + SPACING_S * 0.9)
    assert gathering.may_go(8, lambda _: True, 5.0 + SPACING_S)


def test_memory_is_bounded() -> None:
    """The memory for all bodies together is bounded; half of it already counts as pressure."""
    gathering = Gathering()
    assert gathering.take("a", MEMORY_MAX_BYTES // 2)
    assert not gathering.is_pressed
    assert gathering.take("b", MEMORY_MAX_BYTES // 2)
    assert gathering.is_pressed
    assert not gathering.take("c", 1)
    gathering.drop("b")
    assert gathering.take("c", 2)


class GatheringMachine(RuleBasedStateMachine):
    """Bodies arrive, pause, end and are given up in any order."""

    @initialize(slots=st.integers(1, 9))
    def begin(self, slots: int) -> None:
        self.slots = slots
        self.gathering = Gathering()
        self.waiting: dict[int, int] = {}
        self.lacking: set[int] = set()
        self.last = 0
        self.now = 0.0

    @rule(size=st.integers(0, 1000))
    def comes(self, size: int) -> None:
        self.last += 1
        self.waiting[self.last] = size
        assert self.gathering.take(self.last, size)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), size=st.integers(0, 1000))
    def more(self, data: st.DataObject, size: int) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        self.waiting[request] += size
        self.gathering.take(request, self.waiting[request])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def is_over(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[request]
        self.gathering.drop(request)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def pauses(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        self.now += SPACING_S
        may_go = self.gathering.may_go(self.slots, self.lacking.__contains__, self.now)
        assert may_go == (len(self.lacking) < max(1, self.slots // 2))
        if may_go:
            del self.waiting[request]
            self.lacking.add(request)
            self.gathering.let_go(request, self.now)

    @precondition(lambda self: self.lacking)
    @rule(data=st.data())
    def has_all(self, data: st.DataObject) -> None:
        self.lacking.remove(data.draw(st.sampled_from(sorted(self.lacking))))

    @invariant()
    def it_counts_right(self) -> None:
        if hasattr(self, "gathering"):
            assert self.gathering.size_bytes == sum(self.waiting.values())
            assert len(self.gathering) == len(self.waiting)
            assert len(self.lacking) <= max(1, self.slots // 2)


TestGathering = GatheringMachine.TestCase
TestGathering.settings = settings(stateful_step_count=30)
