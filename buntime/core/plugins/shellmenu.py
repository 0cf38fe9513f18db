"""The shell's menu: the entries of all plugins, as one list."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from buntime.core.plugins.menus import Menu
from buntime.core.values.tuples import NamedTuple

ICON_PATH = "/api/menus/icon"


class Entries(NamedTuple):
    """The entries of one plugin, at its base, "/keyval"."""

    plugin: str
    base: str
    menus: tuple[Menu, ...]


def shell_menu(entries: Iterable[Entries], *, prefix: str, api: str) -> list[dict[str, Any]]:
    """All entries by `order`, then title: `[{"plugin", "title", "icon", "href", "order",
    "items"}]`.

    Clients see `prefix` in front of all paths, and `api` in front of those of the API: "/_".
    """
    found = [(menu, each) for each in entries for menu in each.menus]
    found.sort(key=lambda pair: _place(*pair))
    return [_menu_json(menu, each, prefix, api) for menu, each in found]


def _menu_json(menu: Menu, of: Entries, prefix: str, api: str) -> dict[str, Any]:
    items = sorted(menu.items, key=lambda item: _place(item, of))
    icon = f"{prefix}{api}{ICON_PATH}?plugin={quote(of.plugin, safe='')}&icon="
    return {
        "plugin": of.plugin,
        "title": menu.dump()["title"],
        "icon": icon + quote(menu.icon, safe="") if menu.icon else None,
        "href": f"{prefix}{of.base}{menu.path}",
        "order": menu.order,
        "items": [_menu_json(item, of, prefix, api) for item in items],
    }


def _place(menu: Menu, of: Entries) -> tuple[float, str, str]:
    title = menu.title.get("") or menu.title.get("en") or next(iter(menu.title.values()))
    return menu.order, title.casefold(), of.plugin
