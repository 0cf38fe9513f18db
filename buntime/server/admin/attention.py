"""`GET /api/attention`: gathers what needs an operator's attention, see `core.admin.attention`."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from buntime.core.access.rights import may
from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.admin import attention as items
from buntime.core.admin.attention import Item
from buntime.core.errors import HttpError, ManifestError
from buntime.core.telemetry.cronmetrics import RAN
from buntime.core.telemetry.meters import Cause
from buntime.server.admin.api import Handler
from buntime.server.admin.appstate import plugin_before
from buntime.server.admin.call import Call
from buntime.server.admin.events import sight_of
from buntime.server.admin.parts import Parts
from buntime.server.plugins.report import state_of

_LATELY_S = 600.0
_POINTS = 60  # of history, covering the same time
_OF_PLUGINS = frozenset(("plugin_down", "plugin_dies", "plugin_hook_fails", "all_closed"))
_BOOTS = (Cause.BOOT, Cause.BOOT_TIMEOUT)
_DEPLOYS_S = 86_400.0  # for how long a failed deploy is reported

_Entry = dict[str, object]


class Attention:
    """Asks the parts of the runtime about their own state. On the loop's thread."""

    def __init__(self, parts: Parts, *, clock: Callable[[], float] = time.time) -> None:
        self._parts = parts
        self._clock = clock

    def items(self) -> list[Item]:
        """Everything that needs attention now, except for disks."""
        found = [*self._of_apps(), *self._of_work(), *self._of_runtime()]
        return items.in_order(found)

    def _of_apps(self) -> Iterator[Item]:
        parts, now = self._parts, self._parts.service.loop.now
        reported: set[str] = set()
        failing = (each for each in parts.pool.report.apps(now) if each["bootFailures"])
        broken = [each for each in failing if not self._is_passed(each)]
        for app in broken[: items.ITEMS_MAX]:
            name = str(app["app"])
            if ":" not in name:
                reported.add(name)
                yield items.of_boot(app, self._missing(app))
        for name, errors in islice(parts.app_faults().items(), items.ITEMS_MAX):
            reported.add(name)
            yield from items.of_fault(name, errors)
        yield from self._of_hidden()
        autopsies = parts.pool.stats.autopsies
        for key, count in autopsies.failed_since(self._clock() - _LATELY_S).items():
            name = key.rpartition("@")[0] or key
            if count >= items.DEATHS_MIN and name not in reported and ":" not in name:
                reported.add(name)
                yield items.of_deaths(name, count, autopsies.of_app(name)[0][1].why)
        for name, (requests, failed) in parts.chronicle.lately(_POINTS).items():
            item = (
                items.of_failed_requests(name, requests, failed) if name not in reported else None
            )
            if item is not None and ":" not in name:
                yield item

    def _of_hidden(self) -> Iterator[Item]:
        """Apps whose path a plugin has. There are few plugins, but may be thousands of apps."""
        parts, now = self._parts, self._parts.service.loop.now
        for name in parts.plugins.roster.found:
            manifest = parts.plugins.roster.serves_with(name).manifest
            app = (manifest.base or "")[1:] if manifest is not None else ""
            if not parts.catalog.versions_of(app, now):
                continue
            if plugin_before(parts.plugins.at_base, parts.catalog, app, now) == name:
                yield items.of_hidden(app, name)

    def _is_passed(self, app: Mapping[str, object]) -> bool:
        """Whether another version serves by now, deployed to replace this one."""
        parts = self._parts
        newest = parts.catalog.newest(str(app["app"]), parts.service.loop.now)
        return newest is not None and newest != app["version"]

    def _missing(self, entry: Mapping[str, object]) -> list[str]:
        """The secrets whose absence keeps it from loading."""
        version, error = entry["version"], entry["bootError"]
        if not isinstance(error, str) or ": secrets: " not in error:
            return []
        try:
            spec = version if isinstance(version, str) else None
            app = self._parts.catalog.find(str(entry["app"]), spec, self._parts.service.loop.now)
        except (HttpError, ManifestError):
            return []
        return sorted(self._parts.secrets.missing(app))

    def _of_work(self) -> Iterator[Item]:
        """Deploys, jobs, and what somebody has closed."""
        parts, since = self._parts, _iso(self._clock() - _DEPLOYS_S)
        seen: set[str] = set()
        for deploy in parts.deploys.history.latest():
            if deploy["app"] in seen:
                continue
            seen.add(deploy["app"])
            if deploy["state"] == "failed" and str(deploy.get("at", "")) >= since:
                yield items.of_deploy(deploy)
        for job in parts.unasked.cron.seen():
            last = next((each for each in job.ended if each.result in RAN), None)
            if last is not None and last.result != "ok":
                yield items.of_job(job.key.app, job.key.name, last.result, last.detail)
        for key, failures, why in parts.unasked.failing():
            yield items.of_process(key.app, key.name, failures, why)
        for use in parts.data_meter.use.raised():
            yield items.of_data(
                use.measured.name, use.measured.size_bytes / use.measured.most_bytes
            )
        for name, closed in parts.maintenance.closed.items():
            yield items.of_maintenance(name, closed.message)

    def _of_runtime(self) -> Iterator[Item]:
        parts, now = self._parts, self._parts.service.loop.now
        if parts.db.is_off:
            yield items.of_no_state(len(parts.unasked.cron.seen()))
        elif parts.db.trouble:
            yield items.of_state(parts.db.trouble)
        for what, faults in (
            ("settings", [parts.live.rejected] if parts.live.rejected else []),
            ("config file", parts.plugins.config_log.rejected),
        ):
            yield from items.of_rejected(what, faults)
        if parts.plugins.plan.closed:
            yield items.of_closed(parts.plugins.plan.closed)
        roster = parts.plugins.roster
        for name in roster.found:
            manifest = roster.serves_with(name).manifest
            guards = manifest is not None and manifest.guards
            state, why = state_of(roster, name)
            item = items.of_plugin(name, state, why, guards=guards)
            if item is not None:
                yield item
            elif state != "disabled":
                yield from self._of_plugin_deaths(name, guards=guards)
                yield from self._of_hooks(name)
        slow = [took for at, took in parts.service.loop.slow_turns if now - at < _LATELY_S]
        if slow:
            yield items.of_standstills(len(slow), max(slow))

    def _of_plugin_deaths(self, name: str, *, guards: bool) -> Iterator[Item]:
        """The processes of a plugin that failed lately, whatever its version was."""
        autopsies, since = self._parts.pool.stats.autopsies, self._clock() - _LATELY_S
        found = [each for _, each in autopsies.of_app(PLUGIN_PREFIX + name)]
        died = [each for each in found if not (each.is_planned or each.cause in _BOOTS)]
        failed = [each for each in died if each.at >= since]
        if failed:
            yield items.of_plugin_deaths(name, len(failed), failed[0].why, guards=guards)

    def _of_hooks(self, name: str) -> Iterator[Item]:
        """The hooks of a plugin that failed in the last minutes."""
        plugins, now = self._parts.plugins, self._parts.service.loop.now
        ignores = all(hook.ignores for hook in plugins.plan.hooks if hook.plugin == name)
        for hook, meter in plugins.meters.of(name).hooks.items():
            lately = meter.lately(now)
            if lately is not None:
                yield items.of_hook(name, hook, lately, ignores=ignores)


class AttentionPages:
    """Serves this page."""

    def __init__(self, parts: Parts, attention: Attention) -> None:
        self._parts = parts
        self._attention = attention

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"attention.list": self._list}

    def _list(self, call: Call) -> None:
        sees_all = sight_of(call.caller, call.route.verb) is None
        found = [each for each in self._attention.items() if may_know(call, each)]
        if not sees_all:
            call.answer({"items": [each.to_json() for each in found]})
            return
        settings = self._parts.live.now
        folders = [settings.state_dir, *map(str, settings.worker_dirs)]

        def answer(disks: list[Item] | BaseException) -> None:
            if isinstance(disks, BaseException):
                raise disks  # for the log: a bug
            listed = items.in_order([*found, *disks])
            call.answer({"items": [each.to_json() for each in listed]})

        work = lambda: _of_disks(folders)  # noqa: E731  # a hung disk holds up one thread
        self._parts.service.loop.run_blocking(work, lambda disks: call.guard(lambda: answer(disks)))


def may_know(call: Call, item: Item) -> bool:
    """Whether the caller may see it: by the app if it has one, by their own right for plugins."""
    if item.app:
        return call.sees(item.app)
    verb = "plugins:read" if item.code in _OF_PLUGINS else call.route.verb
    return may(call.caller, verb)


def _of_disks(folders: list[str]) -> list[Item]:
    found: dict[int, Item] = {}
    for folder in folders:
        try:
            device, usage = os.stat(folder).st_dev, os.statvfs(folder)
        except OSError:
            continue
        free, size = usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize
        item = items.of_disk(folder, free, size)
        if item is not None:
            found.setdefault(device, item)
    return [*found.values()]


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
