"""What needs an operator's attention, in plain sentences: what is wrong, what it means, what to do.

Each function makes items from the state of one thing; server/admin/attention.py gathers that state.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from buntime.core.plugins.plan import ON_REQUEST, ON_RESPONSE
from buntime.core.pool.workforce import CRASH_LOOP
from buntime.core.telemetry.pluginmeters import WINDOW_S, Lately
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import counted

LEVELS = ("error", "warning", "info")
ITEMS_MAX = 200  # listed at once
_TEXT_MAX_CHARS = 500
# About the requests of the last minutes.
_FAILED_MIN = 10
_FAILED_SHARE = 0.05
DEATHS_MIN = 3
_HOOK_FAILED_MIN = 3
_STANDSTILL_S = 1.0


class Item(NamedTuple):
    """One item. `app` is the app it concerns, "" for the runtime; `href` is a page of the control
    panel."""

    level: Literal["error", "warning", "info"]
    code: str
    app: str
    text: str
    hint: str = ""
    command: str = ""
    href: str = ""

    def to_json(self) -> dict[str, object]:
        """The item as the API returns it."""
        return {name: value or None for name, value in self._asdict().items()}


def in_order(items: Iterable[Item]) -> list[Item]:
    """The worst first, then by app; no more than ITEMS_MAX."""
    found = sorted(items, key=lambda each: (LEVELS.index(each.level), each.app, each.code))
    return found[:ITEMS_MAX]


def of_boot(app: Mapping[str, Any], missing: Iterable[str] = ()) -> Item:
    """An app that does not load, as `/api/workers` shows it; `missing` are secrets it lacks."""
    name, failures = app["app"], app["bootFailures"]
    error = first_line(app["bootError"] or "")
    href = f"/cpanel/apps/{name}"
    names = [*missing]
    if names:
        text = f"{name} does not load because it has no value for {', '.join(names[:5])}."
        command = f"buntime secrets set {name} {names[0]}"
        return Item(
            "error", "secrets_missing", name, text, "It loads once it has them.", command, href
        )
    if failures >= CRASH_LOOP:
        text = f"{name} has failed to load {counted(failures, 'time')} in a row: {error}"
        hint = "Visitors get 503. The runtime tries again by itself, at least once a minute."
        return Item("error", "app_crash_loop", name, text, hint, f"buntime show {name}", href)
    text = f"{name} does not load: {error}"
    hint = "The runtime tries again by itself."
    return Item("error", "app_boot_failed", name, text, hint, f"buntime show {name}", href)


def of_fault(name: str, errors: Iterable[str]) -> Iterator[Item]:
    """An app whose manifest or folder has an error."""
    for error in sorted(errors)[:3]:
        yield Item(
            "error",
            "app_invalid",
            name,
            f"{name} cannot be served: {first_line(error)}",
            "It is looked at again as soon as a file in its folder changes.",
            f"buntime show {name}",
            f"/cpanel/apps/{name}",
        )


def of_hidden(name: str, plugin: str) -> Item:
    """An app that nobody can reach, because a plugin has its path."""
    return Item(
        "warning",
        "app_hidden",
        name,
        f"{name} cannot be reached: the plugin {plugin} has the path /{name}.",
        f"Rename the app, or, if you do not need the plugin: buntime plugins disable {plugin}",
        f"buntime plugins show {plugin}",
        f"/cpanel/plugins/{plugin}",
    )


def of_deaths(name: str, count: int, why: str) -> Item:
    """Workers of an app that died by themselves in the last ten minutes."""
    return Item(
        "warning",
        "workers_fail",
        name,
        f"{count} workers of {name} have failed in the last ten minutes, the last one: "
        f"{first_line(why)}",
        "The requests that they were handling failed, too.",
        f"buntime show {name} --autopsies",
        f"/cpanel/apps/{name}#autopsies",
    )


def of_process(app: str, name: str, failures: int, why: str) -> Item:
    """A process that an app wants to run all the time, and that does not stay up."""
    return Item(
        "error",
        "process_fails",
        app,
        f"The process {name} of {app} has ended {failures} times in a row, the last time: "
        f"{first_line(why)}",
        "The runtime starts it again by itself, at least once a minute.",
        f"buntime logs {app} --level warn",
        f"/cpanel/apps/{app}",
    )


def of_failed_requests(name: str, requests: int, failed: int) -> Item | None:
    """The requests of the last ten minutes, where many were answered with 5xx."""
    if failed < _FAILED_MIN or failed < _FAILED_SHARE * requests:
        return None
    share = f"{100 * failed / requests:.0f}%"
    text = f"{failed} of {requests} requests to {name} ({share}) were answered with an error"
    return Item(
        "warning",
        "requests_fail",
        name,
        f"{text} (5xx) in the last ten minutes.",
        "Either the app failed or was late, or a plugin refused: the log tells each.",
        f"buntime show {name} --errors",
        f"/cpanel/apps/{name}#errors",
    )


def of_plugin(name: str, state: str, why: str, *, guards: bool) -> Item | None:
    """A plugin that should run and does not."""
    if state not in ("failed", "unreadable", "left out", "away"):
        return None
    reason = f": {first_line(why)}" if why else "."
    closed = "What it guards is closed: 503. " if guards else ""
    return Item(
        "error" if guards else "warning",
        "plugin_down",
        "",
        f"The plugin {name} does not run ({state}){reason}",
        f"{closed}Correct it, then: buntime plugins reload {name}",
        f"buntime plugins show {name}",
        f"/cpanel/plugins/{name}",
    )


def of_plugin_deaths(name: str, count: int, why: str, *, guards: bool) -> Item:
    """A plugin that serves, and whose process died in the last ten minutes."""
    closed = " What it guards was closed meanwhile: 503." if guards else ""
    return Item(
        "warning",
        "plugin_dies",
        "",
        f"The process of the plugin {name} has failed {counted(count, 'time')} in the last ten "
        f"minutes, the last one: {first_line(why)}",
        f"Another one was started each time; what it had in hand failed, too.{closed}",
        f"buntime logs plugin:{name} --level warn",
        f"/cpanel/plugins/{name}",
    )


def of_hook(plugin: str, hook: str, lately: Lately, *, ignores: bool) -> Item:
    """A hook that failed, was late or could not be asked in the last minutes; `ignores`: its
    requests went on without it."""
    hint, refuses = "", False
    if hook in (ON_REQUEST, ON_RESPONSE):
        refuses = not ignores
        hint = "Those requests were answered with 502 or 503. "
        if ignores:
            hint = "Those requests went on without it. "
    share = lately.failed / (lately.failed + lately.verdicts)
    is_often = lately.failed >= _HOOK_FAILED_MIN and share >= _FAILED_SHARE
    often = counted(lately.failed, "time")
    if hint and not lately.verdicts:  # of other hooks it is not known how often they went well
        often += ", each time that it was needed,"
    return Item(
        "error" if refuses and is_often else "warning",
        "plugin_hook_fails",
        "",
        f"{hook} of the plugin {plugin} has failed {often} in the last {WINDOW_S / 60:.0f} "
        f"minutes, the last time {lately.ago_s:.0f} s ago: {first_line(lately.why)}",
        f"{hint}Correct it, then: buntime plugins reload {plugin}",
        f"buntime logs plugin:{plugin} --level warn",
        f"/cpanel/plugins/{plugin}",
    )


def of_closed(why: str) -> Item:
    """It is unknown what a plugin guards, so everything is closed."""
    return Item(
        "error",
        "all_closed",
        "",
        f"Every app is closed (503): {first_line(why)}",
        "A plugin that cannot be read may guard anything. Repair it, or remove its folder.",
        "buntime plugins list",
        "/cpanel/plugins",
    )


def of_deploy(deploy: Mapping[str, Any]) -> Item:
    """An app whose last deploy failed."""
    app, version = deploy["app"], deploy["version"]
    error = (deploy.get("error") or {}).get("message", "")
    return Item(
        "warning",
        "deploy_failed",
        app,
        f"The last {deploy['kind']} of {app} {version} has failed at the step {deploy['failed']}: "
        f"{first_line(error)}",
        "What served before, if anything, goes on serving.",
        f"buntime show {app}",
        f"/cpanel/apps/{app}",
    )


def of_job(app: str, job: str, result: str, detail: str) -> Item:
    """A job whose last run failed."""
    return Item(
        "warning",
        "job_failed",
        app,
        f"The job {job} of {app} has failed: {first_line(detail) or result}",
        "It runs again when it is due.",
        f"buntime cron run {app} {job}",
        f"/cpanel/apps/{app}#cron",
    )


def of_data(folder: str, share: float) -> Item:
    """Data close to its `dataMax`, or above it; `folder` is "shop", "plugin+keyval"."""
    is_over = share > 1
    name = folder.replace("+", "/")
    hint = (
        "Nothing is refused: it can still write. Remove what is not needed, or raise dataMax "
        "before the disk is full."
    )
    return Item(
        "error" if is_over else "warning",
        "data_over" if is_over else "data_filling",
        "" if folder.startswith("plugin+") else name,
        f"The data of {name} take {share:.0%} of the dataMax that its manifest or operators set.",
        hint,
        "buntime data list",
    )


def of_maintenance(app: str, message: str) -> Item:
    """An app that somebody has closed, and may have forgotten."""
    return Item(
        "info",
        "maintenance",
        app,
        f"{app} is closed for its visitors: {first_line(message)}",
        "",
        f"buntime maintenance off {app}",
        f"/cpanel/apps/{app}",
    )


def of_state(trouble: str) -> Item:
    """The state folder or its database cannot be used."""
    return Item(
        "error",
        "state_unavailable",
        "",
        f"The state folder cannot be used: {first_line(trouble)}",
        "Apps are served. Keys, switches, jobs and the audit trail are not kept.",
        "buntime doctor",
        "/cpanel/settings",
    )


def of_rejected(what: str, faults: Sequence[str]) -> Iterator[Item]:
    """The settings or the config file were changed and read again, and have faults."""
    if faults:
        more = f" (and {counted(len(faults) - 1, 'more fault')})" if len(faults) > 1 else ""
        yield Item(
            "error",
            f"{what.partition(' ')[0]}_rejected",
            "",
            f"The changed {what} cannot be used: {first_line(faults[0])}{more}",
            "What was read before stays in effect. Correct it, then: systemctl reload buntime, or "
            "send SIGHUP.",
            "buntime doctor",
            "/cpanel/settings",
        )


def of_no_state(jobs: int) -> Item:
    """RUNTIME_STATE is none, by choice; `jobs` of apps do not run by themselves."""
    text = "This runtime keeps nothing, because it is one of several replicas (RUNTIME_STATE=none)."
    hint = "Keys, secrets and the config come from files. This page shows this replica only."
    if jobs:
        hint += f" {jobs} jobs of apps run only when somebody asks for them, not on schedule."
    return Item("info", "state_off", "", text, hint, "", "/cpanel/settings")


def of_disk(folder: str, free_bytes: int, size_bytes: int) -> Item | None:
    """A disk with little space left."""
    free = free_bytes / max(1, size_bytes)
    if (free >= 0.05 and free_bytes >= 500_000_000) or free >= 0.2:
        return None
    is_full = free < 0.01 or free_bytes < 50_000_000
    return Item(
        "error" if is_full else "warning",
        "disk_full",
        "",
        f"The disk of {folder} has {free_bytes // 1_000_000:,} MB left ({100 * free:.0f}%).",
        "On a full disk logs lose lines, and deploys, secrets and keys are refused.",
        f"df -h {folder}",
        "/cpanel/settings",
    )


def of_standstills(count: int, longest_s: float) -> Item:
    """Turns of the event loop that took too long in the last ten minutes."""
    return Item(
        "warning" if longest_s >= _STANDSTILL_S else "info",
        "slow_turns",
        "",
        f"The runtime stood still {counted(count, 'time')} in the last ten minutes, for up to "
        f"{longest_s:.1f} s.",
        "Meanwhile nobody got an answer. The log says what it did: loop.slow_turn.",
        "buntime logs --level warn",
        "/cpanel/logs?app=%2Bruntime&level=warn",
    )


def first_line(text: str) -> str:
    """The first line, cut to length, without control characters."""
    line = text.strip().partition("\n")[0].strip()
    if len(line) > _TEXT_MAX_CHARS:
        line = f"{line[: _TEXT_MAX_CHARS - 1]}…"
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else " " for char in line)
