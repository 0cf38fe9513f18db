"""What operators see of plugins and of the whole configuration, and do to plugins."""

from collections.abc import Mapping

from buntime.core.errors import ClientFault
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.missing import no_such
from buntime.server.deploys.opening import DeployPlace
from buntime.server.plugins.detail import changeable, detail_of
from buntime.server.plugins.effective import effective_json
from buntime.server.plugins.outcome import Outcomes
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.report import describe, state_of

_ACTIONS = ("reload", "enable", "disable", "reset")


class PluginPages:
    """Serves these pages."""

    def __init__(
        self,
        plugins: Plugins,
        live: LiveSettings,
        audit: Audit,
        place: DeployPlace,
        outcomes: Outcomes,
    ) -> None:
        self._outcomes = outcomes
        self._place = place
        self._plugins = plugins
        self._live = live
        self._audit = audit

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        acts = {f"plugins.{action}": self._act for action in _ACTIONS}
        views = {"plugins.list": self._list, "plugins.show": self._show}
        return {"config.show": self._config, **views, **acts}

    def _config(self, call: Call) -> None:
        """Each setting and each plugin option, with the value in force and its source."""
        folder = self._place.folder
        call.answer(effective_json(self._live.now, self._plugins.roster, deploys_to=folder))

    def _list(self, call: Call) -> None:
        """All plugins, and the state of each."""
        roster, meters = self._plugins.roster, self._plugins.meters
        names, following = call.page(roster.found)
        entries = [describe(roster, meters, name, call.now) for name in names]
        call.answer({"plugins": entries, "next": following})

    def _show(self, call: Call) -> None:
        """One plugin, in full."""
        name, plugins = found_plugin(call, self._plugins), self._plugins
        detail = detail_of(plugins.roster, plugins.meters, name, call.now)
        call.tagged(detail, of=changeable(plugins, name))

    def _act(self, call: Call) -> None:
        """Do what the route's name says, also of a plugin whose folder has just been made."""
        if call.values["plugin"] in self._plugins.roster.found:
            self._act_on(call)
        else:
            self._outcomes.of_next_look()(lambda _: call.guard(lambda: self._act_on(call)))

    def _act_on(self, call: Call) -> None:
        name, action = found_plugin(call, self._plugins), call.route.name.rpartition(".")[2]
        roster = self._plugins.roster
        call.check_match(changeable(self._plugins, name))
        if call.is_dry_run:
            self._tell(call, name)
            return
        before = {"enabled": roster.is_enabled(name)}

        def end(begun: Begun) -> None:
            begun.end({"enabled": roster.is_enabled(name)})
            self._tell(call, name)

        def act(begun: Begun) -> None:
            name = found_plugin(call, self._plugins)  # it may have changed meanwhile
            call.check_match(changeable(self._plugins, name))
            number, outcomes = self._do(name, action, by=call.address), self._outcomes
            if number is None:
                end(begun)
                return
            look = outcomes.of_look(number) if number else outcomes.of_next_look()
            look(lambda _: call.guard(lambda: begun.run(lambda: looked(begun, bool(number)))))

        def looked(begun: Begun, is_begun: bool) -> None:
            if not self._runs(found_plugin(call, self._plugins)) and not is_begun:
                raise self._not_running(name)
            end(begun)

        self._audit.begin(call, name, before, then=act)

    def _tell(self, call: Call, name: str) -> None:
        """Answer with its state now."""
        roster = self._plugins.roster
        state, why = state_of(roster, name)
        fields = {"name": name, "state": state, "why": why or None}
        call.tagged(fields, of=changeable(self._plugins, name), status=202)

    def _do(self, name: str, action: str, *, by: str) -> int | None:
        """The number of the look at its folder with which a reload begins: only then its state is
        that of what is there. 0 where no code of it runs: it may be a page alone, which is read
        again by a look, or what kept it from running may have been corrected. Else None.
        """
        plugins = self._plugins
        if action == "reset":
            plugins.reset(name, by=by)
            return None
        if action != "reload":
            plugins.switch(name, enabled=action == "enable", by=by)
            return None
        number = plugins.reload(name, by=by)
        if not number and not plugins.roster.is_enabled(name):
            raise self._not_running(name)
        return number

    def _runs(self, name: str) -> bool:
        """Whether it has been started, or will be."""
        return self._plugins.roster.runs(name)

    def _not_running(self, name: str) -> ClientFault:
        state, why = state_of(self._plugins.roster, name)
        message = f"the plugin {name} cannot be reloaded: it is {state}"
        return ClientFault(409, "plugin_not_running", f"{message}, {why}" if why else message)


def found_plugin(call: Call, plugins: Plugins) -> str:
    """The plugin that the path names. Raises ClientFault (404)."""
    name = call.values["plugin"]
    if name not in plugins.roster.found:
        text = no_such("plugin", name, plugins.roster.found)
        raise ClientFault(404, "plugin_not_found", text)
    return name
