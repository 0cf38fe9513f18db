"""The scheduler's invariants over random sequences of events, with affinity in all apps."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from buntime.core.pool.workforce import Policy, PoolLimits
from tests.core.pool.test_scheduler import SchedulerMachine

POLICIES = st.builds(
    Policy,
    spare_key=st.just("python"),
    ttl_s=st.just(50.0),
    idle_timeout_s=st.sampled_from([2.0, 20.0]),
    max_requests=st.sampled_from([2, 100]),
    workers=st.integers(1, 2),
    prewarm=st.just(0),
    timeout_s=st.just(30.0),
    is_exempt=st.just(False),
    is_single=st.just(False),
    affinity_s=st.sampled_from([4.0, 40.0]),
)


class SessionsMachine(SchedulerMachine):
    """With room in the pool for workers that stay, and frequent replacements."""

    @initialize(
        size=st.sampled_from([2, 3, 4, 10]), policies=st.lists(POLICIES, min_size=1, max_size=2)
    )
    def begin(self, size: int, policies: list[Policy]) -> None:
        pool = PoolLimits(size, 1, 1, 3, 0, 4)
        self.begin_with(pool, policies)
        self.replace_all(capacity=1)

    @rule(capacity=st.integers(1, 2))
    def replace_all(self, capacity: int) -> None:
        """Each app has a request, and each worker is replaced by another one that loads."""
        for app in self.apps:
            self.ask(app)
        self.load_all(capacity)
        for worker in sorted(self.in_hand):
            self.carry_out(self.scheduler.recycle(worker, self.now))
        self.load_all(capacity)

    @rule(data=st.data())
    def clients_come_back(self, data: st.DataObject) -> None:
        for _ in range(3 if self.in_hand else 0):
            self.client_comes_back(data)

    def load_all(self, capacity: int) -> None:
        for worker in sorted(self.loading):
            self.loading.remove(worker)
            self.starting.discard(worker)
            self.carry_out(self.scheduler.loaded(worker, capacity, self.now))


TestSessions = SessionsMachine.TestCase
TestSessions.settings = settings(stateful_step_count=40)
