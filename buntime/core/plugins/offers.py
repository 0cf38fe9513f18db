"""The services that a plugin offers, and to whom: `provides` in its manifest, grants by operators.

    provides: {kv: {to: all}, mail: {to: ["app:shop", "plugin:*"]}, audit: {}}

A caller is "app:NAME" or "plugin:NAME", see `services`. Without `to` a service is open only to
callers that the operator names.
"""

import re
from collections.abc import Mapping
from typing import Literal

from buntime.core.apps.manifestvalues import service_name
from buntime.core.apps.router import is_app_name
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, unknown_key

Opening = Literal["all"] | tuple[str, ...]  # whom a service is open to; patterns of callers
Offers = tuple[tuple[str, Opening], ...]

_CALLERS_MAX = 1000
_CALLER = regex(r"(?:app|plugin):(.+)", re.DOTALL)


def parse_provides(value: object) -> Offers:
    """Services, and whom each is open to. Raises BadValue."""
    by_name = dict.fromkeys(map(service_name, value)) if isinstance(value, list) else value
    if not isinstance(by_name, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write one like {{kv: {{to: all}}}}")
    return tuple((service_name(name), _opening(name, given)) for name, given in by_name.items())


def dump_provides(offers: Offers) -> dict[str, object]:
    """Offers as a manifest writes them, in JSON's types."""
    return {name: {"to": to if to == "all" else list(to)} for name, to in offers}


def parse_grants(value: object) -> Mapping[str, Opening]:
    """`{kv: all, mail: ["app:shop"]}`, from the config file. Raises BadValue."""
    if not isinstance(value, dict):
        raise BadValue(f'{shown(value)} is not a mapping; write one like {{kv: ["app:shop"]}}')
    return {service_name(name): _callers(name, to) for name, to in value.items()}


def _opening(name: str, given: object) -> Opening:
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise BadValue(f"{name}: {shown(given)} is not a mapping; write one like {{to: all}}")
    for key in given:
        if key != "to":
            raise BadValue(f"{name}: {unknown_key(key, ['to'])}")
    return _callers(name, given["to"]) if "to" in given else ()


def _callers(name: str, given: object) -> Opening:
    if given == "all":
        return "all"
    if not isinstance(given, list):
        raise BadValue(
            f'{name}: {shown(given)} is not a list of callers; write all or ["app:shop"]'
        )
    if len(given) > _CALLERS_MAX:
        raise BadValue(f"{name}: {len(given)} callers are too many; write patterns, or all")
    return tuple(dict.fromkeys(_caller(name, each) for each in given))


def _caller(name: str, value: object) -> str:
    found = _CALLER.fullmatch(value) if isinstance(value, str) else None
    if found is None or not is_app_name(re.sub(r"\*+", "x", found[1])):
        raise BadValue(
            f'{name}: {shown(value)} is not a caller; write one like "app:shop" or "plugin:*"'
        )
    return found[0]
