"""A plugin's manifest: that of an app, and what hooks, services and pages need.

The file has the same names and the same rules as an app's: a value of the wrong kind, an unknown
key or a contradiction is an error that names file, key, value and what to do.
"""

import math
from collections.abc import Mapping
from dataclasses import field, replace
from functools import lru_cache
from typing import Any, Literal

from buntime.core.apps.app import is_servable
from buntime.core.apps.manifest import (
    Manifest,
    default_manifest,
    manifest_from,
    read_entries,
    read_values,
    to_config,
)
from buntime.core.apps.manifestvalues import ENDLESS_REQUESTS, NONE
from buntime.core.errors import ManifestError
from buntime.core.plugins.dependencies import Dependency
from buntime.core.plugins.manifestkeys import (
    ALL_KEYS,
    APP_KEYS,
    DEFAULT_ENTRY,
    GUARDING,
    PLUGIN_KEYS,
    STAGES,
)
from buntime.core.plugins.match import Match
from buntime.core.plugins.menus import Menu
from buntime.core.plugins.offers import Offers
from buntime.core.plugins.schema import Schema
from buntime.core.values.frozen import frozen
from buntime.core.values.wording import shown

Stage = Literal["route", "identity", "access", "content"]

__all__ = [
    "ALL_KEYS",
    "DEFAULT_ENTRY",
    "GUARDING",
    "PLUGIN_KEYS",
    "STAGES",
    "PluginManifest",
    "Stage",
    "parse_plugin_manifest",
    "to_plugin_config",
]


@frozen(kw_only=True)
class PluginManifest:
    """How to run a plugin, and what it takes part in."""

    app: Manifest = field(hash=False)  # ttl and idle timeout are infinite where not written
    name: str
    version: str
    enabled: bool
    base: str | None  # "/audit"
    plugin_entry: str | None  # as written; see `entry_file`
    routes: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    optional_dependencies: tuple[Dependency, ...]
    provides: Offers
    match: Match
    stage: Stage
    order: float
    hook_timeout_s: float
    on_error: Literal["refuse", "ignore"]
    body: bool
    menus: tuple[Menu, ...] = field(hash=False)
    frame: Literal["sandboxed", "trusted"]  # what the plugin asks for; operators grant it
    start: Literal["eager", "lazy"] | None  # None: eager, since only its code tells its hooks
    overlap: bool
    sign_in: bool
    cookies: tuple[str, ...]
    config: Schema = field(hash=False)

    @property
    def entry_file(self) -> str:
        """Its code, below its folder. A default name need not exist if there is a page."""
        return self.plugin_entry or DEFAULT_ENTRY

    @property
    def page(self) -> str | None:
        """The .html file at `base`; without one, code answers everything."""
        return self.app.entrypoint

    @property
    def guards(self) -> bool:
        """Whether the requests that it matches are refused while it does not serve."""
        return self.stage in GUARDING

    @property
    def uses(self) -> tuple[str, ...]:
        return self.app.uses


def parse_plugin_manifest(
    text: bytes, *, path: str, body_default: int, body_max: int
) -> tuple[PluginManifest, tuple[str, ...]]:
    """The manifest in `text`, and warnings about values that are used differently from what it
    says.

    As `parse_manifest` for apps. Raises ManifestError.
    """
    entries = read_entries(text, ALL_KEYS, path)
    for_app = read_values(APP_KEYS, entries, path)
    _check_worker(for_app, path)
    app, warnings = manifest_from(
        for_app, path=path, default=_default_app(body_default), body_max=body_max
    )
    given = read_values(PLUGIN_KEYS, entries, path)
    if "name" not in given:
        raise ManifestError(f"{path}: name is missing; write a line like name: audit")
    manifest = PluginManifest(app=app, **{**_DEFAULTS, **given})
    _check_page(manifest, path)
    _check_hooks(manifest, path)
    _check_dependencies(manifest, path)
    return manifest, warnings


def to_plugin_config(manifest: PluginManifest) -> dict[str, object]:
    """The manifest in JSON's types, by its own keys; None for no value and for no limit."""
    values = ((key, getattr(manifest, key.field)) for key in PLUGIN_KEYS)
    own = {key.name: None if value is None else key.dump(value) for key, value in values}
    config = {**to_config(manifest.app), **own}
    endless = {name: None for name in _LIFETIMES if config[name] == NONE}
    return {**config, **endless}


_LIFETIMES = ("ttl", "idleTimeout", "maxRequests")
_DEFAULTS: dict[str, Any] = {
    key.field: None if key.default is None else key.parse(key.default) for key in PLUGIN_KEYS
}


@lru_cache(maxsize=2)
def _default_app(body_default: int) -> Manifest:
    """A plugin's process stays, because it keeps state, and there is only one."""
    return replace(
        default_manifest(body_default),
        visibility="protected",
        ttl_s=math.inf,
        idle_timeout_s=math.inf,
        max_requests=ENDLESS_REQUESTS,
    )


def _check_worker(given: Mapping[str, Any], path: str) -> None:
    if given.get("ttl_s") == 0:
        raise ManifestError(f"{path}: ttl 0: a plugin's process stays; remove ttl or raise it")
    workers = given.get("workers", 1)
    if workers != 1:
        raise ManifestError(f"{path}: workers {workers}: a plugin has one process; remove workers")
    if given.get("hosts"):
        raise ManifestError(f"{path}: hosts: a plugin answers below its base; remove hosts")
    if given.get("keep"):
        raise ManifestError(f"{path}: keep: a plugin's process stays; remove keep")
    if given.get("affinity", "none") != "none":
        raise ManifestError(f"{path}: affinity: a plugin has one process; remove affinity")
    if given.get("prewarm"):
        raise ManifestError(f"{path}: prewarm: a plugin has one process; remove prewarm")
    if given.get("processes"):
        raise ManifestError(f"{path}: processes: a plugin has one process; remove processes")
    if given.get("cron"):
        raise ManifestError(
            f"{path}: cron: only apps have jobs; write an app whose job calls the plugin, or use "
            "a thread that on_server_start begins, and remove cron"
        )


def _check_page(manifest: PluginManifest, path: str) -> None:
    """A plugin has at most one page, in one place."""
    page = manifest.page
    if page is not None and (page.lower().endswith(".py") or not is_servable(page)):
        raise ManifestError(
            f"{path}: entrypoint {shown(page)} is not a page (.html); code that serves requests "
            f"belongs in the pluginEntry, {manifest.entry_file}: move it there"
        )
    if manifest.routes and page is None:
        raise ManifestError(
            f"{path}: routes: without a page (entrypoint: index.html) everything goes to code; "
            "remove routes or name a page"
        )
    needs_base = {
        "entrypoint": page,
        "publicRoutes": manifest.app.public_routes,
        "menus": manifest.menus,
    }
    if manifest.base is None:
        for key, value in needs_base.items():
            if value:
                raise ManifestError(
                    f"{path}: {key}: the plugin has no base to serve it below; "
                    f"add one like base: /{manifest.name.rpartition('/')[2]}"
                )


def _check_hooks(manifest: PluginManifest, path: str) -> None:
    stage = manifest.stage
    if manifest.guards and manifest.on_error == "ignore":
        raise ManifestError(
            f"{path}: onError ignore: a hook of stage {stage} that fails can only refuse; "
            "remove onError"
        )
    if manifest.guards and manifest.start == "lazy":
        raise ManifestError(
            f"{path}: start lazy: a plugin of stage {stage} closes what it covers until it is "
            "started; remove start"
        )
    if manifest.sign_in and stage != "identity":
        raise ManifestError(
            f"{path}: signIn: a plugin that signs people in also says who they are: write "
            "stage: identity"
        )
    if manifest.match.auth and stage != "identity":
        raise ManifestError(
            f"{path}: match.auth: is for plugins of stage identity; remove auth, or change stage"
        )
    if stage == "route" and manifest.match.apps:
        raise ManifestError(
            f"{path}: match.apps: in stage route no app is known yet; match by paths or hosts"
        )
    if stage != "access" and manifest.match.public:
        raise ManifestError(
            f"{path}: match.public: hooks of all stages but access are called for public routes "
            "anyway; remove public"
        )


def _check_dependencies(manifest: PluginManifest, path: str) -> None:
    """Its dependencies must not name the plugin itself, nor name another one twice."""
    required = {each.name for each in manifest.dependencies}
    optional = {each.name for each in manifest.optional_dependencies}
    for key, names in (("dependencies", required), ("optionalDependencies", optional)):
        if manifest.name in names:
            raise ManifestError(f"{path}: {key}: {manifest.name} is this plugin itself; remove it")
    if twice := sorted(required & optional):
        raise ManifestError(
            f"{path}: optionalDependencies: {twice[0]} is in dependencies too; remove one"
        )
    own = {service for service, _ in manifest.provides}
    for service in manifest.uses:
        if service in own:
            raise ManifestError(f"{path}: uses: {service} is offered by this plugin; remove it")
