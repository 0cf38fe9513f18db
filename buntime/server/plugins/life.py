"""The life of one plugin: it is started, replaced by another state of its code, ended.

A *generation* is one start of it. One serves, and one may be coming: it loads its code beside the
one that serves, and replaces it when it is READY and offers what it must. One that fails is
dropped, and the previous one keeps serving.

    start ── interpreter found ─┬─ nothing serves: it is put on, and serves once it is READY
                                ├─ overlap:       it loads beside, and is put on when it is READY
                                └─ no overlap:    it is put on and waits for the end of the old one;
                                                  where it fails, the old code is put on again

The generation that is *put on* gets the requests for the plugin's pages, once it has loaded. The
one that *serves* has loaded, and defines the plugin for everybody else. The two differ while a
plugin without overlap changes. Hooks and calls wait meanwhile (`is_changing`), but only until the
old code has failed as well: nothing waits for a back-off.

`Plugins` decides whether it should run. Its worker belongs to the pool: a death is reported here,
and the pool starts another one when it is no longer held back.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count

from buntime.core.errors import ManifestError
from buntime.core.plugins.code import ON_SERVER_START, Code, read_code, what_is_missing
from buntime.core.pool.workforce import backoff_s
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.changes import files_below
from buntime.server.loop.loop import Loop
from buntime.server.plugins.asker import LifeHook
from buntime.server.plugins.found import Found
from buntime.server.plugins.generation import Generation
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.pool import Pool
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.telemetry.logs import Log
from buntime.wire import Message

_LIVELY_S = 60.0  # after living this long, a death does not count as a repeated one
_UNFIT_S = 60.0  # until the interpreter is looked for again after a failure
_HOOK_S = 30.0  # that on_server_start may take


class Surroundings(NamedTuple):
    """What the lives of all plugins share."""

    loop: Loop
    pool: Pool
    interpreters: Interpreters
    log: Log
    numbers: "count[int]"  # of generations
    changed: Callable[[], None]  # something of a plugin has changed
    used_of: Callable[[str], Iterable[str]]  # services of a plugin that running plugins use
    started: Callable[["Generation", Worker], None]  # it serves, and on_server_start is over
    meters: PluginMeters


class Life:
    """One plugin that runs or should run."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self.serving: Generation | None = None
        self.coming: Generation | None = None
        self.failure = ""  # why the last start, or the last worker, came to nothing
        self._around = around
        self._log = around.log.child(plugin=name)
        self._meter = around.meters.of(name)
        self.tried: Found | None = None  # what was started last, and when its code was read
        self.tried_ns = 0
        self.tried_files: frozenset[str] | None = None  # once they are known
        self._deaths = 0  # in a row
        self._is_wanted = False  # it is needed, and its interpreter is not known yet
        self._rests_until_s = 0.0  # if it is lazy, after a failure
        self._is_down = False  # it has died, or the serving code no longer loads
        self._put_on: Deployment | None = None
        self._has_gone_back = False  # and has not loaded yet

    def __repr__(self) -> str:
        return f"Life({self.name}, {self.serving}, {self.coming})"

    # Questions

    @property
    def worker(self) -> Worker | None:
        """The worker that serves now."""
        worker = self.serving.worker if self.serving is not None else None
        return worker if worker is not None and self._around.pool.takes_work(worker) else None

    @property
    def is_starting(self) -> bool:
        """Is there something that still has to load, and has not failed?"""
        if self.coming is not None:
            return True
        serving = self.serving
        return (
            serving is not None
            and serving.worker is None
            and not self.failure
            and not serving.is_lazy
        )

    @property
    def has_served(self) -> bool:
        """Whether there is code that has loaded once, even if it is away now."""
        return self.serving is not None and self.serving.has_loaded

    @property
    def is_changing(self) -> bool:
        """Has it served, and will it serve again in a moment, because its process ends for
        another?"""
        return self.has_served and not self._is_down and self.worker is None

    @property
    def is_met(self) -> bool:
        """Whether plugins that need it may start: it serves, or will as soon as it is needed."""
        return self.has_served or (self.serving is not None and self.serving.is_lazy)

    # What is asked for

    def start(self, found: Found) -> None:
        """Make it run the code of `found` instead of what serves."""
        self.failure, self._is_wanted = "", False
        self.tried, self.tried_ns, self.tried_files = found, time.time_ns(), None
        self._start(found)

    def _start(self, found: Found) -> None:
        self._give_up_coming()
        coming = self.coming = Generation(next(self._around.numbers), found)
        app = found.app
        if app is None:
            raise AssertionError(f"{found!r} has no code to start")
        interpreters = self._around.interpreters

        def find() -> tuple[Interpreter, frozenset[str] | None]:
            return interpreters.find(app), files_below(found.folder, found.watching)

        self._around.loop.run_blocking(find, lambda result: self._on_found(coming, result))

    def stop(self) -> None:
        """End it: what it has in hand is finished, on_shutdown runs."""
        self._give_up_coming()
        self.failure, self._deaths = "", 0
        serving, self.serving = self.serving, None
        self._take_off()
        if serving is not None:
            self._log.info("plugin.stopped", "plugin stopped", generation=serving.number)

    def wake(self) -> bool:
        """Start its worker if it has none because it was not needed yet.

        Returns whether it will serve soon: nothing should wait for a start after a failure.
        """
        serving = self.serving
        self._is_wanted = serving is None
        rests = self.failure and self._around.loop.now < self._rests_until_s
        if serving is not None and serving.is_lazy and serving.worker is None and not rests:
            if serving.deployment is not None:
                self._around.pool.deployments.try_out(serving.deployment)
            return True
        return self.is_starting or self.is_changing

    # What happens

    def _on_found(
        self,
        coming: Generation,
        result: tuple[Interpreter, frozenset[str] | None] | BaseException,
    ) -> None:
        if isinstance(result, BaseException):
            self._on_interpreter(coming, result)
            return
        interpreter, files = result
        if coming.found is self.tried:
            self.tried_files = files
        self._on_interpreter(coming, interpreter)

    def _on_interpreter(self, coming: Generation, result: Interpreter | BaseException) -> None:
        app = coming.found.app
        if self.coming is not coming or app is None:
            return  # it was given up meanwhile
        if not isinstance(result, Interpreter):
            self._fail(coming, f"cannot be started: {result}")
            self._around.loop.call_later(_UNFIT_S, lambda: self._start_again(coming.found))
            if not isinstance(result, ManifestError):
                raise result
            return
        serving, deployments = self.serving, self._around.pool.deployments
        coming.interpreter = result
        if serving is not None and serving.has_loaded and serving.overlaps and coming.overlaps:
            coming.deployment = deployments.load_beside(app, result)
            return
        if serving is None or not serving.has_loaded:
            self.serving, self.coming = coming, None
            self._have_on(coming, loads=self._is_wanted or not coming.is_lazy)
        else:
            # Its worker ends. Reports of that concern a plugin that is no longer put on.
            serving.deployment = serving.worker = None
            self._is_down = self._has_gone_back = False
            self._have_on(coming, loads=True)
        self._around.changed()

    def on_loaded(self, generation: Generation, worker: Worker, message: Message) -> None:
        """A worker has loaded it. Raises ValueError if its message is invalid."""
        generation.since_s = self._around.loop.now
        try:
            code = read_code(message)
        except ValueError as exc:
            self.failure = f"breaks the protocol: {exc}"
            raise
        manifest = generation.found.manifest
        lack = "" if manifest is None else what_is_missing(code, manifest)
        is_coming = generation is self.coming
        if not lack and is_coming:
            lack = self._what_users_miss(code)
        if lack:
            self._fail(generation, f"cannot serve: {lack}")
            return
        if generation.has_loaded:  # another worker of the same code
            generation.number = next(self._around.numbers)
        generation.code, generation.has_loaded = code, True
        generation.worker = worker
        self._meter.starts_served += 1
        if not self._has_gone_back:  # else why it had to is told on
            self.failure = ""
        self._is_down = self._has_gone_back = False
        if is_coming:
            self.serving, self.coming = generation, None
            if generation.deployment is not None and generation.deployment is not self._put_on:
                self._put_on = generation.deployment
                self._around.pool.deployments.put_on(generation.deployment)
        self._log.info(
            "plugin.serving",
            "plugin serves",
            version=None if manifest is None else manifest.version,
            generation=generation.number,
            worker=worker.name,
            hooks=sorted(code.hooks),
            services=sorted(code.services),
        )
        started = partial(self._on_started, generation, worker)
        if ON_SERVER_START in code.hooks:
            meter = self._meter.hook(ON_SERVER_START)
            hook = LifeHook(self._around.loop, self._log, meter, ON_SERVER_START, _HOOK_S, started)
            hook.ask(worker)
        else:
            started()
        self._around.changed()

    def _on_started(self, generation: Generation, worker: Worker) -> None:
        if generation is self.serving and generation.worker is worker:
            self._around.started(generation, worker)

    def on_not_loaded(self, generation: Generation, why: str) -> None:
        """A worker could not load it; the pool tries again, if it is put on."""
        if generation is self.coming:
            self._fail(generation, f"failed to load: {why}")
            return
        self.failure, self._is_down = f"failed to load: {_first_line(why)}", True
        self._deaths += 1
        self._rests_until_s = self._around.loop.now + backoff_s(self._deaths)
        self._tell_of_failed_start(generation, why)
        self._around.changed()

    def on_gone(
        self, generation: Generation, worker: Worker, how: str, *, was_ordered: bool = False
    ) -> None:
        """A worker that had loaded it has ended, though it should run.

        If it `was_ordered` to end, and did, another one starts. One that broke the protocol or was
        stuck is killed instead.
        """
        if generation is self.coming:
            self._fail(generation, self.failure or f"died: {how}")
            return
        if generation.worker not in (worker, None):
            return  # another one has taken its place
        generation.worker = None
        if was_ordered:
            self._around.changed()
            return
        self._meter.deaths += 1
        lived_s = self._around.loop.now - generation.since_s
        self._deaths = 1 if lived_s >= _LIVELY_S else self._deaths + 1
        seconds = backoff_s(self._deaths)
        self._rests_until_s = self._around.loop.now + seconds
        self.failure, self._is_down = self.failure or f"died: {how}", True
        self._log.error(
            "plugin.died",
            "plugin died; restarting it",
            worker=worker.name,
            how=how,
            deaths=self._deaths,
            retry_s=seconds,
        )
        if generation.deployment is not None:
            self._around.pool.hold_back(generation.deployment, seconds)
        self._around.changed()

    # How it is done

    def generation_of(self, deployment: Deployment) -> Generation | None:
        """Which of the two has this deployment."""
        for generation in (self.serving, self.coming):
            if generation is not None and generation.deployment is deployment:
                return generation
        return None

    def _fail(self, generation: Generation, why: str) -> None:
        """It has failed for good: it is started again only when something has changed."""
        self.failure = _first_line(why)
        is_coming = generation is self.coming
        if is_coming and self.has_served:
            self._meter.starts_failed += 1
        if is_coming:
            self._give_up_coming()
        else:
            self.serving = None
            self._take_off()
        if self._is_to_go_back:
            self._tell_of_failed_start(generation, why)
            self._go_back()
        elif is_coming and self.has_served:
            self._log.error(
                "plugin.reload_failed",
                "new code failed; the previous code still serves",
                generation=generation.number,
                error=why,
            )
        else:
            self._tell_of_failed_start(generation, why)
        self._around.changed()

    def _tell_of_failed_start(self, generation: Generation, why: str) -> None:
        self._meter.starts_failed += 1
        self._log.error(
            "plugin.start_failed",
            "plugin cannot be started",
            generation=generation.number,
            error=why,
            hint=f"correct it, then: buntime plugins reload {self.name}",
        )

    def _give_up_coming(self) -> None:
        """Without overlap it stays put on until something else is, so waiting requests keep
        waiting."""
        coming, self.coming = self.coming, None
        deployment = coming.deployment if coming is not None else None
        if deployment is not None and deployment is not self._put_on:
            self._around.pool.deployments.drop(deployment)

    @property
    def _is_to_go_back(self) -> bool:
        """Has it served, and is other code put on that will not serve?"""
        return self.serving is not None and self.serving.deployment is not self._put_on

    def _go_back(self) -> None:
        """Put on again the code that has served."""
        if self.serving is not None:
            self._log.warn("plugin.going_back", "going back to the previous code")
            self._has_gone_back = True
            self._have_on(self.serving, loads=True)

    def _have_on(self, generation: Generation, *, loads: bool) -> None:
        """Give it the plugin's requests from now on, including waiting ones."""
        app, interpreter = generation.found.app, generation.interpreter
        if app is None or interpreter is None:
            raise AssertionError(f"{generation!r} cannot be put on")
        pool = self._around.pool
        generation.deployment = pool.serve_instead(self._put_on, app, interpreter)
        self._put_on = generation.deployment
        if loads:
            pool.deployments.try_out(generation.deployment)

    def _take_off(self) -> None:
        put_on, self._put_on = self._put_on, None
        if put_on is not None:
            self._around.pool.deployments.take_off(put_on)

    def _start_again(self, found: Found) -> None:
        if self.coming is None and self.serving is None and self.failure:
            self.start(found)
            self._around.changed()

    def _what_users_miss(self, code: Code) -> str:
        missing = sorted(set(self._around.used_of(self.name)) - code.services.keys())
        return f"other plugins use its {missing[0]}, which it does not offer" if missing else ""


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:1000]
