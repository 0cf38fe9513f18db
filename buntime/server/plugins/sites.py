"""What a plugin has at its base: code, a page, or both."""

from buntime.core.access.publicroutes import Patterns
from buntime.core.apps.app import App
from buntime.core.values.frozen import frozen


@frozen()
class PluginSite:
    """Of one plugin. `app` is its code, `page` its page and the files beside it, if it has them.

    What `routes`, below the base, cover goes to the code, all else to the page.
    """

    name: str
    app: App | None
    page: App | None
    routes: Patterns
    unavailable: str = ""  # why it cannot answer
