"""Jobs and processes of apps, put together."""

from collections.abc import Callable, Iterable
from functools import cached_property
from time import time
from typing import TYPE_CHECKING

from buntime.core.settings.live import LiveSettings
from buntime.server.schedule.ground import Ground
from buntime.server.schedule.roll import TICK_S, Roll
from buntime.server.state.statedb import StateDb

if TYPE_CHECKING:
    from buntime.core.schedule.keeper import FailingProcess
    from buntime.server.schedule.cron import Cron
    from buntime.server.schedule.processes import Processes

FollowNames = Callable[[Callable[[Iterable[str]], None]], None]


class Unasked:
    """The apps that have jobs or processes, and all of these.

    Both parts are made when the first app has some, or somebody asks for them.
    """

    def __init__(
        self,
        ground: Ground,
        live: LiveSettings,
        db: StateDb,
        *,
        follow: FollowNames,
        wall: Callable[[], float] = time,
    ) -> None:
        """`follow` takes a function that is called with the names of apps whose folders have
        changed."""
        self._ground = ground
        self._loop = ground.service.loop
        self._log = ground.service.log
        self._has_logged = False
        self.roll = Roll(self._loop, ground.catalog, ground.pool.deployments)
        follow(self.roll.changed)
        self._live, self._db, self._wall = live, db, wall
        self._has_started = False
        self.roll.follow(self._make)

    def __repr__(self) -> str:
        return f"Unasked({self.roll!r})"

    @cached_property
    def cron(self) -> "Cron":
        """The jobs."""
        # Most starts serve apps without any.
        from buntime.server.schedule.cron import Cron
        from buntime.server.schedule.keeping import Keeping  # the same

        keeping = Keeping(self._db, warn=self._log.warn, wall=self._wall)
        made = Cron(self._ground, self._live, self.roll, keeping, wall=self._wall)
        if self._has_started:
            made.start()
        return made

    @cached_property
    def processes(self) -> "Processes":
        """The programs that run all the time."""
        # The same.
        from buntime.server.schedule.processes import Processes

        return Processes(self._ground, self._live, self.roll)

    def failing(self) -> "list[FailingProcess]":
        """The processes that do not stay up."""
        return self.processes.failing() if "processes" in vars(self) else []

    @property
    def _is_made(self) -> bool:
        return {"cron", "processes"} <= vars(self).keys()

    def _make(self) -> None:
        """There are apps with jobs or processes: the roll, which reports it, tells these two
        next."""
        self.cron  # noqa: B018  # what is asked for is made
        self.processes  # noqa: B018

    def look(self, then: Callable[[], None]) -> None:
        """Look at what has changed without waiting for a tick; then all jobs are known."""
        self.roll.look_again()
        if self._has_started:
            self.cron.know(then)
        else:
            then()

    @property
    def trouble(self) -> str:
        """Why nothing runs here by itself; "" if it does."""
        return self._ground.state.trouble

    @property
    def runs_when_asked(self) -> bool:
        """Whether a job may run on request. Another runtime that holds the state would not know of
        it."""
        return not self.trouble or self._ground.state.is_off

    def start(self) -> None:
        """Begin to look."""
        self._has_started = True
        if "cron" in vars(self):
            self.cron.start()
        self._tick()

    def _tick(self) -> None:
        if self._ground.service.is_draining:
            if self._is_made:
                self.cron.close()
                self.processes.close()
            return
        self._loop.call_later(TICK_S, self._tick)
        self.roll.look()
        if self._ground.state.trouble:
            self._tell()
        elif self._is_made:
            self.cron.look()
            self.processes.look()

    def _tell(self) -> None:
        """Log once that nothing runs here."""
        if self.roll.apps and not self._has_logged:
            self._has_logged = True
            state, apps = self._ground.state, sorted(self.roll.apps)
            if state.is_off:
                self._log.info(
                    "cron.off",
                    "jobs run when somebody asks for them, and processes of apps do not, as each "
                    "replica would run all of them: RUNTIME_STATE is none",
                    apps=apps,
                )
                return
            self._log.warn(
                "cron.unavailable",
                "jobs and processes of apps do not run here: they need the state folder",
                error=state.trouble,
                apps=apps,
            )
