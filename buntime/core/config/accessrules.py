"""`access` in the config file: the rules in order, see `core/access/rules`.

access:
  - {who: ["role:admin", "net:10.0.0.0/8"], apps: [shop], paths: ["/admin/**"], do: allow}
  - {who: anyone, apps: [shop], paths: ["/admin/**"], do: deny}
"""

from collections.abc import Callable, Mapping
from typing import Any

from buntime.core.access.publicroutes import GLOBS_MAX_CHARS, costly
from buntime.core.access.rules import PLUGIN_PREFIX, Rule, parse_who
from buntime.core.apps.document import Entry
from buntime.core.apps.floors import check_glob
from buntime.core.apps.manifestvalues import route_pattern
from buntime.core.http1.grammar import TOKEN
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, unknown_key

RULES_MAX = 1000
KEYS = ("who", "apps", "paths", "methods", "do")
_ITEMS_MAX = 100  # of each list
_METHOD = regex(TOKEN)


def parse_rule(item: object, place: str) -> Rule:
    """One rule. `item` is a mapping of entries. Raises BadValue."""
    if not isinstance(item, dict):
        raise BadValue("this is not a rule; write one like {who: anyone, do: deny}")
    for key in item:
        if key not in KEYS:
            raise BadValue(unknown_key(key, KEYS))
    for key in ("who", "do"):
        if key not in item:
            raise BadValue(f"{key} is missing; write a rule like {{who: anyone, do: deny}}")
    does = item["do"].value
    if does not in ("allow", "deny"):
        raise BadValue(f"do: {shown(does)} is neither allow nor deny")
    paths = _items(item, "paths", route_pattern)
    if sum(map(len, costly(paths))) > GLOBS_MAX_CHARS:
        raise BadValue(f"paths: patterns with stars have more than {GLOBS_MAX_CHARS} characters")
    return Rule(
        who=_items(item, "who", parse_who),
        does=does,
        apps=_items(item, "apps", _app),
        paths=paths,
        methods=_items(item, "methods", _method),
        place=place,
    )


def _items(
    item: Mapping[str, "Entry"], key: str, parse: Callable[[object], Any]
) -> tuple[Any, ...]:
    if key not in item:
        return ()
    given = item[key].value
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise BadValue(f"{key}: write a list with at least one entry")
    if len(given) > _ITEMS_MAX:
        raise BadValue(f"{key}: {len(given)} entries are too many; write {_ITEMS_MAX} at most")
    try:
        return tuple(dict.fromkeys(map(parse, given)))
    except BadValue as exc:
        raise BadValue(f"{key}: {exc}") from None


def _app(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue(f'{shown(value)} is not the name of an app; write one like shop or "blog-*"')
    check_glob(value.removeprefix(PLUGIN_PREFIX))
    return value


def _method(value: object) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise BadValue(f"{shown(value)} is not a method; write one like GET")
    return value.upper()
