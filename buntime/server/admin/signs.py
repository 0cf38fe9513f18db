"""Signs that something has changed, which watchers compare each second.

A sign has a kind and a name, ("workers", "shop"), and any value. While nobody watches, no signs are
collected. What changes with each request, such as whether a worker is busy, is left out.
"""

from collections import defaultdict
from collections.abc import Iterable

from buntime.core.admin.attention import Item
from buntime.server.admin.menupages import menus_shown
from buntime.server.admin.parts import Parts
from buntime.server.plugins.report import state_of

Sign = tuple[str, str]  # its kind, and the app or other name
EVERYTHING = "*"  # in place of a name: reload everything

_AT_WORK = {"idle": "up", "busy": "up", "active": "up", "ephemeral": "up"}


def signs_of(parts: Parts, items: Iterable[Item]) -> dict[Sign, object]:
    """All signs at this moment."""
    now = parts.service.loop.now
    signs: dict[Sign, object] = {}
    workers: defaultdict[str, set[tuple[object, object]]] = defaultdict(set)
    for worker in parts.pool.report.workers(now):
        status = str(worker["status"])
        workers[str(worker["app"] or "")].add((worker["id"], _AT_WORK.get(status, status)))
    for name, ids in workers.items():
        signs["workers", name] = ids
    apps: defaultdict[str, list[object]] = defaultdict(list)
    for app in parts.pool.report.apps(now):
        status = str(app["status"])
        state = (app["version"], _AT_WORK.get(status, status), app["bootFailures"])
        apps[str(app["app"])].append((*state, app["bootError"]))
    for name, states in apps.items():
        signs["apps", name] = states
    roster = parts.plugins.roster
    for name in roster.found:
        life = roster.lives.get(name)
        signs["plugins", name] = (state_of(roster, name), life and life.serving)
    for entries in menus_shown(parts.plugins):
        signs["menus", entries.plugin] = entries
    for deploy in parts.deploys.history.latest():
        signs["deploys", deploy["app"]] = (deploy["id"], deploy["state"], len(deploy["steps"]))
    attention: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        attention[item.app].append(item.code)
    for name, codes in attention.items():
        signs["attention", name] = codes
    return signs


def changed(before: dict[Sign, object], after: dict[Sign, object]) -> list[Sign]:
    """The signs that are new, gone, or different."""
    keys = dict.fromkeys((*before, *after))
    return [key for key in keys if before.get(key) != after.get(key)]
