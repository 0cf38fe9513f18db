"""Tells plugins what happens: workers that start and end, other apps, other plugins.

A plugin gets notices from the end of its on_server_start on, and only those it has a function for.
The full lists (apps, plugins) are sent then, and at each change. Nothing waits for it: see
`mailbox` and `core/plugins/outbox`.
"""

from collections.abc import Callable, Iterable

from buntime import wire
from buntime.core.plugins.notices import (
    ON_APPS_CHANGED,
    ON_PLUGINS_CHANGED,
    ON_WORKER_SPAWN,
    ON_WORKER_TERMINATE,
    Told,
    apps_told,
    plugin_told,
    worker_ended,
    worker_told,
)
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.server.loop.loop import Loop
from buntime.server.plugins.generation import Generation
from buntime.server.plugins.mailbox import Mailbox
from buntime.server.plugins.report import state_of
from buntime.server.plugins.roster import Roster
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.worker import Worker

_LOOK_S = 1.0  # how often other apps are looked for, while a plugin wants to know

Apps = Callable[[float], Iterable[tuple[str, str | None]]]


class Notices:
    """All plugins that get notices."""

    def __init__(self, loop: Loop, roster: Roster, meters: PluginMeters) -> None:
        self._loop = loop
        self._roster = roster
        self._meters = meters
        self._apps: Apps = lambda _: ()
        self._boxes: dict[str, Mailbox] = {}  # by the plugin
        self._is_looking = False  # for other apps, again and again
        self._is_due = False  # plugins may be others

    def __repr__(self) -> str:
        return f"Notices({list(self._boxes)})"

    def watch(self, apps: Apps) -> None:
        """`apps` returns the names and versions of all apps at one moment of the loop."""
        self._apps = apps

    def join(self, generation: Generation, worker: Worker) -> None:
        """This generation serves, and on_server_start is over: it gets notices from now on."""
        manifest, hooks = generation.found.manifest, generation.code.hooks
        has_ephemeral = manifest is not None and manifest.match.workers == "all"
        name = generation.found.name
        self._boxes[name] = Mailbox(
            self._loop, worker, self._meters.of(name), hooks, has_ephemeral=has_ephemeral
        )
        if ON_APPS_CHANGED in hooks:
            self._tell_apps()
        if ON_PLUGINS_CHANGED in hooks:
            self._tell_plugins()

    def leave(self, worker: Worker) -> None:
        """It has ended."""
        for name, box in tuple(self._boxes.items()):
            if box.worker is worker:
                del self._boxes[name]

    # What happens

    def on_spawn(self, deployment: Deployment, worker: Worker) -> None:
        """A worker has loaded its app."""
        boxes = self._for_worker(ON_WORKER_SPAWN, deployment)
        if boxes:
            _send(boxes, ON_WORKER_SPAWN, _worker_entry(deployment, worker))

    def on_terminate(
        self, deployment: Deployment, worker: Worker, how: str, *, expected: bool
    ) -> None:
        """A worker that had loaded its app has ended."""
        boxes = self._for_worker(ON_WORKER_TERMINATE, deployment)
        if boxes:
            entry = worker_ended(_worker_entry(deployment, worker), how, expected=expected)
            _send(boxes, ON_WORKER_TERMINATE, entry)

    def on_plugins(self) -> None:
        """Something about a plugin may have changed; notices are sent when the turn is over."""
        if not self._is_due and self._for(ON_PLUGINS_CHANGED):
            self._is_due = True
            self._loop.call_soon(self._tell_plugins)

    # How it is done

    def _for(self, notice: str) -> list[Mailbox]:
        return [box for box in self._boxes.values() if notice in box.hooks]

    def _for_worker(self, notice: str, deployment: Deployment) -> list[Mailbox]:
        boxes = self._for(notice)
        if boxes and deployment.app.manifest.ttl_s == 0:
            return [box for box in boxes if box.has_ephemeral]
        return boxes

    def _tell_plugins(self) -> None:
        self._is_due = False
        entries = [self._describe(name) for name in sorted(self._roster.found)]
        _send_if_news(self._for(ON_PLUGINS_CHANGED), ON_PLUGINS_CHANGED, entries)

    def _describe(self, name: str) -> Told:
        manifest, life = self._roster.serves_with(name).manifest, self._roster.lives.get(name)
        serving = life.serving if life is not None and life.has_served else None
        state, _ = state_of(self._roster, name)
        version, base = (None, None) if manifest is None else (manifest.version, manifest.base)
        services = serving.code.services if serving is not None else ()
        return plugin_told(name, version, state, base, services)

    def _tell_apps(self) -> None:
        entries = apps_told(self._apps(self._loop.now))
        _send_if_news(self._for(ON_APPS_CHANGED), ON_APPS_CHANGED, entries)
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._is_looking = False
        if self._for(ON_APPS_CHANGED):
            self._tell_apps()


def _worker_entry(deployment: Deployment, worker: Worker) -> Told:
    return worker_told(worker.name, worker.process.pid, deployment.app)


def _send(boxes: Iterable[Mailbox], notice: str, entry: Told) -> None:
    data = wire.to_json(entry)
    for box in boxes:
        box.put(notice, data)


def _send_if_news(boxes: Iterable[Mailbox], notice: str, entries: list[Told]) -> None:
    data = wire.to_json(entries)
    for box in boxes:
        box.put_if_news(notice, data)
