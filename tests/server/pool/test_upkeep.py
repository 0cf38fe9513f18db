"""What is done about workers that have grown, and about those that take long to leave."""

from __future__ import annotations

from typing import Any, cast

from buntime.core.pool.decisions import Adopt, Decision
from buntime.core.pool.lifecycle import State
from buntime.core.telemetry.meters import Cause
from buntime.server.pool.upkeep import Upkeep
from tests.support.deployed import World
from tests.support.fakes import FakeSupervisor, FakeWorker, make_log

MIB = 1024 * 1024
SERVICE_RESTART = 1012


class Kept:
    """An app with one loaded worker, and its upkeep."""

    def __init__(
        self, *, is_development: bool = False, ttl_s: float = 60.0, affinity: str = "none"
    ) -> None:
        self.world = World()
        self.app = self.world.proven(ttl_s=ttl_s, affinity=affinity)
        self.state = self.world.current(self.app).state
        number = max(self.state.workers)
        self.supervisor = FakeSupervisor()
        self.worker = FakeWorker(number, make_log(self.world.sink), self.app)
        self.supervisor.workers[number] = self.worker
        self.decisions: list[Decision] = []
        self.upkeep = Upkeep(
            self.world.scheduler,
            cast(Any, self.supervisor),
            is_development=is_development,
            carry_out=self.decisions.extend,
        )

    @property
    def now(self) -> float:
        return self.world.loop.now

    def look(self, after_s: float = 0.0) -> None:
        self.world.loop.now += after_s
        self.upkeep.look(self.now)

    def retire(self) -> None:
        """Give the worker a request that does not end, and retire it."""
        self.world.scheduler.submit(self.state, "ticket", self.now)
        self.world.scheduler.retire(self.worker.number)
        assert self.state.workers[self.worker.number].state is State.RETIRING


def test_a_worker_within_its_memory_is_left_alone() -> None:
    """Nothing happens up to maxMemory, and orphans are looked for each time."""
    kept = Kept()
    kept.worker.memory_max_bytes = 100 * MIB
    kept.worker.process.size_bytes = 100 * MIB
    kept.look()
    assert (kept.decisions, kept.supervisor.killed, kept.supervisor.sweeps) == ([], [], 1)


def test_a_worker_without_a_limit_may_have_any_size() -> None:
    """Without maxMemory the worker's size is not even read."""
    kept = Kept()
    kept.worker.process.size_bytes = 10**12
    kept.look()
    assert (kept.decisions, kept.supervisor.killed) == ([], [])


def test_a_worker_above_its_memory_is_replaced() -> None:
    """Its replacement is started once, and the log says why."""
    kept = Kept()
    kept.world.scheduler.submit(kept.state, "ticket", kept.now)  # the app is in use
    kept.worker.memory_max_bytes = 100 * MIB
    kept.worker.process.size_bytes = 101 * MIB
    kept.look()
    kept.look()
    assert [type(each) for each in kept.decisions].count(Adopt) == 1
    assert kept.world.sink.events() == ["worker.memory_exceeded"]
    assert kept.world.sink.records[-1].fields == {"size": "101mb", "limit": "100mb"}
    assert kept.supervisor.killed == []
    [(_, cause, why)] = kept.supervisor.reasons
    assert (cause, why) == (Cause.ENDED, "it had 101mb, more than maxMemory, 100mb")


def test_a_worker_far_above_its_memory_is_killed() -> None:
    """Above one and a half of maxMemory there is no time to wait for a replacement."""
    kept = Kept()
    kept.worker.memory_max_bytes = 100 * MIB
    kept.worker.process.size_bytes = 151 * MIB
    kept.look()
    assert kept.supervisor.killed == [(kept.worker.name, Cause.MEMORY)]
    assert kept.world.sink.events() == ["worker.memory_killed"]


def test_a_process_of_a_worker_that_needed_too_much_memory() -> None:
    """The kernel has killed a process of the worker; the worker continues, and the log says so."""
    kept = Kept()
    kept.supervisor.groups.found.add(kept.worker.number)
    kept.look()
    assert kept.supervisor.killed == []
    assert kept.world.sink.events() == ["worker.child_out_of_memory"]


def test_streams_may_keep_a_leaving_worker_for_another_ttl() -> None:
    """The extra ttl counts from when the worker was first seen leaving; a worker that stays keeps
    its streams."""
    kept = Kept(ttl_s=60.0)
    kept.look(1000.0)
    kept.retire()
    kept.look()
    kept.look(59.0)
    assert kept.worker.codes == []
    kept.look(1.0)
    assert kept.worker.codes == [SERVICE_RESTART]


def test_in_development_streams_end_at_once() -> None:
    """A page with a stream reconnects, and gets the new code."""
    kept = Kept(is_development=True)
    kept.retire()
    kept.look()
    assert kept.worker.codes == [SERVICE_RESTART]


def test_streams_end_with_the_time_for_sessions() -> None:
    """If a worker has stayed for its sessions, its streams do not keep it for another ttl."""
    kept = Kept(affinity="cookie")
    kept.world.scheduler.submit(kept.state, "ticket", kept.now)
    assert kept.world.scheduler.drop_app(kept.state, kept.now, is_replaced=True) == []
    kept.look(3599.0)
    assert kept.worker.codes == []
    assert kept.world.scheduler.tick(kept.now + 1.0) == []
    kept.look(1.0)
    assert kept.worker.codes == [SERVICE_RESTART]
