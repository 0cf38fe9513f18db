"""How large the data of each app and plugin may grow, by its manifest and by operators."""

from buntime.core.errors import HttpError, ManifestError
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.plugins import Plugins
from buntime.server.pool.pool import Pool

_PLUGIN = "plugin+"  # prefix of a plugin's folder: no app's name has a "+"


class DataLimits:
    """Looks up the limits. Used on the loop's thread."""

    def __init__(self, pool: Pool, catalog: Catalog, plugins: Plugins) -> None:
        self._pool = pool
        self._catalog = catalog
        self._plugins = plugins

    def __repr__(self) -> str:
        return f"DataLimits({self._pool!r})"

    def served(self) -> dict[str, int]:
        """The limits of the apps and plugins being served, in bytes, by the path of the folder.

        Versions share a folder: the largest limit counts.
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
        """The limit of a folder by name, "@acme+shop", "plugin+keyval", whether served or not."""
        if name.startswith(_PLUGIN):
            roster, plugin = self._plugins.roster, name.removeprefix(_PLUGIN).replace("+", "/")
            manifest = roster.serves_with(plugin).manifest if plugin in roster.found else None
            return manifest.app.data_max_bytes if manifest is not None else None
        try:
            return self._catalog.find(name.replace("+", "/"), None, now).manifest.data_max_bytes
        except (HttpError, ManifestError):
            return None  # the app is gone, or it is a preview's folder
