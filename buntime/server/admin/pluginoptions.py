"""Operators set options of plugins, which are then reloaded with them."""

from collections.abc import Mapping, Sequence

from buntime.core.errors import ClientFault
from buntime.core.plugins.options import Option
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.plugins import found_plugin
from buntime.server.plugins.detail import changeable, options_json
from buntime.server.plugins.optionchange import OptionChanges
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.report import options_of, state_of

_MAX_BYTES = 256 * 1024  # the most that a plugin can get


class PluginOptionPages:
    """Serves this page."""

    def __init__(self, plugins: Plugins, audit: Audit, changes: OptionChanges) -> None:
        self._plugins = plugins
        self._audit = audit
        self._changes = changes

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"plugins.options": self._options}

    def _options(self, call: Call) -> None:
        """Set options: `{"mode": "fast", "token": null}`."""
        name = found_plugin(call, self._plugins)
        call.check_match(changeable(self._plugins, name))
        call.json(lambda value: self._set_options(call, name, value), _MAX_BYTES)

    def _set_options(self, call: Call, name: str, value: object) -> None:
        if not isinstance(value, dict):
            raise ClientFault(400, "bad_body", "the body must be a mapping of options to values")
        before = options_of(self._plugins.roster, name)
        wanted = self._changes.wanted(name, value, call.by)
        if call.is_dry_run:
            self._tell_options(call, name, wanted.effect.options.options)
            return

        def made(begun: Begun, fault: BaseException | None) -> None:
            if fault is not None:
                raise fault
            after = options_of(self._plugins.roster, name)
            begun.end(_named(after, value))
            self._tell_options(call, name, after)

        def act(begun: Begun) -> None:
            call.check_match(changeable(self._plugins, name))  # it may have changed meanwhile

            def then(fault: BaseException | None) -> None:
                call.guard(lambda: begun.run(lambda: made(begun, fault)))

            self._changes.make(name, value, call.by, then)

        self._audit.begin(call, name, _named(before, value), then=act)

    def _tell_options(self, call: Call, name: str, options: Sequence[Option]) -> None:
        state, why = state_of(self._plugins.roster, name)
        fields = {"name": name, "state": state, "why": why or None}
        shown = {**fields, "options": options_json(options)}
        call.tagged(shown, of=changeable(self._plugins, name))


def _named(options: Sequence[Option], value: Mapping[str, object]) -> dict[str, object]:
    """The options named in the request, as shown to people: without passwords."""
    return {each.kind.name: each.shown for each in options if each.kind.name in value}
