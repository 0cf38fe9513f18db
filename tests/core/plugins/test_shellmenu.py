"""The shell's menu, made of the entries of all plugins."""

from __future__ import annotations

from buntime.core.plugins.menus import icons_of, parse_menus
from buntime.core.plugins.shellmenu import Entries, shell_menu

KV = Entries(
    "@acme/kv",
    "/kv",
    parse_menus(
        [
            {
                "title": {"de": "Schlüssel", "en": "Keys"},
                "path": "/",
                "icon": "page/a b.svg",
                "order": 20,
                "items": [
                    {"title": "Zoo", "path": "/z", "icon": "z.svg"},
                    {"title": "ant", "path": "/a"},
                ],
            },
            {"title": "First", "path": "/first", "order": -1},
        ]
    ),
)
AUDIT = Entries("audit", "/audit", parse_menus([{"title": "apples", "path": "/x", "order": 20}]))


def test_order() -> None:
    """Entries are sorted by order, then by title in any case, and nested ones on their own."""
    menu = shell_menu([KV, AUDIT], prefix="", api="")
    assert [entry["href"] for entry in menu] == ["/kv/first", "/audit/x", "/kv/"]
    assert [item["href"] for item in menu[2]["items"]] == ["/kv/a", "/kv/z"]


def test_entry() -> None:
    """An entry has all that a shell shows, with a proxy's prefix in its links."""
    entry = shell_menu([KV], prefix="/tools", api="/_")[1]
    assert entry["plugin"] == "@acme/kv"
    assert entry["title"] == {"de": "Schlüssel", "en": "Keys"}
    assert entry["href"] == "/tools/kv/"
    assert entry["order"] == 20
    icon = "/tools/_/api/menus/icon?plugin=%40acme%2Fkv&icon=page%2Fa%20b.svg"
    assert entry["icon"] == icon
    assert shell_menu([AUDIT], prefix="", api="")[0]["icon"] is None


def test_icons() -> None:
    """Nested entries have icons too."""
    assert icons_of(KV.menus) == {"page/a b.svg", "z.svg"}
