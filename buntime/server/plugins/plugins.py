"""All plugins: which there are, which run, and what that means for requests.

    folders, config file ─> Found ─> start_order ─> Life of each ─> generations ─> plan, sites

Each is started when what it needs serves. What counts is that a guard is enabled, not that it runs:
what it covers is closed until it serves, and `plan` says so from the start on.

Used on the loop's thread; folders are looked at on another one, except for the first time.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from buntime.core.access.rules import Rule
from buntime.core.plugins.code import ON_SHUTDOWN
from buntime.core.plugins.keptoptions import KeptOptions
from buntime.core.plugins.plan import NO_PLUGINS, Plan
from buntime.core.plugins.services import ServiceFault, Services
from buntime.core.settings.live import LiveSettings
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.core.telemetry.pluginmetrics import PluginRow
from buntime.server.apps.changes import changed_since
from buntime.server.defence.configreading import ConfigReader
from buntime.server.loop.loop import Loop
from buntime.server.plugins.asker import LifeHook
from buntime.server.plugins.folders import folders_for
from buntime.server.plugins.generation import Generation
from buntime.server.plugins.life import Life, Surroundings
from buntime.server.plugins.look import ConfigLog, Look, Looker, tell_of_errors
from buntime.server.plugins.notices import Notices
from buntime.server.plugins.optionstore import OptionStore
from buntime.server.plugins.outlook import cookies_of, plan_of, services_of, sites_of
from buntime.server.plugins.parts import FIRST_START_S
from buntime.server.plugins.report import metrics_of
from buntime.server.plugins.roster import WORKERS_MOST, Roster
from buntime.server.plugins.sites import PluginSite
from buntime.server.plugins.switches import Switches
from buntime.server.pool.cores import cores
from buntime.server.pool.deployment import Deployment, caller_of
from buntime.server.pool.pool import Pool
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.state.statefolder import StateFolder
from buntime.server.telemetry.logs import Log
from buntime.wire import Message

_LOOK_S = 1.0  # in development: interval for checking for changes
_STARTS_PER_CORE = 2  # at once
_SHUTDOWN_S = 5.0  # that on_shutdown of one plugin may take


class Plugins:
    """Finds and runs plugins, and plans what they mean for requests. An `Onlooker` of the pool."""

    def __init__(
        self,
        loop: Loop,
        live: LiveSettings,
        log: Log,
        pool: Pool,
        interpreters: Interpreters,
        config: ConfigReader,
        *,
        state: StateFolder | None = None,
        bundled: Path | None = None,
    ) -> None:
        """`bundled` is the folder of the plugins that come with Buntime.

        Raises ConfigError where the config file has a fault.
        """
        settings = live.now
        self.plan: Plan = NO_PLUGINS
        self.cookies: Mapping[str, frozenset[str]] = {}  # of each plugin, by its name
        self.rules: Sequence[Rule] = ()  # operators' rules on who may reach which app
        self.services = Services()
        state = state or StateFolder.of(settings)
        self.roster = Roster(Switches(state, log.warn))
        self.options = OptionStore(state, log.warn)
        self._loop = loop
        self._live = live
        self._log = log
        self.folders = folders_for(settings, log.warn, bundled=bundled)
        self._looker = Looker(config.read(settings), config, self.folders)
        self.config_log = ConfigLog(log)
        self.meters = PluginMeters()
        self.notices = Notices(loop, self.roster, self.meters)
        self._around = Surroundings(
            loop,
            pool,
            interpreters,
            log,
            numbers=count(1),
            changed=self._on_change,
            used_of=self.roster.used_of,
            started=self.notices.join,
            meters=self.meters,
        )
        self._left_out: Mapping[str, str] = {}  # why each is left out, as the log has it
        self._sites: Mapping[str, PluginSite] = {}
        self._followers: list[Callable[[], None]] = [self.notices.on_plugins]
        self._to_restart: list[str] = []  # to be restarted at the next look
        self._is_look_due = False
        self.looks = self._looks_begun = 0  # the number of the last one that counts
        self._is_looking = self._is_due = self._is_closing = False

    def __repr__(self) -> str:
        return f"Plugins({self.roster!r})"

    @property
    def workers_most(self) -> int:
        """How many workers the running plugins may have, beside the pool's."""
        return WORKERS_MOST * len(self.roster.lives)

    # For requests

    def worker_of(self, name: str) -> Worker | None:
        """The worker of the generation that serves; None while it is away."""
        life = self.roster.lives.get(name)
        return life.worker if life is not None else None

    def wake(self, name: str) -> bool:
        """Start it if nothing has needed it yet; False if it will not serve soon."""
        life = self.roster.lives.get(name)
        return life is not None and life.wake()

    def is_changing(self, name: str) -> bool:
        """Will it serve in a moment, for the first time or again? Then requests for it wait."""
        life = self.roster.lives.get(name)
        return life is not None and (life.is_changing or self.roster.is_coming(name))

    def generation_of(self, name: str) -> int:
        """The number of the generation that serves, a new one at each start; 0 for none."""
        life = self.roster.lives.get(name)
        serving = life.serving if life is not None else None
        return serving.number if serving is not None and serving.has_loaded else 0

    def at_base(self, segment: str) -> PluginSite | None:
        """What a plugin has at "/" and this segment, or at `SIGN_IN`."""
        return self._sites.get(segment)

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when any of these may have changed."""
        self._followers.append(callback)

    def metrics(self) -> list[PluginRow]:
        """The values of all plugins, for metrics."""
        return metrics_of(self.roster, self.meters)

    # From outside

    def start(self) -> None:
        """Look for plugins, and start them. What they guard is closed from now on."""
        look = self._looker.first(self._live.now, self.options.now)
        self.roster.await_all(look.found)
        self._take(look, ())
        self._loop.call_later(FIRST_START_S, self._wait_no_longer)
        if self._live.now.is_development:
            self._loop.call_later(_LOOK_S, self._look_again)

    def _wait_no_longer(self) -> None:
        """From now on only guards are waited for at their first start."""
        self.roster.await_all({})
        self._tell_followers()

    def on_state(self) -> None:
        """The state folder was taken late: another runtime's operators may have switched some."""
        self.roster.switches.reread()
        self.options.reread()
        self._settle()
        self.reread(is_requested=False)

    def reread(self, *, is_requested: bool = True) -> int:
        """Look at folders and files again, and run what has changed.

        If an operator has asked, faults of the config file are reported again. Returns the number
        of the look that sees everything that is there now, see `looks`.
        """
        if is_requested:
            self.config_log.forget()
        if self._is_looking or self._is_closing:
            self._is_look_due = True  # this one may have missed what has changed since
            return self._looks_begun + 1
        self._is_looking, self._is_look_due = True, False
        self._looks_begun += 1
        to_restart, self._to_restart = self._to_restart, []
        settings, looker, kept = self._live.now, self._looker, self.options.now
        read = [
            (name, (life.tried.folder, life.tried_ns, life.tried_files, life.tried.watching))
            for name, life in self.roster.lives.items()
            if life.tried is not None
        ]

        def look() -> tuple[Look, list[str]]:
            changed = [name for name, known in read if changed_since(*known)]
            return looker.again(settings, kept), changed + to_restart

        self._loop.run_blocking(look, partial(self._on_look, kept))
        return self._looks_begun

    def reload(self, name: str, *, by: str) -> int:
        """Start it again, beside what serves: returns the number of the look with which that
        begins, 0 if it has no code that runs."""
        life, found = self.roster.lives.get(name), self.roster.found.get(name)
        if life is None or found is None or found.app is None:
            return 0
        self._log.info("plugin.reloading", "reloading a plugin", plugin=name, by=by)
        self._to_restart.append(name)
        return self.reread()

    def switch(self, name: str, *, enabled: bool, by: str) -> None:
        """Switch it on or off, from now on and after a restart. Raises ServerFault, KeyError."""
        before = self.roster.is_enabled(name)
        self.roster.switches.set(name, enabled=enabled, by=by)
        self._log.warn(
            "plugin.switched",
            "plugin switched by an operator",
            plugin=name,
            enabled=enabled,
            by=by,
            was_enabled=before,
        )
        self._settle()

    def reset(self, name: str, *, by: str) -> None:
        """Undo an operator's switch: config file or manifest decide again. Raises ServerFault."""
        before = self.roster.is_enabled(name)
        if self.roster.switches.reset(name):
            self._log.warn(
                "plugin.switch_taken_back",
                "an operator undid the switch of a plugin",
                plugin=name,
                enabled=self.roster.is_enabled(name),
                by=by,
                was_enabled=before,
            )
            self._settle()

    def close(self, then: Callable[[], None]) -> None:
        """Run on_shutdown in the reverse order of their start, then call `then`."""
        self._is_closing = True
        lives = [self.roster.lives.get(name) for name in self.roster.order.stop]
        left = iter([life for life in lives if life is not None])

        def go_on() -> None:
            for life in left:
                serving, worker = life.serving, life.worker
                if serving is None or worker is None or ON_SHUTDOWN not in serving.code.hooks:
                    continue
                log = self._log.child(plugin=life.name)
                meter = self.meters.of(life.name).hook(ON_SHUTDOWN)
                LifeHook(self._loop, log, meter, ON_SHUTDOWN, _SHUTDOWN_S, go_on).ask(worker)
                return
            then()

        go_on()

    # Onlooker

    def on_adopted(self, deployment: Deployment) -> None:
        """A worker is about to load an app that uses services: start their plugins."""
        caller = caller_of(deployment.app)
        for service in caller.uses:
            try:
                provider = self.services.provider_for(caller.name, caller.uses, service)
            except ServiceFault:
                continue  # its call will be told
            # A turn later: the pool is carrying out what its scheduler has decided.
            self._loop.call_soon(partial(self._have_ready, provider.plugin))

    def _have_ready(self, name: str) -> None:
        self.wake(name)

    def on_loaded(self, deployment: Deployment, worker: Worker, message: Message) -> None:
        """A worker has loaded its app. Raises ValueError if its message is invalid."""
        life, generation = self._generation_of(deployment)
        if life is not None and generation is not None:
            life.on_loaded(generation, worker, message)
        if not self._is_closing:
            self.notices.on_spawn(deployment, worker)

    def on_not_loaded(self, deployment: Deployment, why: str) -> None:
        """A worker could not load its app."""
        life, generation = self._generation_of(deployment)
        if life is not None and generation is not None:
            life.on_not_loaded(generation, why)

    def on_gone(
        self, deployment: Deployment, worker: Worker, how: str, *, was_ordered: bool
    ) -> None:
        """A worker that had loaded its app has ended."""
        life, generation = self._generation_of(deployment)
        self.notices.leave(worker)
        if life is not None and generation is not None:
            life.on_gone(generation, worker, how, was_ordered=was_ordered)
        if not self._is_closing:
            self.notices.on_terminate(deployment, worker, how, expected=was_ordered)

    def _generation_of(self, deployment: Deployment) -> tuple[Life | None, Generation | None]:
        plugin = deployment.app.plugin
        if plugin is None or self._is_closing:
            return None, None
        life = self.roster.lives.get(str(plugin["name"]))
        return life, life.generation_of(deployment) if life is not None else None

    # Folders

    def _look_again(self) -> None:
        if not self._is_closing:
            self.reread(is_requested=False)
            self._loop.call_later(_LOOK_S, self._look_again)

    def _on_look(self, kept: KeptOptions, result: tuple[Look, list[str]] | BaseException) -> None:
        self._is_looking = False
        if isinstance(result, BaseException):
            raise result
        if kept is not self.options.now:  # what it found is out of date
            self._to_restart += result[1]
            self._is_look_due = True
        elif not self._is_closing:
            self.looks = self._looks_begun
            self._take(*result)
        if self._is_look_due:
            self.reread(is_requested=False)

    def _take(self, look: Look, changed: Sequence[str]) -> None:
        """This was found; the files of the plugins in `changed` differ from what was loaded."""
        before, found = self.roster.found, look.found
        self.roster.found, self.roster.config = found, look.config
        self.config_log.tell(look)
        tell_of_errors(self._log, before, found)
        self._settle()
        for name, life in self.roster.lives.items():
            now, tried = found[name], life.tried
            is_other = tried is not None and (name in changed or not tried.starts_as(now))
            if now.app is not None and is_other:
                life.start(now)

    # Which run

    def _on_change(self) -> None:
        """Something about a plugin has changed: effective at once for requests, a turn later for
        other plugins."""
        self._tell_followers()
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        """Stop what should no longer run, and start what may now."""
        self._is_due = False
        if self._is_closing:
            return
        roster = self.roster
        before = roster.reorder()
        for name in (*before.stop, *sorted(roster.lives.keys() - set(before.start))):
            if name in roster.lives and not roster.may_run(name):
                roster.lives.pop(name).stop()
        for name in roster.order.start:
            if roster.found[name].app is not None and name not in roster.lives:
                roster.lives[name] = Life(name, self._around)
        self._tell_left_out()
        self._start_more()
        self._tell_followers()

    def _start_more(self) -> None:
        """Start those that may, a few at once."""
        roster, lives = self.roster, self.roster.lives
        new = [
            name
            for name in roster.order.start
            if name in lives and lives[name].tried is None and roster.found[name].app is not None
        ]
        ready = [name for name in new if roster.may_start(name)]
        if ready:  # the number of cores is read from files
            room = cores() * _STARTS_PER_CORE - sum(life.is_starting for life in lives.values())
            for name in ready[: max(0, room)]:
                lives[name].start(roster.found[name])

    def _tell_left_out(self) -> None:
        before, self._left_out = self._left_out, self.roster.order.left_out
        for name, why in self._left_out.items():
            is_reported = name in self.roster.lives or self.roster.found[name].error
            if before.get(name) == why or is_reported:
                continue
            if self.roster.found[name].is_bundled:  # another was preferred to it
                self._log.info("plugin.left_out", "plugin is not started", plugin=name, error=why)
            else:
                self._log.error("plugin.left_out", "plugin is not started", plugin=name, error=why)

    def _tell_followers(self) -> None:
        self.plan, self._sites = plan_of(self.roster), sites_of(self.roster)
        self.cookies, self.rules = cookies_of(self.roster), self.roster.config.access
        self.services = services_of(self.roster)
        for follower in self._followers:
            follower()
