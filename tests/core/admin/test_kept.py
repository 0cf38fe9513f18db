"""Which writes are refused where nothing is to be kept: each has been thought of."""

from __future__ import annotations

from buntime.core.admin.kept import INSTEAD
from buntime.core.admin.routes import ROUTES

# What these change is gone with the process, or is not the runtime's.
IN_MEMORY = {
    *("apps.recycle", "apps.sleep", "caches.purge", "cron.run", "workers.recycle"),
    *("frames.token", "frames.url", "plugins.reload"),
    *("session.begin", "session.end", "session.link"),
}


def test_each_write_is_known() -> None:
    """It is kept, in memory, or a plugin's; a route that is added has to be one of these."""
    writes = {route.name for route in ROUTES.routes if route.is_write}
    of_plugins = {name for name in writes if name.startswith("users.")}
    assert writes - INSTEAD.keys() - of_plugins == IN_MEMORY
    assert not INSTEAD.keys() - {route.name for route in ROUTES.routes}
