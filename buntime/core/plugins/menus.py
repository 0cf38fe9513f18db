"""The entries that a plugin adds to the shell's menu: `menus` in its manifest.

menus:
  - {title: {en: Queues, de: Warteschlangen}, icon: icons/q.svg, path: /queues, order: 20}
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from buntime.core.apps.manifestvalues import file_below, plain_text, route_pattern
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, unknown_key

_ENTRIES_MAX = 50  # per list, also of each entry's items
_TITLE_MAX_CHARS = 80
_LANGUAGE = regex(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_ORDER_MAX = 10**9
_ANY = ""  # the language of a title that is a single text


class Menu(NamedTuple):
    """One entry; its `items` stand below it and cannot have items themselves."""

    title: Mapping[str, str]  # by language, "" for any
    path: str  # below the plugin's base
    icon: str | None  # an SVG file in the plugin's folder
    order: float
    items: tuple["Menu", ...] = ()

    def dump(self) -> dict[str, object]:
        """As JSON, by the manifest's keys."""
        title: object = self.title.get(_ANY) or dict(self.title)
        items = [item.dump() for item in self.items]
        return {**self._asdict(), "title": title, "items": items}


def parse_menus(value: object) -> tuple[Menu, ...]:
    """`menus` as a manifest writes it, in the order of display. Raises BadValue."""
    return _menus(value, may_nest=True)


def icons_of(menus: Iterable[Menu]) -> frozenset[str]:
    """The files of all icons: `{"page/icons/q.svg"}`."""
    icons = {menu.icon for menu in menus if menu.icon}
    return frozenset(icons).union(*(icons_of(menu.items) for menu in menus))


def _menus(value: object, *, may_nest: bool) -> tuple[Menu, ...]:
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [{{title: Keys, path: /}}]")
    if len(value) > _ENTRIES_MAX:
        raise BadValue(f"{len(value)} entries are too many; write {_ENTRIES_MAX} at most")
    return tuple(sorted((_menu(each, may_nest) for each in value), key=lambda menu: menu.order))


def _menu(value: object, may_nest: bool) -> Menu:
    known = [name for name in Menu._fields if may_nest or name != "items"]
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write one like {{title: Keys, path: /}}")
    for key in value:
        if key not in known:
            raise BadValue(unknown_key(key, known))
    for key in ("title", "path"):
        if key not in value:
            raise BadValue(f"{key} is missing; a menu entry needs title and path")
    return Menu(
        title=_title(value["title"]),
        path=route_pattern(value["path"]),
        icon=_icon(value["icon"]) if value.get("icon") is not None else None,
        order=parse_order(value.get("order", 0)),
        items=_menus(value.get("items", []), may_nest=False),
    )


def parse_order(value: Any) -> float:
    """A position, the lowest first: any number. Raises BadValue."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(value) <= _ORDER_MAX:  # neither infinity nor NaN
        return float(value)
    raise BadValue(f"{shown(value)} is not a place; write a number, the lowest comes first")


def _title(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return MappingProxyType({_ANY: _words(value)})
    if not value:
        raise BadValue("title has no language; write one like {en: Keys}")
    for language in value:
        if not _LANGUAGE.fullmatch(language):
            raise BadValue(f"{shown(language)} is not a language; write one like en or pt-BR")
    return MappingProxyType({language: _words(text) for language, text in value.items()})


def _words(value: object) -> str:
    text = plain_text(value)
    if len(text) > _TITLE_MAX_CHARS:
        raise BadValue(f"{shown(text)} is too long; write {_TITLE_MAX_CHARS} characters at most")
    return text


def _icon(value: object) -> str:
    path = file_below(value)
    if not path.lower().endswith(".svg"):
        raise BadValue(f"{shown(value)} is not an SVG file; write one like icon.svg")
    return path
