"""Which writes are refused if nothing can be stored: every one has been considered."""

from __future__ import annotations

from buntime.core.admin.kept import INSTEAD
from buntime.core.admin.routes import ROUTES

# What these change is lost when the process ends, or does not belong to the runtime.
IN_MEMORY = {
    *("apps.recycle", "apps.sleep", "caches.purge", "cron.run", "workers.recycle"),
    *("frames.token", "frames.url", "plugins.reload"),
    *("session.begin", "session.end", "session.link"),
}


def test_each_write_is_known() -> None:
    """Each write is stored, in memory only, or a plugin's; a new route has to be one of these."""
    writes = {route.name for route in ROUTES.routes if route.is_write}
    of_plugins = {name for name in writes if name.startswith("users.")}
    assert writes - INSTEAD.keys() - of_plugins == IN_MEMORY
    assert not INSTEAD.keys() - {route.name for route in ROUTES.routes}
