"""What operators see of plugins: `GET /api/plugins`."""

import time

from buntime.core.plugins.options import Option
from buntime.core.telemetry.pluginmeters import PluginMeter, PluginMeters
from buntime.core.telemetry.pluginmetrics import PluginRow, plugin_row
from buntime.server.plugins.outlook import is_trusted
from buntime.server.plugins.roster import Roster


def describe(roster: Roster, meters: PluginMeters, name: str, now: float) -> dict[str, object]:
    """One that was found."""
    return {**_describe(roster, name, now), "counts": _counts(meters.of(name))}


def metrics_of(roster: Roster, meters: PluginMeters) -> list[PluginRow]:
    """The values of each plugin that was found; counts of others are dropped."""
    meters.keep(roster.found)
    return [_row(roster, name, meters.of(name)) for name in sorted(roster.found)]


def _row(roster: Roster, name: str, meter: PluginMeter) -> PluginRow:
    life = roster.lives.get(name)
    serving = life.serving if life is not None and life.has_served else None
    return plugin_row(
        name,
        meter,
        generation=serving.number if serving is not None else 0,
        is_up=state_of(roster, name)[0] == "serving",
    )


def _counts(meter: PluginMeter) -> dict[str, int]:
    """The sums since the runtime's start; /metrics has them in full."""
    return {
        "starts": meter.starts_served,
        "startsFailed": meter.starts_failed,
        "deaths": meter.deaths,
        "hooksAsked": sum(hook.seconds.count for hook in meter.hooks.values()),
        "hooksFailed": sum(sum(hook.failures.values()) for hook in meter.hooks.values()),
        "serviceCalls": sum(meter.calls.values()),
        "noticesDropped": meter.notices_dropped,
    }


def state_of(roster: Roster, name: str) -> tuple[str, str]:
    """The word for its state, and the reason if that needs one.

    disabled, unreadable, left out, waiting, starting, asleep, serving, away, failed
    """
    found, life = roster.found[name], roster.lives.get(name)
    why = roster.order.left_out.get(name, "").removeprefix(f"{name} ")
    if not roster.is_enabled(name):
        return "disabled", ""
    if life is not None and life.has_served:
        if life.worker is None:
            return ("starting", "") if life.is_changing else ("away", life.failure)
        return "serving", life.failure or found.error
    if life is not None and life.failure:
        return "failed", life.failure
    if found.manifest is None:
        return "unreadable", found.error
    if found.error and not found.is_last_good:
        return "failed", found.error
    if why:
        return "left out", why
    if life is None:
        return "serving", found.error  # a page alone
    if life.serving is not None and life.serving.is_lazy:
        return "asleep", ""
    return ("starting" if life.is_starting else "waiting"), ""


def _describe(roster: Roster, name: str, now: float) -> dict[str, object]:
    serves, life = roster.serves_with(name), roster.lives.get(name)
    manifest, switch = serves.manifest, roster.switches.of(name)
    serving = life.serving if life is not None and life.has_served else None
    worker = life.worker if life is not None else None
    state, why = state_of(roster, name)
    options = options_of(roster, name)
    return {
        "name": name,
        "version": manifest and manifest.version,
        "state": state,
        "why": why or None,
        "isStarting": life is not None and life.is_starting,  # beside what serves, perhaps
        "enabled": roster.is_enabled(name),
        "enabledBy": roster.switched_by(name),
        "switched": switch and {"by": switch.by, "at": switch.at},
        "stage": manifest and manifest.stage,
        "base": manifest and manifest.base,
        "frame": _frame(roster, name),
        "generation": serving and serving.number,
        "hooks": sorted(serving.code.hooks) if serving else [],
        "services": {service: sorted(methods) for service, methods in serving.code.services.items()}
        if serving
        else {},
        "options": [option.dump() for option in options],
        "pid": worker and worker.process.pid,
        "worker": worker and worker.name,
        "since": _moment(now - serving.since_s) if serving and worker else None,
    }


def _frame(roster: Roster, name: str) -> dict[str, object]:
    """Whether its pages share the origin where operators sign in, and who decided that."""
    setting, manifest = roster.config.of(name).frame, roster.serves_with(name).manifest
    return {
        "trusted": is_trusted(roster, roster.found[name]),
        "asked": manifest is not None and manifest.frame == "trusted",
        "origin": setting and setting.place,
    }


def options_of(roster: Roster, name: str) -> tuple[Option, ...]:
    """The options in effect for what serves, if something does."""
    found, serves = roster.found[name], roster.serves_with(name)
    # The newest has the newest places: lines of the config file.
    options = found.options if found.starts_as(serves) else serves.options
    return options.options if options is not None else ()


def _moment(ago_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago_s))
