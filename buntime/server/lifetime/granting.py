"""Reloads apps when their secrets or the operators' settings for them change, as after a change of
their code; and plugins when their secrets change.

The previous state serves until the new one has loaded, so that a wrong value takes nothing down.
"""

from buntime.core.apps.app import App
from buntime.core.apps.grants import holder_of
from buntime.server.apps.catalog import Catalog
from buntime.server.lifetime.deploys import Deploys
from buntime.server.plugins.plugins import Plugins
from buntime.server.state.secretstore import Changes, SecretStore
from buntime.server.state.statefolder import StateWatch


def follow_operators(
    secrets: SecretStore, catalog: Catalog, deploys: Deploys, plugins: Plugins, state: StateWatch
) -> None:
    """Do this from now on."""

    def on_change(changed: Changes) -> None:
        def has_some(app: App) -> bool:
            names = changed.get(holder_of(app.name, app.version), ())
            return not app.manifest.secrets.keys().isdisjoint(names)

        deploys.changed(catalog.outdate_those(has_some))
        for name, found in plugins.roster.found.items():
            if found.app is not None and has_some(found.app):
                plugins.reload(name, by="a change of its secrets")

    def on_config() -> None:
        if catalog.take_floors(plugins.roster.config.apps):
            deploys.changed_all()

    plugins.follow(on_config)
    secrets.follow(on_change)
    state.follow(secrets.reread)
