"""Removes plugins that were installed, while the runtime serves.

The link is removed first; then the plugin ends as if it were switched off. Its switches and options
that operators have set are forgotten; its data stay.

Imported when operators ask for a page.
"""

from collections.abc import Callable

from buntime.core.errors import ClientFault
from buntime.core.plugins.keptoptions import KeptOptions
from buntime.server.deploys.course import Steps, in_thread, run
from buntime.server.deploys.disk import storage_fault
from buntime.server.plugins.installground import Around, Leftovers, left_out, refuse_bundled
from buntime.server.plugins.pluginstore import VERSION, PluginStore


class Remover:
    """All removals."""

    def __init__(self, around: Around, leftovers: Leftovers) -> None:
        self._around = around
        self._leftovers = leftovers
        self._loop = around.service.loop
        self._plugins = around.plugins
        self._turns = leftovers.turns

    def __repr__(self) -> str:
        return f"Remover({self._around.place})"

    def check(self, name: str, confirmed: str | None) -> None:
        """Raises ClientFault (409) if it cannot be removed, or the removal must be confirmed."""
        roster = self._plugins.roster
        refuse_bundled(roster, name)
        store = self._around.place.open()
        if store.release_at(name, VERSION) is None:
            raise ClientFault(
                409,
                "plugin_not_installed",
                f"{roster.found[name].folder} was not put there by an install; remove it there",
            )
        needed = left_out(roster, name, None, is_on=True)
        if needed:
            raise ClientFault(
                409, "plugin_needed", f"{'; '.join(needed)}: remove or disable these first"
            )
        manifest = roster.serves_with(name).manifest
        guards = manifest is None or manifest.guards
        if guards and roster.is_enabled(name) and confirmed != name:
            raise ClientFault(
                409,
                "not_confirmed",
                f"{name} is a guard: what it covers is open to all once it is gone; "
                f"confirm that with ?confirm={name}",
            )

    def remove(self, name: str, then: Callable[[BaseException | None], None]) -> None:
        """Remove what was installed; `then` gets what prevents it, or None when it is gone."""
        run(self._removed(name, then))

    def _removed(self, name: str, then: Callable[[BaseException | None], None]) -> Steps:
        yield self._turns.take(name)
        fault: BaseException | None = None
        try:
            store = self._around.place.open()
            yield from self._remove(store, name)
        except OSError as exc:
            fault = storage_fault(exc)
        except Exception as exc:  # noqa: BLE001  # for who has asked
            fault = exc
        finally:
            self._turns.leave(name)
        then(fault)

    def _remove(self, store: PluginStore, name: str) -> Steps:
        plugins = self._plugins

        def unlink() -> None:
            with store.turn(name):
                store.unlink(name)

        plugins.folders.expect(name, None)
        yield in_thread(self._loop, unlink)
        plugins.folders.forget(name)
        yield self._around.outcomes.of_next_look()
        yield from self._forget_options(name)
        plugins.roster.switches.reset(name)
        self._around.service.log.info("plugin.removed", "plugin was removed", plugin=name)
        self._leftovers.tidy_later(store, name)

    def _forget_options(self, name: str) -> Steps:
        store = self._plugins.options
        if name not in store.now:
            return
        after: KeptOptions = {each: of for each, of in store.now.items() if each != name}
        yield in_thread(self._loop, lambda: store.prepare(after))
        yield in_thread(self._loop, store.commit)
        store.now = after
