"""What installing and removing plugins share: checks for conflicts, and cleaning up.

Imported when operators ask for a page.
"""

from buntime.core.errors import ClientFault
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.plan import owner_of
from buntime.core.settings.live import LiveSettings
from buntime.core.values.tuples import NamedTuple
from buntime.server.deploys.course import Steps, Turns, in_thread, run
from buntime.server.http1.service import Service
from buntime.server.plugins.outcome import Outcomes
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.pluginstore import PluginPlace, PluginStore
from buntime.server.plugins.roster import Roster
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters

_SOON_S = 1.0  # processes of what was replaced end in a moment, as a rule
_TIDY_S = 5.0  # until the next check whether the processes of replaced plugins have ended


class Around(NamedTuple):
    """What it works with."""

    live: LiveSettings
    service: Service
    pool: Pool
    plugins: Plugins
    interpreters: Interpreters
    place: PluginPlace
    outcomes: Outcomes


def refuse_bundled(roster: Roster, name: str) -> None:
    """Raises ClientFault (409) for plugins that come with Buntime."""
    found = roster.found.get(name)
    if found is not None and found.is_bundled:
        raise ClientFault(
            409,
            "plugin_bundled",
            f"{name} comes with Buntime: it can be disabled, but not replaced or removed",
        )


def left_out(
    roster: Roster, name: str, manifest: PluginManifest | None, *, is_on: bool
) -> list[str]:
    """Why it, or a plugin that is in the start order now, would not start with this manifest."""
    then = roster.order_with(name, manifest, is_enabled=is_on).left_out
    return [
        words
        for other, words in then.items()
        if other == name or (other not in roster.order.left_out and other in roster.found)
    ]


class Leftovers:
    """Removes the files of replaced or removed plugins, once no process runs from them."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._loop = around.service.loop
        self.turns = Turns()  # of each plugin

    def __repr__(self) -> str:
        return f"Leftovers({self.turns})"

    def tidy_later(self, store: PluginStore, name: str, after_s: float = _SOON_S) -> None:
        self._loop.call_later(after_s, lambda: run(self._tidy(store, name)))

    def _tidy(self, store: PluginStore, name: str) -> Steps:
        """Remove the files that no link leads to, once no process runs from them."""
        yield self.turns.take(name)
        is_more = True
        try:
            in_use = {
                str(each.app.dir)
                for each in self._around.pool.deployments.by_state.values()
                if each.app.name == owner_of(name)
            }
            is_more = yield in_thread(self._loop, lambda: _tidied(store, name, in_use))
        except (ClientFault, OSError):  # another runtime is working on it, or the disk fails
            pass
        finally:
            self.turns.leave(name)
        if is_more and not self._around.service.is_draining:
            self.tidy_later(store, name, _TIDY_S)


def _tidied(store: PluginStore, name: str, in_use: set[str]) -> bool:
    """Returns whether more remains to be done later. In a thread."""
    with store.turn(name):
        store.tidy(name, in_use)
        return store.has_surplus(name)
