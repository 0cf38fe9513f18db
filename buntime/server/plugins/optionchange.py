"""Changes of a plugin's options by operators, while it serves.

    check ─> write beside ─> a new generation with the new values ─┬─ serves: they are kept
                             (the old one serves meanwhile)        └─ fails:  refused, as before

So kept values have served once; a runtime that is killed in between starts with the previous
values. If a plugin does not serve, the values are kept at once: they may be what it lacks.

One change at a time. Used on the loop's thread. Imported when operators ask for a page.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from buntime.core.config.effect import Effect, effect_of
from buntime.core.errors import ClientFault, HttpError
from buntime.core.plugins.keptoptions import OfPlugin, changed
from buntime.core.plugins.schema import Schema
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import unknown_key
from buntime.server.deploys.course import Ask, Steps, Turns, in_thread, run
from buntime.server.loop.loop import Loop
from buntime.server.plugins.found import Found
from buntime.server.plugins.life import Life
from buntime.server.plugins.outcome import Outcomes
from buntime.server.plugins.plugins import Plugins
from buntime.server.telemetry.logs import Log

_TRY_S = 300.0  # limit for a generation with the new values to load, whatever the delay


class Wanted(NamedTuple):
    """A plugin's options as they will be once kept."""

    kept: OfPlugin
    effect: Effect


class OptionChanges:
    """Carries them out."""

    def __init__(self, loop: Loop, log: Log, plugins: Plugins, outcomes: Outcomes) -> None:
        self._loop = loop
        self._log = log
        self._plugins = plugins
        self._turns = Turns()
        self._outcomes = outcomes

    def __repr__(self) -> str:
        return f"OptionChanges({self._turns})"

    def wanted(self, name: str, changes: Mapping[str, object], by: str) -> Wanted:
        """The options that would result. Raises ClientFault: 400, 409, 422."""
        roster = self._plugins.roster
        found = roster.found[name]
        if found.manifest is None or found.is_last_good:
            raise ClientFault(409, "plugin_unreadable", f"{name} cannot be read: {found.error}")
        schema, before = found.manifest.config, self._plugins.options.of(name)
        _check(name, schema, changes)
        secrets = frozenset(each for each, kind in schema.items() if kind.is_secret)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        kept = changed(before, changes, secrets, by, at)
        effect = effect_of(roster.config, found.manifest, os.environ, kept)
        old = effect_of(roster.config, found.manifest, os.environ, before)
        new_lacks = [each for each in effect.options.lacks if each not in old.options.lacks]
        if new_lacks:
            raise ClientFault(422, "option_refused", "; ".join(new_lacks))
        return Wanted(kept, effect)

    def make(
        self,
        name: str,
        changes: Mapping[str, object],
        by: str,
        then: Callable[[BaseException | None], None],
    ) -> None:
        """Apply the changes; `then` gets what prevents it, or None when they are in effect."""
        run(self._make(name, changes, by, then))

    def _make(
        self,
        name: str,
        changes: Mapping[str, object],
        by: str,
        then: Callable[[BaseException | None], None],
    ) -> Steps:
        yield self._turns.take()
        fault: BaseException | None = None
        try:
            if name not in self._plugins.roster.found:
                raise ClientFault(404, "plugin_not_found", f"there is no plugin {name}")
            yield from self._change(name, self.wanted(name, changes, by))
            self._log.info(
                "plugin.options_set",
                "an operator set options of a plugin",
                plugin=name,
                by=by,
                options=sorted(changes),
            )
        except HttpError as exc:
            fault = exc
        except BaseException as exc:
            then(exc)
            raise
        finally:
            self._turns.leave()
        then(fault)

    def _change(self, name: str, wanted: Wanted) -> Steps:
        store = self._plugins.options
        before = store.now
        others = {each: of for each, of in before.items() if each != name}
        after = {**others, name: wanted.kept} if wanted.kept else others
        yield in_thread(self._loop, lambda: store.prepare(after))
        try:
            store.now = after  # looks at the folders meanwhile find these values
            failure = yield from self._try(name, wanted)
            if failure:
                raise ClientFault(422, "plugin_failed", failure)
            yield in_thread(self._loop, store.commit)
        except BaseException:
            store.now = before
            yield in_thread(self._loop, store.drop)
            raise
        finally:
            yield self._outcomes.of_next_look()

    def _try(self, name: str, wanted: Wanted) -> Generator[Ask, Any, str]:
        """If it serves, make it serve with the new values; returns why that fails."""
        roster = self._plugins.roster
        life, found = roster.lives.get(name), roster.found[name]
        trial = found.with_options(wanted.effect.options)
        if life is None or not life.has_served or found.app is None or trial.starts_as(found):
            return ""
        life.start(trial)
        failure: str = yield self._outcome(name, life, trial)
        if failure and life.serving is not None:
            life.tried = life.serving.found  # so that nothing restarts it with the previous values
        return failure

    def _outcome(self, name: str, life: Life, trial: Found) -> Ask:
        """Wait until it serves, "", or will not serve: the reason."""

        def look() -> str | None:
            serving = life.serving
            if self._plugins.roster.lives.get(name) is not life:
                return f"{name} was switched off or removed in the meantime"
            if life.coming is not None:
                return None
            if serving is not None and serving.found.starts_as(trial) and serving.has_loaded:
                return ""
            return (
                f"{name} does not serve with these options, but does with the previous ones: "
                f"{life.failure}"
            )

        late = f"{name} did not load with these options in {_TRY_S:.0f} s"
        return self._outcomes.of(look, _TRY_S, late)


def _check(name: str, schema: Schema, changes: Mapping[str, object]) -> None:
    """Raises ClientFault (400) that lists all that is wrong, without passwords."""
    faults = []
    for option, value in changes.items():
        if option not in schema:
            faults.append(unknown_key(option, schema, "option"))
        elif value is not None:
            try:
                schema[option].parse(value)
            except BadValue as exc:
                faults.append(f"{option}: {exc}")
    if faults:
        raise ClientFault(400, "bad_option", f"options of {name}: {'; '.join(faults)}")
