"""What the shell's menu shows: the entries of plugins, and their icons."""

import os
from collections.abc import Iterator, Mapping

from buntime.core.errors import ClientFault
from buntime.core.plugins.menus import icons_of
from buntime.core.plugins.plan import owner_of
from buntime.core.plugins.shellmenu import Entries, shell_menu
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.plugins.plugins import Plugins
from buntime.server.sites.confined import open_inside

_ICON_MAX_BYTES = 64 * 1024
_ICON_FIELDS = [
    ("content-type", "image/svg+xml"),
    # It is an image: scripts in it must not run, even if it is opened directly.
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "private, max-age=300"),
]


class MenuPages:
    """Serves these pages."""

    def __init__(self, plugins: Plugins, live: LiveSettings) -> None:
        self._plugins = plugins
        self._live = live

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"menus.list": self._list, "menus.icon": self._icon}

    def _list(self, call: Call) -> None:
        """List the entries of plugins that the caller may open."""
        prefix, api = call.exchange.sender.prefix, self._live.now.api_prefix
        shown = menus_shown(self._plugins)
        mine = (each for each in shown if call.may("apps:open", owner_of(each.plugin)))
        call.answer(shell_menu(mine, prefix=prefix, api=api))

    def _icon(self, call: Call) -> None:
        name, icon = call.query["plugin"], call.query["icon"]
        found = self._plugins.roster.found.get(name)
        manifest = found.manifest if found is not None else None
        may = call.may("apps:open", owner_of(name))
        if found is None or manifest is None or not may or icon not in icons_of(manifest.menus):
            raise _no_icon()
        opened = open_inside(os.fsencode(found.folder), os.fsencode(icon).split(b"/"))
        if opened is None:
            raise _no_icon()
        try:
            data = os.read(opened.fd, _ICON_MAX_BYTES + 1)
        finally:
            os.close(opened.fd)
        if len(data) > _ICON_MAX_BYTES:
            raise _no_icon()
        call.respond(200, _ICON_FIELDS, data)


def menus_shown(plugins: Plugins) -> Iterator[Entries]:
    """The entries of all plugins that are enabled and can be opened."""
    roster = plugins.roster
    for found in roster.enabled():
        manifest = roster.serves_with(found.name).manifest
        site = plugins.at_base(owner_of(found.name))
        if manifest is None or manifest.base is None or site is None or site.unavailable:
            continue
        yield Entries(found.name, manifest.base, manifest.menus)


def _no_icon() -> ClientFault:
    return ClientFault(404, "not_found", "no menu has such an icon")
