"""How large the data of each app and plugin may be, by its manifest and by operators."""

from buntime.core.errors import HttpError, ManifestError
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.plugins import Plugins
from buntime.server.pool.pool import Pool

_PLUGIN = "plugin+"  # begins the folder of a plugin: no name of an app has a "+"


class DataLimits:
    """Looks them up. Used on the loop's thread."""

    def __init__(self, pool: Pool, catalog: Catalog, plugins: Plugins) -> None:
        self._pool = pool
        self._catalog = catalog
        self._plugins = plugins

    def __repr__(self) -> str:
        return f"DataLimits({self._pool!r})"

    def served(self) -> dict[str, int]:
        """Of the apps and plugins that are served, by the path of the folder, in bytes.

        Versions share a folder: the largest counts.
        """
        limits: dict[str, int] = {}
        for deployment in self._pool.deployments.by_state.values():
            app = deployment.app
            most = app.manifest.data_max_bytes
            if app.manifest.data and most is not None:
                folder = self._pool.sandboxes.data_folder(app.name, app.version)
                limits[folder] = max(most, limits.get(folder, 0))
        return limits

    def of_folder(self, name: str, now: float) -> int | None:
        """Of a folder by its name, "@acme+shop", "plugin+keyval", whether it is served or not."""
        if name.startswith(_PLUGIN):
            roster, plugin = self._plugins.roster, name.removeprefix(_PLUGIN).replace("+", "/")
            manifest = roster.serves_with(plugin).manifest if plugin in roster.found else None
            return manifest.app.data_max_bytes if manifest is not None else None
        try:
            return self._catalog.find(name.replace("+", "/"), None, now).manifest.data_max_bytes
        except (HttpError, ManifestError):
            return None  # gone, or a preview's
