"""What of an app operators change by deploys, for its ETag: which version is active, and which
there are. A version that was replaced lies in another folder.
"""

from buntime.core.apps.app import App
from buntime.server.admin.call import Call
from buntime.server.apps.catalog import Catalog

AppState = dict[str, object]


def app_state(catalog: Catalog, name: str, now: float) -> AppState | None:
    """As JSON; None where there is no such app."""
    found = catalog.all_of(name, now)
    if not found:
        return None
    folders = {
        each.version or "": str(each.dir if isinstance(each, App) else each.folder)
        for each in found
    }
    return {"app": name, "active": catalog.newest(name, now), "versions": folders}


def check_app(call: Call, catalog: Catalog) -> None:
    """Raises ClientFault (412) where the app of the path is not as If-Match says, by a look at
    its folders now."""
    if call.header("if-match") is not None:
        catalog.refresh()
        call.check_match(app_state(catalog, call.values["app"], call.now))
