"""What the current plugins mean for others: the plan of hooks, bases, services."""

from collections.abc import Mapping

from buntime.core.access.operators import PANEL
from buntime.core.http1.signin import SIGN_IN
from buntime.core.plugins.plan import NO_PLUGINS, Plan, Standing, compile_plan, owner_of
from buntime.core.plugins.services import Services
from buntime.server.plugins.found import Found
from buntime.server.plugins.roster import Roster
from buntime.server.plugins.sites import PluginSite

_COMING = "is being started"
_AWAY = "is started again"


def plan_of(roster: Roster) -> Plan:
    """Whose hooks are asked about what. What counts is being enabled, not running."""
    enabled = list(roster.enabled())
    if not enabled:
        return NO_PLUGINS
    standings = [each for found in enabled if (each := _standing(roster, found)) is not None]
    return compile_plan(standings, {each.name: each.error for each in enabled if not each.manifest})


def sites_of(roster: Roster) -> Mapping[str, PluginSite]:
    """By the first segment of the path, by "plugin:NAME", or `SIGN_IN`.

    If two have the same one, the plugin that may run has it.
    """
    sites: dict[str, PluginSite] = {}
    for found in sorted(roster.enabled(), key=lambda each: each.name in roster.order.start):
        serves = roster.serves_with(found.name)
        manifest = serves.manifest
        if manifest is None or (manifest.base is None and not manifest.sign_in):
            continue
        why = roster.why_not(found.name)
        site = PluginSite(
            found.name,
            serves.app,
            serves.page,
            serves.routes,
            why,
            is_shown=bool(manifest.menus or manifest.app.in_shell),
            is_trusted=is_trusted(roster, found),
        )
        if manifest.base is not None:
            sites[manifest.base[1:]] = sites[owner_of(found.name)] = site
        if manifest.sign_in:
            sites[SIGN_IN] = site
    return sites


def is_trusted(roster: Roster, found: Found) -> bool:
    """As an operator decides; else true for the panel that comes with Buntime, where operators sign
    in."""
    setting = roster.config.of(found.name).frame
    if setting is not None:
        return setting.trusted
    return found.is_bundled and found.name == PANEL


def cookies_of(roster: Roster) -> Mapping[str, frozenset[str]]:
    """The cookies of each enabled plugin that has its own, by its name."""
    manifests = [roster.serves_with(found.name).manifest for found in roster.enabled()]
    return {each.name: frozenset(each.cookies) for each in manifests if each and each.cookies}


def services_of(roster: Roster) -> Services:
    """Who offers what. If two offer the same service, the plugin that may run has it."""
    enabled = sorted(roster.enabled(), key=lambda each: each.name not in roster.order.start)
    manifests = (roster.serves_with(each.name).manifest for each in enabled)
    return Services(
        (manifest for manifest in manifests if manifest is not None), roster.config.grants
    )


def _standing(roster: Roster, found: Found) -> Standing | None:
    """A manifest that has changed counts once its code serves."""
    life = roster.lives.get(found.name)
    manifest = roster.serves_with(found.name).manifest
    if manifest is None:
        return None
    if life is None or life.serving is None or not life.has_served:
        why, trusted = roster.why_not(found.name) or _COMING, is_trusted(roster, found)
        is_awaited = manifest.guards or found.name in roster.awaited
        is_coming = is_awaited and roster.is_coming(found.name)
        return Standing(manifest, None, why, trusted, is_coming=is_coming)
    is_here = life.worker is not None or life.is_changing
    away = "" if is_here else life.failure or _AWAY
    return Standing(manifest, life.serving.code.hooks, away, is_trusted(roster, found))
