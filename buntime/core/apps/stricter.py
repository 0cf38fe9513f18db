"""What part of a changed manifest applies at once, while the code from before still serves.

A change serves once its code has loaded (`core/pool/rollout.py`). But somebody who writes in the
manifest that an app needs a key does not mean "as soon as the code loads". So whatever closes
access applies at once, and whatever opens access waits for the code it was written for. For each
key about access the stricter value applies; all other keys keep the values that the serving code
started with. Paths that either manifest keeps for its jobs (`cronOnly`) are closed.

`KEYS_ABOUT_ACCESS` and `KEYS_ABOUT_CODE` are one table: each manifest key is in one of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from buntime.core.access.publicroutes import BothPublic
from buntime.core.apps.accesskeys import AUTHS
from buntime.core.apps.app import App
from buntime.core.apps.manifest import KEYS, Manifest

_OPENNESS = ("internal", "operators", "protected", "public")
_COOKIE_FREEDOM = ("base", "as-is")


def _by_rank(ranks: tuple[str, ...]) -> Callable[[Any, Any], Any]:
    """Chooses the one of two words that comes first in `ranks`."""
    return lambda one, other: min(one, other, key=ranks.index)


def _in_both(served: tuple[str, ...], newer: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in served if name in newer)


# By key: which of two values is the stricter.
KEYS_ABOUT_ACCESS: Mapping[str, Callable[[Any, Any], Any]] = {
    "visibility": _by_rank(_OPENNESS),
    "auth": _by_rank(AUTHS),
    # Patterns have no order: what either manifest closes is closed, see `tightened`.
    "publicRoutes": lambda served, _: served,
    "maxBodySize": min,
    "cookiePath": _by_rank(_COOKIE_FREEDOM),
    "uses": _in_both,
    "hosts": _in_both,
}
# How the code is found, started and ended, and as which user it runs: running workers keep theirs.
KEYS_ABOUT_CODE = frozenset(
    """
    entrypoint timeout ttl idleTimeout maxRequests lowMemory autoInstall env workers concurrency
    prewarm secrets maxMemory maxAddressSpace maxFileSize maxProcesses memoryMax cpuMax pidsMax
    python path nice user sandbox write data dataMax injectBase stripBase watch
    spa headers static shell keep cron processes release check replace keepVersions
    affinity affinityMax
    """.split()
)
_FIELDS = {key.name: key.field for key in KEYS}


def tightened(served: App, newer: App) -> App:
    """`served` with no more access than `newer` allows; the same object where that changes nothing.

    Its code is that of `served`, see `App.code`.
    """
    mine, theirs = served.manifest, newer.manifest
    changed = {
        _FIELDS[name]: stricter(getattr(mine, _FIELDS[name]), getattr(theirs, _FIELDS[name]))
        for name, stricter in KEYS_ABOUT_ACCESS.items()
    }
    manifest = replace(mine, **changed)
    closed = served.closed_paths | newer.closed_paths
    is_same = manifest == mine and closed == served.closed_paths
    if is_same and (_lets_all_in(theirs) or mine.public_routes == theirs.public_routes):
        return served
    routes = [each.public_routes for each in (served, newer) if not _lets_all_in(each.manifest)]
    return App(
        served.name,
        served.version,
        served.dir,
        served.entrypoint,
        manifest,
        served.source,
        runs=served.code,
        routes=BothPublic(*routes) if routes else None,
        cron_only=closed,
    )


def _lets_all_in(manifest: Manifest) -> bool:
    return manifest.visibility == "public"
