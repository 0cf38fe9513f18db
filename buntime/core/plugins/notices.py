"""What plugins are told as it happens, and in which form: the `data` of a NOTICE.

    on_worker_spawn      {worker, pid, app or plugin, version, ephemeral}
    on_worker_terminate  the same, with how, expected
    on_apps_changed      [{name, version}, ...]
    on_plugins_changed   [{name, version, state, base, services}, ...]

They contain only names, numbers and states: no paths, no environment, no options. Lists are limited
to LISTED_MAX entries, and texts in length.
"""

from collections.abc import Iterable

from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.apps.app import App

ON_WORKER_SPAWN = "on_worker_spawn"
ON_WORKER_TERMINATE = "on_worker_terminate"
ON_APPS_CHANGED = "on_apps_changed"
ON_PLUGINS_CHANGED = "on_plugins_changed"

LISTED_MAX = 1000
_NAME_MAX_CHARS = 200
_SERVICES_MAX = 20
_HOW_MAX_CHARS = 300

Told = dict[str, object]


def worker_told(name: str, pid: int, app: App) -> Told:
    """A worker of an app or of a plugin."""
    is_plugin = app.plugin is not None
    short = _cut(app.name.removeprefix(PLUGIN_PREFIX) if is_plugin else app.name)
    return {
        "worker": name,
        "pid": pid,
        "app": None if is_plugin else short,
        "plugin": short if is_plugin else None,
        "version": app.version and _cut(app.version),
        "ephemeral": app.manifest.ttl_s == 0,
    }


def worker_ended(worker: Told, how: str, *, expected: bool) -> Told:
    """The same after it has ended: how ("exit code 1"), and whether it was told to."""
    return {**worker, "how": how[:_HOW_MAX_CHARS], "expected": expected}


def apps_told(apps: Iterable[tuple[str, str | None]]) -> list[Told]:
    """Each version of each app, by name and version."""
    listed = [{"name": _cut(name), "version": version and _cut(version)} for name, version in apps]
    return [dict(each) for each in listed[:LISTED_MAX]]


def plugin_told(
    name: str, version: str | None, state: str, base: str | None, services: Iterable[str]
) -> Told:
    """One entry of `on_plugins_changed`; `state` is as in `/api/plugins`."""
    return {
        "name": _cut(name),
        "version": version and _cut(version),
        "state": state,
        "base": base and _cut(base),
        "services": [_cut(each) for each in sorted(services)[:_SERVICES_MAX]],
    }


def _cut(text: str) -> str:
    return text[:_NAME_MAX_CHARS]
