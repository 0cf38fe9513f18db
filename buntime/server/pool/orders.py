"""What operators can do with workers: replace one by a fresh one, end idle ones."""

from collections.abc import Callable

from buntime.core.pool.decisions import Decision
from buntime.core.pool.scheduler import Scheduler
from buntime.core.telemetry.meters import Cause
from buntime.server.loop.loop import Loop
from buntime.server.pool.deployments import Deployments
from buntime.server.pool.programs import KEPT, Program
from buntime.server.pool.supervisor import Supervisor


class Orders:
    """For single workers, and for all workers of an app."""

    def __init__(
        self,
        loop: Loop,
        scheduler: Scheduler,
        supervisor: Supervisor,
        deployments: Deployments,
        *,
        carry_out: Callable[[list[Decision]], None],
    ) -> None:
        self._loop = loop
        self._scheduler = scheduler
        self._supervisor = supervisor
        self._deployments = deployments
        self._carry_out = carry_out

    def recycle_worker(self, name: str) -> bool:
        """Replace this worker ("w3") by a fresh one; False if it has no app."""
        for number, worker in self._supervisor.workers.items():
            if worker.name == name and self._scheduler.workers[number].app is not None:
                worker.log.info("worker.recycled", "worker recycled by an operator")
                self._supervisor.will_end(worker, Cause.ENDED, "an operator recycled it")
                self._carry_out(self._scheduler.recycle(number, self._loop.now))
                return True
        for program in self._kept():
            if program.name == name:
                program.end()
                return True
        return False

    def recycle_app(self, name: str, key: str | None) -> list[str]:
        """The same for all workers and processes of an app, or of one version; their names."""
        found = [
            each for of_it in self._deployments.all_of(name, key) for each in of_it.state.workers
        ]
        names = [self._supervisor.workers[number].name for number in found]
        names += [
            each.name
            for each in self._kept()
            if each.app.name == name and key in (None, each.app.key)
        ]
        return [each for each in names if self.recycle_worker(each)]

    def _kept(self) -> list[Program]:
        """The processes of apps, which are restarted when they have ended."""
        running = self._supervisor.programs.running.values()
        return [program for program in running if program.label.startswith(KEPT)]

    def sleep_app(self, name: str, key: str | None) -> list[str]:
        """End the idle workers of an app, except those that must be kept ready; returns their
        names."""
        ended: list[str] = []
        for deployment in self._deployments.all_of(name, key):
            ends = self._scheduler.sleep(deployment.state)
            for end in ends:
                worker = self._supervisor.workers[end.worker]
                self._supervisor.will_end(worker, Cause.ENDED, "an operator put the app to sleep")
                ended.append(worker.name)
            self._carry_out([*ends])
        return ended
