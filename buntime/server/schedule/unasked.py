"""What apps do without being asked, put together."""

from collections.abc import Callable, Iterable
from time import time

from buntime.core.settings.live import LiveSettings
from buntime.server.schedule.cron import Cron
from buntime.server.schedule.ground import Ground
from buntime.server.schedule.keeping import Keeping
from buntime.server.schedule.processes import Processes
from buntime.server.schedule.roll import TICK_S, Roll
from buntime.server.state.statedb import StateDb

FollowNames = Callable[[Callable[[Iterable[str]], None]], None]


class Unasked:
    """Who does something unasked, and the jobs and processes of all of them."""

    def __init__(
        self,
        ground: Ground,
        live: LiveSettings,
        db: StateDb,
        *,
        follow: FollowNames,
        wall: Callable[[], float] = time,
    ) -> None:
        """`follow` has a function called with the names of apps whose folders have changed."""
        self._ground = ground
        self._loop = ground.service.loop
        self._log = ground.service.log
        self._has_told = False
        self.roll = Roll(self._loop, ground.catalog, ground.pool.deployments)
        follow(self.roll.changed)
        self.cron = Cron(
            ground, live, self.roll, Keeping(db, warn=self._log.warn, wall=wall), wall=wall
        )

        self.processes = Processes(ground, live, self.roll)

    def __repr__(self) -> str:
        return f"Unasked({self.roll!r}, {self.cron!r})"

    @property
    def trouble(self) -> str:
        """Why nothing is done here; "" where it is."""
        return self._ground.state.trouble

    def start(self) -> None:
        """Begin to look."""
        self.cron.start()
        self._tick()

    def _tick(self) -> None:
        if self._ground.service.is_draining:
            self.cron.close()
            self.processes.close()
            return
        self._loop.call_later(TICK_S, self._tick)
        self.roll.look()
        if self._ground.state.trouble:
            self._tell()
        else:
            self.cron.look()
            self.processes.look()

    def _tell(self) -> None:
        """Say once that nothing is done here."""
        if self.roll.apps and not self._has_told:
            self._has_told = True
            self._log.warn(
                "cron.unavailable",
                "jobs and processes of apps do not run here: they take the state folder",
                error=self._ground.state.trouble,
                apps=sorted(self.roll.apps),
            )
