"""The value of each setting and of each plugin option now, and where it comes from.

For `buntime config show` and `GET /api/config`. Passwords and keys are not shown.
"""

import sys
from collections.abc import Mapping
from typing import Any

from buntime.core.apps.floors import ROW_KEYS, Floors, Word
from buntime.core.settings.endpoint import TcpEndpoint, UnixEndpoint
from buntime.core.settings.load import SETTINGS, Setting, Settings
from buntime.core.values.tuples import NamedTuple
from buntime.server.plugins.roster import BY_MANIFEST, Roster

_HIDDEN = "********"


class Held(NamedTuple):
    """A current value, in JSON's types, and where it comes from."""

    value: Any
    origin: str


def effective(
    settings: Settings, roster: Roster, *, deploys_to: str | None
) -> tuple[dict[str, Held], dict[str, dict[str, Any]]]:
    """The settings by their variables, and the values of each plugin by its name.

    `deploys_to` is the worker folder that deploys go into.
    """
    held = {row.variable: _held(row, settings) for row in SETTINGS}
    for variable, value in _derived(settings, deploys_to).items():
        if not held[variable].value:
            held[variable] = held[variable]._replace(value=_plain(value))
    held["RUNTIME_CONFIG"] = held["RUNTIME_CONFIG"]._replace(value=roster.config.path or None)
    return held, {name: _of_plugin(roster, name) for name in sorted(roster.found)}


def effective_json(settings: Settings, roster: Roster, *, deploys_to: str | None) -> dict[str, Any]:
    """`{"file": .., "settings": {"PORT": {"value": 8000, "origin": "default"}}, "plugins": ..,
    "apps": {"blog-*": {"sandbox": {"value": "strict", "origin": "/etc/..yaml:7"}}}}`"""
    held, plugins = effective(settings, roster, deploys_to=deploys_to)
    apps = rows_of(roster.config.apps)
    rows = {row.variable: row for row in SETTINGS}
    more = {
        name: {**each._asdict(), "live": rows[name].live, "meaning": rows[name].meaning}
        for name, each in held.items()
    }
    shown = {"file": roster.config.path or None, "settings": more, "plugins": plugins, "apps": apps}
    return {name: _with_names(value) for name, value in shown.items()}


def _derived(settings: Settings, deploys_to: str | None) -> dict[str, object]:
    """What is used instead of settings that are not set, where that depends on something else."""
    return {
        "RUNTIME_LISTEN": settings.endpoints,
        "RUNTIME_DEPLOY_DIR": deploys_to,
        "RUNTIME_PYTHON": sys.executable,
        "RUNTIME_CRON_CONCURRENCY": settings.cron_most,
        "OTEL_SERVICE_NAME": settings.service_name,
    }


def _held(row: Setting, settings: Settings) -> Held:
    value = getattr(settings, row.field)
    if row.secret and value:
        value = _HIDDEN
    return Held(_plain(value), settings.origins.get(row.field, "default"))


def _plain(value: object) -> object:
    if isinstance(value, TcpEndpoint | UnixEndpoint):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _of_plugin(roster: Roster, name: str) -> dict[str, Any]:
    """The current values of a plugin, and why it cannot be started, if so."""
    found, grants = roster.found[name], roster.config.of(name).grants
    values: dict[str, Any] = {
        "enabled": Held(roster.is_enabled(name), roster.switched_by(name)),
        "options": {},
        "grants": {},
        "error": found.error or None,
    }
    if found.options is not None:
        values["options"] = {
            option.kind.name: Held(option.shown, option.origin) for option in found.options.options
        }
    for service, to in found.manifest.provides if found.manifest else ():
        grant = grants.get(service)
        opening = to if grant is None else grant.opening
        values["grants"][service] = Held(
            _plain(opening), BY_MANIFEST if grant is None else grant.place
        )
    return values


def rows_of(floors: Floors) -> dict[str, dict[str, Held]]:
    """What operators set for apps, by glob and key, and where."""
    return {
        row.glob: {
            name: Held(_shown_value(name, word), word.place) for name, word in row.words.items()
        }
        for row in floors.rows
    }


def _shown_value(name: str, word: Word) -> object:
    if name == "env":
        return dict.fromkeys(word.value, _HIDDEN)
    return None if word.value is None else ROW_KEYS[name].dump(word.value)


def _with_names(value: Any) -> Any:
    """As JSON: `Held` is an object."""
    if isinstance(value, Held):
        return value._asdict()
    if isinstance(value, dict):
        return {name: _with_names(each) for name, each in value.items()}
    return value
