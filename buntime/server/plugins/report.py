"""What operators see of plugins: `GET /api/plugins`."""

import time

from buntime.server.plugins.roster import Roster


def to_json(roster: Roster, now: float) -> dict[str, object]:
    """All plugins that were found, by name. `now` is the loop's."""
    return {"plugins": [_describe(roster, name, now) for name in sorted(roster.found)]}


def state_of(roster: Roster, name: str) -> tuple[str, str]:
    """The word for how it stands, and why it is so where that wants a reason.

    disabled, unreadable, left out, waiting, starting, asleep, serving, away, failed
    """
    found, life = roster.found[name], roster.lives.get(name)
    why = roster.order.left_out.get(name, "").removeprefix(f"{name} ")
    if not roster.is_enabled(name):
        return "disabled", ""
    if life is not None and life.has_served:
        return ("serving", life.failure or found.error) if life.worker else ("away", life.failure)
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
    return {
        "name": name,
        "version": manifest and manifest.version,
        "state": state,
        "why": why or None,
        "enabled": roster.is_enabled(name),
        "switched": switch and {"by": switch.by, "at": switch.at},
        "stage": manifest and manifest.stage,
        "base": manifest and manifest.base,
        "generation": serving and serving.number,
        "hooks": sorted(serving.code.hooks) if serving else [],
        "services": {service: sorted(methods) for service, methods in serving.code.services.items()}
        if serving
        else {},
        "pid": worker and worker.process.pid,
        "worker": worker and worker.name,
        "since": _moment(now - serving.since_s) if serving and worker else None,
    }


def _moment(ago_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago_s))
