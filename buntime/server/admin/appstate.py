"""What operators change about an app by deploys, for its ETag: the active version, and which
versions exist. A version that was replaced has another folder.
"""

from collections.abc import Callable, Sequence

from buntime.core.apps.app import App, Fault
from buntime.server.admin.call import Call
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.sites import PluginSite

AppState = dict[str, object]
AtBase = Callable[[str], PluginSite | None]  # what a plugin has at this first segment of a path


def app_state(catalog: Catalog, name: str, now: float) -> AppState | None:
    """As JSON; None if there is no such app."""
    return state_of(catalog, name, catalog.all_of(name, now), now)


def state_of(
    catalog: Catalog, name: str, found: Sequence[App | Fault], now: float
) -> AppState | None:
    """The same from all that the catalog has found of the app."""
    if not found:
        return None
    folders = {
        each.version or "": str(each.dir if isinstance(each, App) else each.folder)
        for each in found
    }
    return {"app": name, "active": catalog.newest(name, now), "versions": folders}


def check_app(call: Call, catalog: Catalog) -> None:
    """Raises ClientFault (412) unless the app of the path is as If-Match says, after another look
    at its folders."""
    if call.header("if-match") is not None:
        catalog.refresh()
        call.check_match(app_state(catalog, call.values["app"], call.now))


def plugin_before(at_base: AtBase, catalog: Catalog, name: str, now: float) -> str | None:
    """The plugin whose base is the path of the app of this name, so that requests without a
    version get the plugin; None also for an app that has a host of its own, as far as is known."""
    site = at_base(name)
    if site is None:
        return None
    found = catalog.seen(name, catalog.newest(name, now))
    has_host = isinstance(found, App) and bool(found.manifest.hosts)
    return None if has_host else site.name
