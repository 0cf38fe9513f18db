"""What operators see of plugins and of all that is configured, and do to plugins.

GET  /api/config
GET  /api/plugins
POST /api/plugins/{name}/reload  /enable  /disable  /reset
"""

from buntime.core.errors import ClientFault
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.respond import respond
from buntime.server.http1.exchange import Exchange
from buntime.server.plugins.effective import effective_json
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.report import state_of, to_json

PATH = "/api/plugins"
_ACTIONS = ("reload", "enable", "disable", "reset")


class PluginPages:
    """Answers these pages; who may ask is looked at before."""

    def __init__(self, plugins: Plugins, live: LiveSettings) -> None:
        self._plugins = plugins
        self._live = live

    def config(self, exchange: Exchange) -> None:
        """Each setting, and each option of plugins, as it holds, and where it comes from."""
        respond(exchange, effective_json(self._live.now, self._plugins.roster))

    def list(self, exchange: Exchange) -> None:
        """All plugins, and how each stands."""
        respond(exchange, to_json(self._plugins.roster, self._plugins.meters, exchange.now))

    def is_action(self, path: str) -> bool:
        """`"/api/plugins/@acme/audit/reload"`"""
        name, _, action = path.removeprefix(PATH + "/").rpartition("/")
        return path.startswith(PATH + "/") and bool(name) and action in _ACTIONS

    def act(self, exchange: Exchange, path: str) -> None:
        """Do what a path, see `is_action`, asks for."""
        name, _, action = path.removeprefix(PATH + "/").rpartition("/")
        plugins = self._plugins
        if name not in plugins.roster.found:
            raise ClientFault(404, "plugin_not_found", f"there is no plugin {name[:200]}")
        by = exchange.sender.text
        if action == "reset":
            plugins.reset(name, by=by)
        elif action != "reload":
            plugins.switch(name, enabled=action == "enable", by=by)
        elif not plugins.reload(name, by=by):
            state, why = state_of(plugins.roster, name)
            said = f"the plugin {name} cannot be reloaded: it is {state}"
            raise ClientFault(409, "plugin_not_running", f"{said}, {why}" if why else said)
        state, why = state_of(plugins.roster, name)
        respond(exchange, {"name": name, "state": state, "why": why or None}, 202)
